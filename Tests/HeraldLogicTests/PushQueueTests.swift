import HeraldCore
import Testing

@testable import HeraldLogic

/// Each test is a transcript: what happens, and what the queue answers.
struct PushQueueTests {
    @Test func `a turn takes everything that waits, oldest first`() throws {
        let desk = PushQueueDesk()
        #expect(try desk.submit("a") == .accepted)
        #expect(try desk.submit("b") == .accepted)
        #expect(desk.depth == 2)

        #expect(desk.nextTurn() == .turn(["a", "b"]))
        #expect(desk.depth == 0)
        #expect(desk.beginSending(1) == [])
        try desk.answer(1, "a", "b", at: .seconds(1))
        #expect(desk.lines == ["a answered", "b answered"])

        #expect(desk.nextDeadline == nil)
        #expect(desk.counters.accepted == 2)
        #expect(desk.counters.answered == 2)
        #expect(desk.counters.turns == 1)
        #expect(desk.counters.pushDuration.sumMicroseconds == 2_000_000)
    }

    @Test func `who waits for a turn is woken once`() throws {
        let desk = PushQueueDesk()
        #expect(desk.nextTurn() == .park)
        #expect(try desk.submit("a") == .acceptedWaking)
        #expect(try desk.submit("b") == .accepted)
        #expect(desk.nextTurn() == .turn(["a", "b"]))
        #expect(try desk.submit("c") == .accepted)
        #expect(desk.nextTurn() == .turn(["c"]))
        #expect(desk.nextTurn() == .park)
    }

    @Test func `the next turn may be looked up while the last is being sent`() throws {
        let desk = PushQueueDesk()
        try desk.submit("a")
        #expect(desk.nextTurn() == .turn(["a"]))
        #expect(desk.beginSending(1) == [])
        try desk.submit("b")
        #expect(desk.nextTurn() == .turn(["b"]))
        try desk.answer(1, "a")
        desk.fail(2, .tableUnavailable)
        #expect(desk.lines == ["a answered", "b redis_unavailable"])
    }

    @Test func `a turn is bounded by targets and by bytes, and takes at least one push`() throws {
        var bounds = PushQueue.Bounds(waitingMax: 100, deadline: .seconds(3))
        bounds.turnTargetsMax = 3
        bounds.turnBytesMax = 10_000
        let desk = PushQueueDesk(bounds)
        try desk.submit("a", targets: ["x", "y"])
        try desk.submit("b", targets: ["x", "y"])
        try desk.submit("c", bytes: 20_000)
        try desk.submit("d")
        #expect(desk.nextTurn() == .turn(["a"]))
        #expect(desk.nextTurn() == .turn(["b"]))
        #expect(desk.nextTurn() == .turn(["c"]))
        #expect(desk.nextTurn() == .turn(["d"]))
    }

    @Test func `too many pushes are refused, and too many bytes`() throws {
        var bounds = PushQueue.Bounds(waitingMax: 2, deadline: .seconds(3))
        bounds.waitingBytesMax = 5000
        let desk = PushQueueDesk(bounds)
        try desk.submit("a")
        #expect(try desk.submit("big", bytes: 5000) == .refused)
        try desk.submit("b")
        #expect(try desk.submit("c") == .refused)
        #expect(desk.lines == ["big overloaded", "c overloaded"])
        #expect(desk.counters.refused == [.overloaded: 2])
        #expect(desk.counters.accepted == 2)
        #expect(desk.nextTurn() == .turn(["a", "b"]))
        #expect(try desk.submit("d", bytes: 4000) == .accepted)
    }

    @Test func `who is late is refused, and told whether it may have been sent`() throws {
        let desk = PushQueueDesk()
        try desk.submit("sending")
        #expect(desk.nextTurn() == .turn(["sending"]))
        #expect(desk.beginSending(1) == [])
        try desk.submit("looking", at: .seconds(1))
        #expect(desk.nextTurn() == .turn(["looking"]))
        try desk.submit("waiting", at: .seconds(2))
        try desk.submit("early", at: .seconds(3))

        #expect(desk.nextDeadline == .seconds(3))
        desk.expire(at: .seconds(2))
        #expect(desk.lines == [])
        desk.expire(at: .seconds(5))
        #expect(desk.results["sending"] == .failure(.lateMaybeSent))
        #expect(desk.results["looking"] == .failure(.lateUnsent))
        #expect(desk.results["waiting"] == .failure(.lateUnsent))
        #expect(desk.results.count == 3)
        #expect(desk.nextDeadline == .seconds(6))
        #expect(desk.depth == 1)

        // What comes for them later is ignored, and the one that was looked up is not sent.
        try desk.answer(1, "sending")
        #expect(desk.beginSending(2) == nil)
        #expect(desk.lines.count == 3)
        #expect(desk.nextTurn() == .turn(["early"]))
    }

    @Test func `a push that is settled while it is looked up is not sent with its turn`() throws {
        let desk = PushQueueDesk()
        try desk.submit("a")
        try desk.submit("b")
        #expect(desk.nextTurn() == .turn(["a", "b"]))
        desk.cancel("a")
        #expect(try desk.beginSending(1) == [PushID("a")])
        try desk.answer(1, "a", "b")
        #expect(desk.lines == ["a cancelled", "b answered"])
    }

    @Test func `a push that is taken back while it waits frees its place`() throws {
        let desk = PushQueueDesk(PushQueue.Bounds(waitingMax: 1, deadline: .seconds(3)))
        for round in 1...5 {
            #expect(try desk.submit("p\(round)") == .accepted)
            desk.cancel("p\(round)")
            desk.cancel("p\(round)")
        }
        #expect(desk.lines == (1...5).map { "p\($0) cancelled" })
        #expect(desk.depth == 0)
        #expect(desk.nextDeadline == nil)
        #expect(desk.nextTurn() == .park)
    }

    @Test func `a turn may be settled in parts`() throws {
        let desk = PushQueueDesk()
        try desk.submit("a")
        try desk.submit("b")
        #expect(desk.nextTurn() == .turn(["a", "b"]))
        #expect(desk.beginSending(1) == [])
        try desk.answer(1, nil, "b")
        #expect(desk.lines == ["b answered"])
        #expect(try desk.beginSending(1) == [PushID("b")])
        try desk.answer(1, "a", nil)
        #expect(desk.lines == ["b answered", "a answered"])
        #expect(desk.beginSending(1) == nil)
    }

    @Test func `a push with a shorter deadline is refused at it, wherever it is`() throws {
        let desk = PushQueueDesk()
        try desk.submit("usual")
        try desk.submit("sending", deadline: .milliseconds(100))
        #expect(desk.nextTurn() == .turn(["usual", "sending"]))
        #expect(desk.beginSending(1) == [])
        try desk.submit("waiting", deadline: .milliseconds(50))
        try desk.submit("long", deadline: .seconds(30))
        #expect(desk.nextDeadline == .milliseconds(50))
        desk.expire(at: .milliseconds(100))
        #expect(desk.results["waiting"] == .failure(.lateUnsent))
        #expect(desk.results["sending"] == .failure(.lateMaybeSent))
        #expect(desk.results.count == 2)
        // Nobody waits for Redis for longer than the usual time.
        #expect(desk.nextDeadline == .seconds(3))
        desk.expire(at: .seconds(3))
        #expect(desk.results["long"] == .failure(.lateUnsent))
        #expect(desk.nextDeadline == nil)
    }

    @Test func `pushes that are followed leave the queue with their callers`() throws {
        let desk = PushQueueDesk()
        for name in ["a", "b", "gone"] { try desk.submit(name) }
        #expect(desk.nextTurn() == .turn(["a", "b", "gone"]))
        #expect(desk.beginSending(1) == [])
        desk.cancel("gone")
        #expect(try desk.leave(1, nil, "b", nil) == [0])
        #expect(desk.lines == ["gone cancelled", "b answered"])
        #expect(desk.nextDeadline == nil)
        desk.close()
        #expect(desk.lines.count == 2)
    }

    @Test func `a turn without pushes is made only when it is asked for`() throws {
        let desk = PushQueueDesk()
        #expect(desk.nextTurn(evenEmpty: true) == .turn([]))
        #expect(desk.nextTurn() == .park)
        desk.unpark()
        #expect(try desk.submit("a") == .accepted)
    }

    @Test func `draining empties the queue and takes nothing more`() throws {
        let desk = PushQueueDesk()
        try desk.submit("a")
        #expect(!desk.drain())
        #expect(try desk.submit("b") == .refused)
        #expect(desk.lines == ["b stopping"])
        #expect(desk.nextTurn() == .turn(["a"]))
        #expect(desk.nextTurn() == .finished)
        try desk.answer(1, "a")
        #expect(desk.lines == ["b stopping", "a answered"])
    }

    @Test func `draining wakes who waits for a turn`() {
        let desk = PushQueueDesk()
        #expect(desk.nextTurn() == .park)
        #expect(desk.drain())
        #expect(!desk.drain())
        #expect(desk.nextTurn() == .finished)
    }

    @Test func `closing refuses everybody, wherever they are`() throws {
        let desk = PushQueueDesk()
        try desk.submit("sending")
        #expect(desk.nextTurn() == .turn(["sending"]))
        #expect(desk.beginSending(1) == [])
        try desk.submit("looking")
        #expect(desk.nextTurn() == .turn(["looking"]))
        try desk.submit("waiting")
        desk.close()
        #expect(desk.results["sending"] == .failure(.stoppedMaybeSent))
        #expect(desk.results["looking"] == .failure(.stopping))
        #expect(desk.results["waiting"] == .failure(.stopping))
        #expect(try desk.submit("late") == .refused)
        #expect(desk.beginSending(2) == nil)
        #expect(desk.nextTurn() == .finished)
        desk.close()
        #expect(desk.lines.count == 4)
    }
}
