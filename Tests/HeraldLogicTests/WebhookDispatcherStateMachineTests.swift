import HeraldCore
import Testing

@testable import HeraldLogic

struct WebhookDispatcherStateMachineTests {
    private func event(_ partition: Int, _ number: Int, ago: UInt64 = 0) -> PresenceEvent {
        WebhookDesk.event(partition, number, ago: ago)
    }

    // MARK: the hold

    @Test func `who does not hold the group waits and asks again`() {
        let desk = WebhookDesk()
        expect(desk.began(), "ask")
        expect(desk.hold(false), "wake hold in 3.0")
        expect(desk.due(.hold))
        desk.pass(3)
        expect(desk.due(.hold), "ask")
        expect(desk.holdFailed(), "tell log failed", "wake hold in 1.0")
        desk.pass(1)
        expect(desk.due(.hold), "ask")
        #expect(!desk.counts.isHolding)
        expect(
            desk.hold(true, askedAgo: 0.5),
            "tell holding",
            "tell log answers",
            "wake hold in 3.0",
            "wake lapse in 8.5",
            "read again all"
        )
        #expect(desk.counts.isHolding)
    }

    @Test func `a hold that is renewed does not lapse`() {
        let desk = WebhookDesk.delivering()
        desk.pass(3)
        expect(desk.due(.hold), "ask")
        expect(desk.hold(true), "wake hold in 3.0", "wake lapse in 9.0")
        desk.pass(6)
        expect(desk.due(.lapse))
        desk.pass(3)
        expect(desk.due(.lapse), "tell lost", "drop", "wake hold in 3.0")
        #expect(!desk.counts.isHolding)
    }

    @Test func `a hold that another took stops everything at once`() {
        let desk = WebhookDesk.delivering()
        expect(desk.read(event(3, 1)), "send 3: 1", "read new all")
        desk.pass(3)
        expect(desk.due(.hold), "ask")
        expect(desk.hold(false), "tell lost", "drop", "wake hold in 3.0")
        // What comes late changes nothing.
        expect(desk.answer(3))
        expect(desk.read(event(3, 2)))
        expect(desk.acknowledged(3))
        #expect(desk.counts.eventsSent == 0 && desk.counts.oldest == nil)
        desk.pass(3)
        expect(desk.due(.hold), "ask")
        expect(
            desk.hold(true),
            "tell holding",
            "wake hold in 3.0",
            "wake lapse in 9.0",
            "read again all"
        )
    }

    @Test func `a hold that cannot be renewed ends before it lapses in Redis`() {
        let desk = WebhookDesk.delivering()
        for _ in 0..<8 {
            desk.pass(1)
            _ = desk.due(.hold)
            _ = desk.holdFailed()
            expect(desk.due(.lapse))
        }
        desk.pass(1)
        expect(desk.due(.lapse), "tell lost", "drop", "wake hold in 3.0")
    }

    // MARK: order

    @Test func `what is pending goes first, partition by partition, then what is new`() {
        let desk = WebhookDesk()
        _ = desk.began()
        _ = desk.hold(true)
        expect(desk.read(event(3, 1), event(3, 2)), "send 3: 1 2", "read new all but 3")
        expect(desk.answer(3), "ack 3: 1 2")
        expect(desk.acknowledged(3))
        // The read under way does not know of partition 3.
        expect(desk.read(event(5, 9)), "send 5: 9", "read again 3")
        expect(desk.read(event(3, 3)), "send 3: 3", "read new all but 3")
        expect(desk.answer(3), "ack 3: 3")
        expect(desk.acknowledged(3))
        expect(desk.read(), "read again 3")
        expect(desk.read(), "read new all")
        #expect(desk.counts.eventsSent == 3 && desk.counts.batchesSent == 2)
    }

    @Test func `one batch of a partition at a time, acknowledged before the next goes`() {
        let desk = WebhookDesk.delivering { $0.batchMax = 2 }
        expect(desk.read(event(3, 1), event(3, 2)), "send 3: 1 2", "read new all")
        expect(desk.read(event(3, 3), event(4, 7)), "send 4: 7", "read new all")
        expect(desk.read(event(3, 4), event(3, 5)), "read new all but 3")
        expect(desk.answer(3), "ack 3: 1 2")
        expect(desk.answer(4), "ack 4: 7")
        expect(desk.acknowledged(3), "send 3: 3 4")
        expect(desk.answer(3), "ack 3: 3 4")
        expect(desk.acknowledged(3), "send 3: 5")
    }

    @Test func `a batch that failed goes again as it was, others do not wait for it`() {
        let desk = WebhookDesk.delivering()
        expect(desk.read(event(3, 1)), "send 3: 1", "read new all")
        expect(desk.read(event(3, 2)), "read new all")
        expect(desk.answer(3, WebhookDesk.busy), "wake lane 3 in 2.0", "tell failing 3-1-0: status 503")
        expect(desk.read(event(4, 7)), "send 4: 7", "read new all")
        expect(desk.answer(4), "ack 4: 7")
        expect(desk.due(.lane(3)))
        desk.pass(2)
        expect(desk.due(.lane(3)), "send 3: 1")
        expect(desk.answer(3, .failed("away"), random: 0), "wake lane 3 in 2.0")
        desk.pass(2)
        expect(desk.due(.lane(3)), "send 3: 1")
        expect(desk.answer(3), "ack 3: 1", "tell recovered")
        expect(desk.acknowledged(3), "send 3: 2")
        #expect(desk.counts.batchesRetried == 2)
    }

    @Test func `an acknowledgement that failed is made again before anything else goes`() {
        let desk = WebhookDesk.delivering()
        expect(desk.read(event(3, 1)), "send 3: 1", "read new all")
        expect(desk.read(event(3, 2)), "read new all")
        expect(desk.answer(3), "ack 3: 1")
        expect(desk.acknowledgeFailed(3), "tell log failed", "wake lane 3 in 1.0")
        desk.pass(1)
        expect(desk.due(.lane(3)), "ack 3: 1")
        expect(desk.acknowledged(3), "tell log answers", "send 3: 2")
        #expect(desk.counts.eventsSent == 1)
    }

    // MARK: doubt

    @Test func `after a read whose answer was lost, what may be pending is read again`() {
        let desk = WebhookDesk.delivering()
        expect(desk.read(event(3, 1)), "send 3: 1", "read new all")
        expect(desk.readFailed(), "tell log failed", "wake reading in 1.0")
        expect(desk.due(.reading))
        desk.pass(1)
        // Partition 3 has something in hand: what is pending there cannot be told apart from it yet.
        expect(desk.due(.reading), "read again all but 3")
        expect(desk.read(event(5, 9)), "tell log answers", "send 5: 9", "read new all but 3 5")
        expect(desk.answer(3), "ack 3: 1")
        expect(desk.acknowledged(3))
        expect(desk.read(), "read again 3")
        expect(desk.read(event(3, 2)), "send 3: 2", "read new all but 3 5")
    }

    @Test func `a group that Redis lost is made anew, and what is in hand still goes`() {
        let desk = WebhookDesk.delivering()
        expect(desk.read(event(3, 1)), "send 3: 1", "read new all")
        expect(desk.readFailed(.groupLost), "tell log failed", "ask")
        expect(desk.answer(3), "ack 3: 1")
        expect(desk.acknowledgeFailed(3, .groupLost), "tell log answers")
        expect(desk.hold(true), "wake hold in 3.0", "wake lapse in 9.0", "read again all")
        expect(desk.read(), "read new all")
    }

    // MARK: giving up

    @Test func `what is too old is given up when it fails, and said`() {
        let desk = WebhookDesk.delivering { $0.giveUpAfter = .seconds(3600) }
        expect(desk.read(event(3, 1, ago: 7200), event(3, 2, ago: 3600)), "send 3: 1 2", "read new all")
        expect(desk.read(event(3, 3, ago: 3600), event(4, 8, ago: 7200)), "send 4: 8", "read new all")
        expect(
            desk.answer(3, WebhookDesk.busy),
            "tell gave up 2 from 3-1-0",
            "ack 3: 1 2",
            "tell failing 3-1-0: status 503"
        )
        // The next is as old, and nobody is there: it is not even tried.
        expect(desk.acknowledged(3), "tell gave up 1 from 3-3-0", "ack 3: 3")
        expect(desk.acknowledged(3))
        // The one that is taken late is taken.
        expect(desk.answer(4), "ack 4: 8")
        #expect(desk.counts.eventsGivenUp == 3 && desk.counts.batchesGivenUp == 2)
        #expect(desk.counts.eventsSent == 1 && desk.counts.batchesRetried == 0)
    }

    @Test func `a batch is given up only when its newest event is too old`() {
        let desk = WebhookDesk.delivering { $0.giveUpAfter = .seconds(3600) }
        expect(desk.read(event(3, 1, ago: 7200), event(3, 2, ago: 3599)), "send 3: 1 2", "read new all")
        expect(desk.answer(3, WebhookDesk.busy), "wake lane 3 in 2.0", "tell failing 3-1-0: status 503")
        desk.pass(2)
        expect(desk.due(.lane(3)), "send 3: 1 2")
        expect(desk.answer(3, WebhookDesk.busy), "tell gave up 2 from 3-1-0", "ack 3: 1 2")
    }

    @Test func `while the receiver fails, what follows a given up batch waits too`() {
        let desk = WebhookDesk.delivering { $0.giveUpAfter = .seconds(3600) }
        expect(desk.read(event(3, 1, ago: 7200)), "send 3: 1", "read new all")
        expect(desk.read(event(3, 2)), "read new all")
        _ = desk.answer(3, WebhookDesk.busy)
        expect(desk.acknowledged(3), "wake lane 3 in 2.0")
        #expect(desk.counts.oldest == event(3, 2).at)
        desk.pass(2)
        expect(desk.due(.lane(3)), "send 3: 2")
        expect(desk.answer(3), "ack 3: 2", "tell recovered")
        expect(desk.acknowledged(3))
        #expect(desk.counts.oldest == nil)
    }

    // MARK: ends

    @Test func `a receiver that is gone ends it`() {
        let desk = WebhookDesk.delivering()
        expect(desk.read(event(3, 1), event(4, 2)), "send 3: 1", "send 4: 2", "read new all")
        expect(desk.answer(3, .gone), "tell gone", "drop", "release", "end")
        #expect(desk.isEnded && desk.counts.isGone && !desk.counts.isHolding)
        expect(desk.answer(4))
        expect(desk.stop())
    }

    @Test func `a stop lets what is under way finish, and begins nothing`() {
        let desk = WebhookDesk.delivering()
        expect(desk.read(event(3, 1), event(4, 2)), "send 3: 1", "send 4: 2", "read new all")
        expect(desk.read(event(3, 9)), "read new all")
        expect(desk.stop())
        expect(desk.answer(4, WebhookDesk.busy))
        desk.pass(3)
        expect(desk.due(.lane(4)))
        expect(desk.due(.hold), "ask")
        expect(desk.hold(true), "wake hold in 3.0", "wake lapse in 9.0")
        expect(desk.answer(3), "ack 3: 1")
        #expect(!desk.isEnded)
        expect(desk.acknowledged(3), "drop", "release", "end")
        #expect(desk.isEnded && desk.counts.eventsSent == 1)
    }

    @Test func `a stop with nothing under way is the end, also while waiting`() {
        expect(WebhookDesk.delivering().stop(), "drop", "release", "end")
        let waiting = WebhookDesk()
        _ = waiting.began()
        expect(waiting.stop(), "drop", "release", "end")
        expect(waiting.hold(true))
    }

    @Test func `a hold that lapses while stopping ends it`() {
        let desk = WebhookDesk.delivering()
        _ = desk.read(event(3, 1))
        expect(desk.stop())
        desk.pass(9)
        expect(desk.due(.lapse), "drop", "release", "end")
    }

    // MARK: pauses

    @Test func `pauses double from two seconds to a minute, and half of each is jitter`() {
        let rules = WebhookRules()
        let high = (1...8).map { rules.pause(failures: $0, asked: nil, random: 1) / .seconds(1) }
        let low = (1...8).map { rules.pause(failures: $0, asked: nil, random: 0) / .seconds(1) }
        #expect(high == [2, 4, 8, 16, 32, 60, 60, 60])
        #expect(low == high.map { $0 / 2 })
        #expect(rules.pause(failures: 1_000_000, asked: nil, random: 1) == .seconds(60))
    }

    @Test(arguments: [(0, 2.0), (1, 2), (7, 7), (120, 120), (86_400, 300)])
    func `what the receiver asks for is honoured within bounds`(asked: Int, pause: Double) {
        let rules = WebhookRules()
        #expect(rules.pause(failures: 1, asked: .seconds(asked), random: 1) / .seconds(1) == pause)
    }
}
