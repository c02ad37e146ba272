// What a node's listener knows of its hop, and how it repairs, apart from I/O and clock.
//
//   down ──subscribed──▶ marking ──mark: all is here──────────────────────▶ live
//    ▲                    │   ▲                                              │
//    │                    │   └── too much was held ──┐                      │
//    │                    └──mark: some is missing──▶ reading ──the end──▶ live
//    │                                                 ▲                     │
//    │                                                 └────── a hole ───────┤
//    └───────────────────────────── lost ────────────────────────────────────┘
//
// Messages to a node are numbered without holes, and the probe that comes on the channel itself (the mark) says
// which number is the newest. So what is missing is known exactly and read from the stream; a subscription that
// missed nothing reads nothing. Messages that arrive meanwhile are held and go after what was read.
//
// A number that is not the next one means: it is smaller and its id too, then it was delivered before; it is
// smaller and its id is larger, then Redis went back (a failover that lost writes) or began anew, which is a gap;
// it is larger, then there is a hole, which is a gap if the stream does not fill it. Ids grow with Redis's clock,
// so the ids of a stream that went back still lie beyond those that were delivered.
//
// A listener that begins has no position: it begins before the first message that arrives, or at the mark.

import HeraldCore

struct RedisBusHopStateMachine: ~Copyable {
    private var state: State
    private let limits: RedisBusLimits
    private var rounds = 0

    private enum State {
        case down(HopPosition?)
        case marking(HopPosition?, Held)
        case reading(Reading)
        case live(HopPosition)
        case stopped
    }

    private struct Reading {
        var last: HopPosition
        /// Where the stream ended when the reading began.
        let end: HopPosition
        var held: Held
        /// How far the stream was read.
        var after: HopID
        var round = 0
        var hasFound = false
        /// After a read that failed.
        var retryAt: Moment?

        init(last: HopPosition, end: HopPosition, held: Held) {
            self.last = last
            self.end = end
            self.held = held
            after = last.id
        }
    }

    /// Messages that arrived while older ones are missing.
    private struct Held {
        var messages: [HopMessage] = []
        var bytes = 0
        /// There were more than may be held; they are to be read as well.
        var isIncomplete = false

        mutating func add(_ message: HopMessage, max: Int) {
            guard !isIncomplete else { return }
            messages.append(message)
            bytes += message.bytes.count
            if bytes > max { self = Held(isIncomplete: true) }
        }

        /// Takes those out whose numbers lie between two others.
        mutating func take(between last: HopPosition, and next: HopPosition) -> ArraySlice<HopMessage> {
            guard let first = messages.first?.position.number, first > last.number, first < next.number
            else { return [] }
            let taken = messages.prefix { $0.position.number < next.number }
            messages.removeFirst(taken.count)
            return taken
        }
    }

    init(limits: RedisBusLimits) {
        state = .down(nil)
        self.limits = limits
    }

    private mutating func takeState() -> State {
        var taken = State.stopped
        swap(&taken, &state)
        return taken
    }

    // MARK: The subscription

    mutating func subscribed() -> HopStep {
        switch takeState() {
        case .down(let last):
            state = .marking(last, Held())
            return HopStep(order: .mark)
        case .marking: preconditionFailure("a hop has one subscription at a time")
        case .reading: preconditionFailure("a hop has one subscription at a time")
        case .live: preconditionFailure("a hop has one subscription at a time")
        case .stopped:
            state = .stopped
            return HopStep()
        }
    }

    mutating func lost(_ reason: String) -> HopStep {
        switch takeState() {
        case .live(let last):
            state = .down(last)
            return HopStep(events: [.lost(reason)])
        case .marking(let last, _):
            state = .down(last)
            return HopStep()
        case .reading(let reading):
            state = .down(reading.last)
            return HopStep()
        case .down(let last):
            state = .down(last)
            return HopStep()
        case .stopped:
            state = .stopped
            return HopStep()
        }
    }

    mutating func stop() { state = .stopped }

    // MARK: What arrives

    mutating func arrived(_ messages: [HopMessage]) -> HopStep {
        guard let first = messages.first else { return HopStep() }
        switch takeState() {
        case .live(let last):
            return live(messages, last)
        case .marking(let last, var held):
            for message in messages { held.add(message, max: limits.heldBytesMax) }
            state = .marking(last ?? first.position.before, held)
            return HopStep()
        case .reading(var reading):
            for message in messages { reading.held.add(message, max: limits.heldBytesMax) }
            state = .reading(reading)
            return HopStep()
        case .down(let last):
            state = .down(last)
            return HopStep()
        case .stopped:
            state = .stopped
            return HopStep()
        }
    }

    private mutating func live(_ messages: [HopMessage], _ before: HopPosition) -> HopStep {
        var step = HopStep()
        var last = before
        var fresh: [[UInt8]] = []
        fresh.reserveCapacity(messages.count)
        for (index, message) in messages.enumerated() {
            let number = message.position.number
            if number == last.number + 1 {
                fresh.append(message.bytes)
                last = message.position.known(after: last)
                continue
            }
            if !fresh.isEmpty { step.events.append(.messages(fresh)) }
            fresh = []
            if number > last.number {
                step.events.append(.lost(Self.hole(last, number)))
                var held = Held()
                for message in messages[index...] { held.add(message, max: limits.heldBytesMax) }
                return read(Reading(last: last, end: message.position, held: held), step)
            }
            take(message, &last, &step)
        }
        if !fresh.isEmpty { step.events.append(.messages(fresh)) }
        state = .live(last)
        return step
    }

    /// The mark, or any other probe, arrived: so far the numbers go.
    mutating func marked(_ end: HopPosition) -> HopStep {
        switch takeState() {
        case .marking(let last?, let held):
            if !held.isIncomplete, Self.isWhole(last, held, to: end) {
                return finish(Reading(last: last, end: end, held: held), HopStep())
            }
            return read(Reading(last: last, end: end, held: held), HopStep())
        case .marking(nil, _):
            state = .live(end)
            return HopStep(events: [.subscribed])
        case .live(let last) where last.number < end.number:
            let step = HopStep(events: [.lost(Self.hole(last, end.number + 1))])
            return read(Reading(last: last, end: end, held: Held()), step)
        case .live(let last) where last.number > end.number:
            state = .live(end)
            return HopStep(events: [.gap(Self.wentBack(last, end.number))])
        case .live(let last):
            state = .live(last)
            return HopStep()
        case .reading(let reading):
            state = .reading(reading)
            return HopStep()
        case .down(let last):
            state = .down(last)
            return HopStep()
        case .stopped:
            state = .stopped
            return HopStep()
        }
    }

    /// Whether what is held follows on what was delivered, up to the mark.
    private static func isWhole(_ last: HopPosition, _ held: Held, to end: HopPosition) -> Bool {
        var last = last
        for message in held.messages {
            guard message.position.number == last.number + 1 else { return false }
            last = message.position.known(after: last)
        }
        // The same number under another id is another message: Redis went back.
        return last.number == end.number && (last.id == end.id || last.id == .unknown || end.id == .unknown)
    }

    // MARK: Reading

    private mutating func read(_ reading: Reading, _ step: HopStep) -> HopStep {
        var (reading, step) = (reading, step)
        rounds += 1
        reading.round = rounds
        reading.retryAt = nil
        step.order = .read(after: reading.after, round: rounds)
        state = .reading(reading)
        return step
    }

    /// A page of the stream was read.
    ///
    /// - Parameters:
    ///   - page: the entries after the id that was asked for, in order.
    ///   - isLast: whether the stream has no more.
    ///   - round: as in the order. What belongs to an older one is ignored.
    /// - Returns: what could be delivered, and the next page to read if there is one.
    mutating func read(_ page: [HopMessage], isLast: Bool, round: Int) -> HopStep {
        switch takeState() {
        case .reading(let reading) where reading.round == round:
            return read(page, isLast: isLast, reading)
        case .reading(let reading):
            state = .reading(reading)
            return HopStep()
        case .live(let last):
            state = .live(last)
            return HopStep()
        case .marking(let last, let held):
            state = .marking(last, held)
            return HopStep()
        case .down(let last):
            state = .down(last)
            return HopStep()
        case .stopped:
            state = .stopped
            return HopStep()
        }
    }

    private mutating func read(_ page: [HopMessage], isLast: Bool, _ reading: Reading) -> HopStep {
        var (reading, step) = (reading, HopStep())
        for message in page {
            // A stream that began anew in the same millisecond hides its first ones, which may have arrived.
            for held in reading.held.take(between: reading.last, and: message.position) {
                take(held, &reading.last, &step)
            }
            if take(message, &reading.last, &step) { reading.hasFound = true }
        }
        if let newest = page.last { reading.after = newest.position.id }
        let (last, end) = (reading.last, reading.end)
        let isThere = last.number >= end.number && (end.id == .unknown || last.id >= end.id)
        return isLast || isThere ? finish(reading, step) : read(reading, step)
    }

    /// The read of a round failed and is to be tried again in a while.
    mutating func readFailed(round: Int, now: Moment) {
        switch takeState() {
        case .reading(var reading):
            if reading.round == round { reading.retryAt = now + limits.retryPause }
            state = .reading(reading)
        case .live(let last): state = .live(last)
        case .marking(let last, let held): state = .marking(last, held)
        case .down(let last): state = .down(last)
        case .stopped: state = .stopped
        }
    }

    mutating func timePassed(now: Moment) -> HopStep {
        switch takeState() {
        case .reading(let reading):
            if let retryAt = reading.retryAt, retryAt <= now {
                return read(reading, HopStep())
            }
            state = .reading(reading)
        case .live(let last): state = .live(last)
        case .marking(let last, let held): state = .marking(last, held)
        case .down(let last): state = .down(last)
        case .stopped: state = .stopped
        }
        return HopStep()
    }

    /// When `timePassed` has something to say; nil while nothing can run out.
    var alarm: Moment? {
        switch state {
        case .reading(let reading): reading.retryAt
        case .live, .marking, .down, .stopped: nil
        }
    }

    /// The stream has no more: what was held follows, and what is missing then is missing for good.
    private mutating func finish(_ reading: Reading, _ step: HopStep) -> HopStep {
        var (last, step) = (reading.last, step)
        let (end, held) = (reading.end, reading.held)
        if last.number > end.number, !reading.hasFound {
            // Nothing follows what was delivered: the stream was lost, or its ids went back as well.
            step.events.append(.gap(Self.wentBack(last, end.number)))
            let first = held.messages.first?.position
            last = first.map { $0.number <= end.number ? $0.before : end } ?? end
        }
        for message in held.messages { take(message, &last, &step) }
        if held.isIncomplete {
            state = .marking(last, Held())
            step.order = .mark
            return step
        }
        if last.number < end.number {
            step.events.append(.gap(Self.missing(end.number - last.number)))
            last = end
        }
        step.events.append(.subscribed)
        state = .live(last)
        return step
    }

    /// Takes one message in its place, however it follows.
    ///
    /// - Returns: whether it was no repeat.
    @discardableResult
    private func take(_ message: HopMessage, _ last: inout HopPosition, _ step: inout HopStep) -> Bool {
        let position = message.position
        if position.number <= last.number {
            guard last.id != .unknown, position.id > last.id else { return false }
            step.events.append(.gap(Self.wentBack(last, position.number)))
        } else if position.number > last.number + 1 {
            step.events.append(.gap(Self.missing(position.number - last.number - 1)))
        }
        step.add(message.bytes)
        last = position.known(after: last)
        return true
    }

    private static func missing(_ count: UInt64) -> String {
        "the hop does not reach back: \(count) messages are missing, or Redis began anew"
    }

    private static func hole(_ last: HopPosition, _ next: UInt64) -> String {
        "messages \(last.number + 1) to \(next - 1) did not arrive"
    }

    private static func wentBack(_ last: HopPosition, _ number: UInt64) -> String {
        "Redis went back from message \(last.number) to \(number)"
    }
}

extension HopPosition {
    /// A message that is not kept has no id; where to read on is after the one before it.
    fileprivate func known(after last: Self) -> Self {
        id == .unknown ? Self(number: number, id: last.id) : self
    }
}
