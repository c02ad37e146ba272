import HeraldCore
import Testing

@testable import HeraldRedis

@Suite struct RedisBusHopStateMachineTests {
    private let reason = "cut"

    /// The n-th message: number 1000 + n, id n0-0, one byte.
    private func message(_ number: Int, id: Int? = nil) -> HopMessage {
        HopMessage(position: position(number, id: id), bytes: [UInt8(truncatingIfNeeded: number)])
    }

    private func position(_ number: Int, id: Int? = nil) -> HopPosition {
        HopPosition(
            number: UInt64(1000 + number),
            id: HopID(milliseconds: UInt64(id ?? number * 10), sequence: 0)
        )
    }

    private func id(_ number: Int) -> HopID { position(number).id }

    private func messages(_ numbers: ClosedRange<Int>) -> [HopMessage] { numbers.map { message($0) } }

    private func bytes(_ numbers: ClosedRange<Int>) -> BusEvent { .messages(numbers.map { [UInt8($0)] }) }

    private func gap(_ step: HopStep) -> [Bool] {
        step.events.map { event in if case .gap = event { true } else { false } }
    }

    /// A listener that has all up to a number and lost its subscription then.
    private func cut(
        after number: Int,
        _ limits: RedisBusLimits = RedisBusLimits()
    ) -> RedisBusHopStateMachine {
        var hop = RedisBusHopStateMachine(limits: limits)
        _ = hop.subscribed()
        _ = hop.marked(position(number))
        _ = hop.lost(reason)
        return hop
    }

    @Test func `who begins has what comes after the subscription, and nothing of before`() {
        var hop = RedisBusHopStateMachine(limits: RedisBusLimits())
        #expect(hop.subscribed() == HopStep(order: .mark))
        #expect(hop.arrived(messages(7...8)) == HopStep())
        #expect(hop.marked(position(8)) == HopStep(events: [bytes(7...8), .subscribed]))
        #expect(hop.arrived(messages(9...9)) == HopStep(events: [bytes(9...9)]))

        var quiet = RedisBusHopStateMachine(limits: RedisBusLimits())
        #expect(quiet.subscribed() == HopStep(order: .mark))
        #expect(quiet.marked(position(8)) == HopStep(events: [.subscribed]))
        #expect(quiet.arrived(messages(9...10)) == HopStep(events: [bytes(9...10)]))
        #expect(quiet.marked(position(10)) == HopStep())
        #expect(quiet.alarm == nil)
    }

    @Test func `a subscription that missed nothing reads nothing`() {
        var hop = cut(after: 5)
        #expect(hop.subscribed() == HopStep(order: .mark))
        #expect(hop.marked(position(5)) == HopStep(events: [.subscribed]))
        #expect(hop.lost(reason) == HopStep(events: [.lost(reason)]))
        #expect(hop.subscribed() == HopStep(order: .mark))
        #expect(hop.arrived(messages(6...7)) == HopStep())
        #expect(hop.marked(position(7)) == HopStep(events: [bytes(6...7), .subscribed]))
    }

    @Test func `what was missed is read page by page, and then comes what arrived meanwhile`() {
        var hop = cut(after: 5)
        #expect(hop.subscribed() == HopStep(order: .mark))
        #expect(hop.arrived(messages(9...9)) == HopStep())
        #expect(hop.marked(position(9)) == HopStep(order: .read(after: id(5), round: 1)))
        #expect(hop.arrived(messages(10...11)) == HopStep())
        let first = hop.read(messages(6...7), isLast: false, round: 1)
        #expect(first == HopStep(events: [bytes(6...7)], order: .read(after: id(7), round: 2)))
        #expect(hop.read(messages(6...7), isLast: false, round: 1) == HopStep())
        let second = hop.read(messages(8...10), isLast: false, round: 2)
        #expect(second == HopStep(events: [bytes(8...11), .subscribed]))
        // What was read and arrives once more is dropped.
        #expect(hop.arrived(messages(10...12)) == HopStep(events: [bytes(12...12)]))
    }

    @Test func `a read that fails is tried again`() {
        var hop = cut(after: 5)
        _ = hop.subscribed()
        #expect(hop.marked(position(6)).order == .read(after: id(5), round: 1))
        hop.readFailed(round: 1, now: Moment(nanoseconds: 0))
        #expect(hop.alarm == Moment(nanoseconds: 100_000_000))
        #expect(hop.timePassed(now: Moment(nanoseconds: 99_999_999)) == HopStep())
        let again = hop.timePassed(now: Moment(nanoseconds: 100_000_000))
        #expect(again == HopStep(order: .read(after: id(5), round: 2)))
        #expect(hop.alarm == nil)
        hop.readFailed(round: 1, now: Moment(nanoseconds: 0))
        #expect(hop.alarm == nil)
        #expect(
            hop.read(messages(6...6), isLast: true, round: 2) == HopStep(events: [bytes(6...6), .subscribed])
        )
    }

    @Test func `cut while it repairs, it goes on where it was`() {
        var hop = cut(after: 5)
        _ = hop.subscribed()
        _ = hop.marked(position(8))
        #expect(hop.read(messages(6...7), isLast: false, round: 1).events == [bytes(6...7)])
        #expect(hop.lost(reason) == HopStep())
        #expect(hop.read(messages(8...8), isLast: true, round: 2) == HopStep())
        #expect(hop.arrived(messages(8...8)) == HopStep())
        #expect(hop.subscribed() == HopStep(order: .mark))
        #expect(hop.marked(position(8)) == HopStep(order: .read(after: id(7), round: 3)))
        #expect(
            hop.read(messages(8...8), isLast: true, round: 3) == HopStep(events: [bytes(8...8), .subscribed])
        )
    }

    @Test func `cut before its first mark, it still gets what had arrived`() {
        var hop = RedisBusHopStateMachine(limits: RedisBusLimits())
        _ = hop.subscribed()
        #expect(hop.arrived(messages(7...7)) == HopStep())
        #expect(hop.lost(reason) == HopStep())
        _ = hop.subscribed()
        let before = HopID(milliseconds: 69, sequence: .max)
        #expect(hop.marked(position(8)) == HopStep(order: .read(after: before, round: 1)))
        #expect(
            hop.read(messages(7...8), isLast: true, round: 1) == HopStep(events: [bytes(7...8), .subscribed])
        )
    }

    @Test func `more than may be held is read as well`() {
        var limits = RedisBusLimits()
        limits.heldBytesMax = 2
        var hop = cut(after: 5, limits)
        _ = hop.subscribed()
        _ = hop.arrived(messages(7...9))
        #expect(hop.marked(position(9)).order == .read(after: id(5), round: 1))
        #expect(
            hop.read(messages(6...9), isLast: true, round: 1) == HopStep(events: [bytes(6...9)], order: .mark)
        )
        #expect(hop.arrived(messages(10...10)) == HopStep())
        #expect(hop.marked(position(10)) == HopStep(events: [bytes(10...10), .subscribed]))
    }
}

/// Where the hop does not reach back, and where Redis is not what it was.
extension RedisBusHopStateMachineTests {
    @Test func `trimmed messages are a gap in their place`() {
        var hop = cut(after: 5)
        _ = hop.subscribed()
        _ = hop.marked(position(9))
        let step = hop.read(messages(8...9), isLast: true, round: 1)
        #expect(gap(step) == [true, false, false])
        #expect(step.events.suffix(2) == [bytes(8...9), .subscribed])
        #expect(hop.arrived(messages(10...10)) == HopStep(events: [bytes(10...10)]))
    }

    @Test func `an end that is not there is a gap, once`() {
        var hop = cut(after: 5)
        _ = hop.subscribed()
        _ = hop.marked(position(9))
        let step = hop.read(messages(6...7), isLast: true, round: 1)
        #expect(gap(step) == [false, true, false])
        #expect(hop.marked(position(9)) == HopStep())
        #expect(hop.arrived(messages(10...10)) == HopStep(events: [bytes(10...10)]))
    }

    @Test func `a hole on a living subscription is filled, or told`() {
        var hop = cut(after: 5)
        _ = hop.subscribed()
        _ = hop.marked(position(5))
        let hole = hop.arrived([message(6), message(8), message(9)])
        #expect(hole.events == [bytes(6...6), .lost("messages 1007 to 1007 did not arrive")])
        #expect(hole.order == .read(after: id(6), round: 1))
        #expect(
            hop.read(messages(7...8), isLast: false, round: 1)
                == HopStep(events: [bytes(7...9), .subscribed])
        )
        // The mark shows that the last one is missing.
        let missing = hop.marked(position(10))
        #expect(missing.events == [.lost("messages 1010 to 1010 did not arrive")])
        let told = hop.read([], isLast: true, round: 2)
        #expect(gap(told) == [true, false])
    }

    @Test func `a Redis without data is a gap, and what it was given since is delivered`() {
        var hop = cut(after: 5)
        _ = hop.subscribed()
        #expect(hop.marked(position(502, id: 9001)).order == .read(after: id(5), round: 1))
        let page = [message(501, id: 9000), message(502, id: 9001)]
        let step = hop.read(page, isLast: true, round: 1)
        #expect(gap(step) == [true, false, false])
        #expect(step.events.dropFirst() == [.messages([[245], [246]]), .subscribed])

        var empty = cut(after: 5)
        _ = empty.subscribed()
        let end = HopPosition(number: 9999, id: .unknown)
        #expect(empty.marked(end).order == .read(after: id(5), round: 1))
        #expect(gap(empty.read([], isLast: true, round: 1)) == [true, false])
        #expect(empty.marked(end) == HopStep())
    }

    @Test func `what arrived of a stream that began anew within a millisecond is not lost`() {
        var hop = cut(after: 5)
        _ = hop.subscribed()
        _ = hop.marked(position(5))
        // The first two have ids that were there before, so that the stream does not show them.
        let arrived = [
            message(501, id: 40), message(502, id: 50), message(503, id: 60), message(504, id: 70),
        ]
        #expect(hop.arrived(arrived).order == .read(after: id(5), round: 1))
        let step = hop.read(Array(arrived[2...]), isLast: true, round: 1)
        #expect(gap(step) == [true, false, false])
        #expect(step.events.dropFirst() == [.messages([[245], [246], [247], [248]]), .subscribed])
    }

    @Test func `a master that went back is a gap, also when it has gone on since`() {
        // Messages 4' and 5' replace 4 and 5.
        var behind = cut(after: 5)
        _ = behind.subscribed()
        #expect(behind.marked(position(4, id: 70)).order == .read(after: id(5), round: 1))
        let step = behind.read([message(4, id: 70)], isLast: true, round: 1)
        #expect(gap(step) == [true, false, false] && step.events[1] == bytes(4...4))
        #expect(behind.arrived([message(5, id: 80)]) == HopStep(events: [bytes(5...5)]))

        var equal = cut(after: 5)
        _ = equal.subscribed()
        #expect(equal.marked(position(5, id: 80)).order == .read(after: id(5), round: 1))
        let other = equal.read([message(4, id: 70), message(5, id: 80)], isLast: true, round: 1)
        #expect(gap(other) == [true, false, false] && other.events[1] == bytes(4...5))

        var beyond = cut(after: 5)
        _ = beyond.subscribed()
        #expect(beyond.marked(position(6, id: 90)).order == .read(after: id(5), round: 1))
        let page = [message(4, id: 70), message(5, id: 80), message(6, id: 90)]
        let more = beyond.read(page, isLast: true, round: 1)
        #expect(gap(more) == [true, false, false] && more.events[1] == bytes(4...6))
    }

    @Test func `a stream whose ids went back too is a gap, and goes on from there`() {
        var hop = cut(after: 500)
        _ = hop.subscribed()
        _ = hop.arrived(messages(3...4))
        #expect(hop.marked(position(4)).order == .read(after: id(500), round: 1))
        let step = hop.read([], isLast: true, round: 1)
        #expect(gap(step) == [true, false, false])
        #expect(step.events.dropFirst() == [bytes(3...4), .subscribed])
        #expect(hop.arrived(messages(5...5)) == HopStep(events: [bytes(5...5)]))

        var live = cut(after: 500)
        _ = live.subscribed()
        _ = live.marked(position(500))
        #expect(gap(live.marked(position(2))) == [true])
        #expect(live.arrived(messages(3...3)) == HopStep(events: [bytes(3...3)]))
        #expect(gap(live.arrived([message(2, id: 900)])) == [true, false])
    }

    @Test func `who begins where the stream is unknown takes no older message for a new one`() {
        var hop = RedisBusHopStateMachine(limits: RedisBusLimits())
        _ = hop.subscribed()
        // Too large for the hop: it has a number and no id.
        let large = HopMessage(position: HopPosition(number: 1005, id: .unknown), bytes: [5])
        _ = hop.arrived([large])
        #expect(
            hop.marked(HopPosition(number: 1005, id: id(4))) == HopStep(events: [bytes(5...5), .subscribed])
        )
        _ = hop.lost(reason)
        _ = hop.subscribed()
        #expect(hop.marked(position(6)).order == .read(after: .unknown, round: 1))
        #expect(
            hop.read(messages(1...2), isLast: false, round: 1)
                == HopStep(order: .read(after: id(2), round: 2))
        )
        let step = hop.read([message(3), message(4), message(6)], isLast: true, round: 2)
        #expect(step == HopStep(events: [bytes(6...6), .subscribed]))
    }

    @Test func `a message too large for the hop is delivered, and a gap for who missed it`() {
        var hop = cut(after: 5)
        _ = hop.subscribed()
        _ = hop.marked(position(5))
        let large = HopMessage(position: HopPosition(number: 1006, id: .unknown), bytes: [6])
        #expect(hop.arrived([large, message(7)]) == HopStep(events: [bytes(6...7)]))

        var cut = cut(after: 5)
        _ = cut.subscribed()
        _ = cut.marked(position(7))
        #expect(gap(cut.read(messages(7...7), isLast: true, round: 1)) == [true, false, false])
    }

    @Test func `a stopped listener says nothing more`() {
        var hop = cut(after: 5)
        hop.stop()
        #expect(hop.subscribed() == HopStep())
        #expect(hop.arrived(messages(6...6)) == HopStep())
        #expect(hop.marked(position(6)) == HopStep())
        #expect(hop.read(messages(6...6), isLast: true, round: 1) == HopStep())
        #expect(hop.lost(reason) == HopStep())
        #expect(hop.timePassed(now: Moment(nanoseconds: .max)) == HopStep())
        #expect(hop.alarm == nil)
    }
}
