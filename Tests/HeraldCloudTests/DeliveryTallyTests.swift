import HeraldCore
import Testing

@testable import HeraldCloud

/// What a sender is told of one delivery, as loops report in any order.
struct DeliveryTallyTests {
    private let start = Moment(milliseconds: 1000)
    private let late = Moment(milliseconds: 4000)

    private func tally(_ confirm: ConfirmLevel, targets: Int = 1, loops: Int = 1) -> DeliveryTally {
        DeliveryTally(
            ReceiptQuery(ticket: 7, confirm: confirm, patience: .seconds(3)),
            push: PushID(fixed: "p"),
            targets: targets,
            sender: "logic-1",
            loops: loops,
            at: start
        )
    }

    private func share(_ connections: Int, outstanding: Int, dropped: Int = 0) -> DeliveryTally.Share {
        let reach = Reach(connections: connections, dropped: dropped)
        return DeliveryTally.Share(isFound: true, reach: reach, outstanding: outstanding)
    }

    private func receipt(_ reach: Reach?, target: Int = 0, isFinal: Bool) -> Receipt {
        Receipt(ticket: 7, target: target, reach: reach, isFinal: isFinal)
    }

    @Test func `a target that no loop has is told at once, for good`() {
        let tally = tally(.written, loops: 2)
        #expect(!tally.visited([DeliveryTally.Share()]))
        #expect(tally.takeReceipts(at: start).isEmpty)
        #expect(tally.visited([DeliveryTally.Share()]))
        #expect(tally.takeReceipts(at: start) == [receipt(nil, isFinal: true)])
        #expect(tally.isOver)
    }

    @Test func `written is final when every frame is written`() {
        let tally = tally(.written)
        #expect(tally.visited([share(2, outstanding: 2)]))
        #expect(tally.takeReceipts(at: start) == [receipt(Reach(connections: 2), isFinal: false)])
        #expect(tally.written(0))
        #expect(!tally.written(0), "it was asked to fetch once already")
        let reach = Reach(connections: 2, written: 2)
        #expect(tally.takeReceipts(at: start) == [receipt(reach, isFinal: true)])
        #expect(tally.takeReceipts(at: late).isEmpty)
    }

    @Test func `what was replaced is dropped, and settled`() {
        let tally = tally(.acked)
        #expect(tally.visited([share(3, outstanding: 3)]))
        _ = tally.takeReceipts(at: start)
        #expect(tally.dropped(0, isCollapsed: true))
        #expect(!tally.dropped(0, isCollapsed: false), "it was asked to fetch once already")
        let two = Reach(connections: 3, dropped: 2, collapsed: 1)
        #expect(tally.takeReceipts(at: start) == [receipt(two, isFinal: false)])
        #expect(tally.written(0) && !tally.acked(0))
        let all = Reach(connections: 3, written: 1, acked: 1, dropped: 2, collapsed: 1)
        #expect(tally.takeReceipts(at: start) == [receipt(all, isFinal: true)])
        #expect(tally.isOver)
    }

    @Test func `what is written before the loop is through counts as well`() {
        let tally = tally(.written)
        #expect(!tally.written(0))
        #expect(tally.takeReceipts(at: start).isEmpty)
        #expect(tally.visited([share(3, outstanding: 3, dropped: 0)]))
        #expect(tally.written(0) == false)
        #expect(tally.lost(0) == false)
        let reach = Reach(connections: 3, written: 2)
        #expect(tally.takeReceipts(at: start) == [receipt(reach, isFinal: true)])
    }

    @Test func `acked is final when every client has answered or is gone`() {
        let tally = tally(.acked)
        #expect(tally.visited([share(2, outstanding: 2)]))
        _ = tally.takeReceipts(at: start)
        #expect(tally.written(0))
        #expect(!tally.written(0))
        #expect(tally.takeReceipts(at: start) == [receipt(Reach(connections: 2, written: 2), isFinal: false)])
        #expect(tally.acked(0))
        #expect(!tally.lost(0))
        let reach = Reach(connections: 2, written: 2, acked: 1)
        #expect(tally.takeReceipts(at: start) == [receipt(reach, isFinal: true)])
    }

    @Test func `when the patience is over all that is known is told, and nothing after it`() {
        let tally = tally(.acked, targets: 2, loops: 2)
        #expect(!tally.visited([share(1, outstanding: 1), DeliveryTally.Share()]))
        #expect(!tally.written(0))
        #expect(
            tally.takeReceipts(at: late) == [
                receipt(Reach(connections: 1, written: 1), isFinal: true),
                receipt(nil, target: 1, isFinal: true),
            ]
        )
        #expect(!tally.acked(0))
        #expect(!tally.visited([share(1, outstanding: 1), share(1, outstanding: 1)]))
        #expect(tally.takeReceipts(at: late).isEmpty)
    }

    @Test func `only what changed is told again`() {
        let tally = tally(.written, targets: 2)
        #expect(tally.visited([share(1, outstanding: 1), share(1, outstanding: 1)]))
        #expect(tally.takeReceipts(at: start).count == 2)
        #expect(tally.written(1))
        let reach = Reach(connections: 1, written: 1)
        #expect(tally.takeReceipts(at: start) == [receipt(reach, target: 1, isFinal: true)])
    }
}

/// When those that are followed are asked for the last time.
struct OpenTalliesTests {
    @Test func `each is asked when its own time is over, and once`() {
        var open = OpenTallies()
        let tallies = [100, 3000, 120].map { milliseconds in
            DeliveryTally(
                ReceiptQuery(ticket: 1, confirm: .acked, patience: .milliseconds(milliseconds)),
                push: PushID(fixed: "p"),
                targets: 1,
                sender: "logic-1",
                loops: 1,
                at: Moment(milliseconds: 0)
            )
        }
        open.add(tallies)
        #expect(open.takeLate(at: Moment(milliseconds: 99)).isEmpty)
        #expect(open.takeLate(at: Moment(milliseconds: 170)).count == 2)
        #expect(open.count == 1)
        #expect(open.takeLate(at: Moment(milliseconds: 2999)).isEmpty)
        #expect(open.takeLate(at: Moment(milliseconds: 3050)).first === tallies[1])
        #expect(open.count == 0)
    }
}
