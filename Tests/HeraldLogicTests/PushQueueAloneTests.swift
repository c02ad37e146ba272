import HeraldCore
import Testing

@testable import HeraldLogic

/// Each test is a transcript: what happens, and what the queue answers.
struct PushQueueAloneTests {
    @Test func `a push that waits alone is taken as a turn that is being sent`() throws {
        let desk = PushQueueDesk()
        #expect(desk.nextTurn() == .park)
        #expect(try desk.submit("a") == .acceptedWaking)
        #expect(desk.takeAlone() == ["a"])
        #expect(desk.depth == 0)
        #expect(desk.takeAlone() == nil)
        try desk.answer(1, "a")
        #expect(!desk.aloneDone())
        #expect(desk.lines == ["a answered"])
        // Who was parked before still is.
        #expect(try desk.submit("b") == .acceptedWaking)
    }

    @Test func `two that wait, several targets and what is kept do not go alone`() throws {
        let desk = PushQueueDesk()
        #expect(desk.takeAlone() == nil)
        try desk.submit("a")
        try desk.submit("b")
        #expect(desk.takeAlone() == nil)
        #expect(desk.nextTurn() == .turn(["a", "b"]))
        try desk.submit("c", targets: ["x", "y"])
        #expect(desk.takeAlone() == nil)
        #expect(desk.nextTurn() == .turn(["c"]))
        try desk.submit("d", isDurable: true)
        #expect(desk.takeAlone() == nil)
        // One that is settled does not stand in the way of turns, only of going alone.
        #expect(desk.nextTurn() == .turn(["d"]))
        try desk.submit("e")
        desk.cancel("e")
        #expect(desk.takeAlone() == nil)
    }

    @Test func `who comes while one is out wakes nobody, and is looked for when it is over`() throws {
        let desk = PushQueueDesk()
        #expect(desk.nextTurn() == .park)
        try desk.submit("a")
        #expect(desk.takeAlone() == ["a"])
        #expect(try desk.submit("b") == .accepted)
        #expect(desk.takeAlone() == nil)
        try desk.answer(1, "a")
        #expect(desk.aloneDone())
        #expect(desk.takeAlone() == ["b"])
    }

    @Test func `no turn begins while one is out, and who asked is woken after it`() throws {
        let desk = PushQueueDesk()
        try desk.submit("a")
        #expect(desk.takeAlone() == ["a"])
        try desk.submit("b")
        #expect(desk.nextTurn(evenEmpty: true) == .park)
        #expect(try desk.submit("c") == .accepted)
        try desk.answer(1, "a")
        #expect(desk.aloneDone())
        #expect(desk.nextTurn() == .turn(["b", "c"]))

        try desk.answer(2, "b", "c")
        try desk.submit("d")
        #expect(desk.takeAlone() == ["d"])
        #expect(desk.nextTurn(evenEmpty: true) == .park)
        try desk.answer(3, "d")
        // Nothing waits, but something was to be looked up again.
        #expect(desk.aloneDone())
        #expect(desk.nextTurn(evenEmpty: true) == .turn([]))
    }

    @Test func `one that was not sent is the next turn, and unsent again`() throws {
        let desk = PushQueueDesk()
        try desk.submit("a")
        #expect(desk.takeAlone() == ["a"])
        try desk.submit("b", at: .seconds(1))
        desk.aloneUnsent()
        #expect(desk.takeAlone() == nil)
        #expect(desk.nextTurn() == .turn(["a"]))
        #expect(!desk.aloneDone())
        #expect(desk.nextTurn() == .turn(["b"]))
        desk.expire(at: .seconds(3))
        #expect(desk.results["a"] == .failure(.lateUnsent))
        #expect(desk.beginSending(1) == nil)
        #expect(desk.beginSending(2) == [])
    }

    @Test func `who is late or stopped while it is out may have been sent`() throws {
        let desk = PushQueueDesk()
        try desk.submit("a")
        #expect(desk.takeAlone() == ["a"])
        desk.expire(at: .seconds(3))
        #expect(desk.results["a"] == .failure(.lateMaybeSent))
        try desk.answer(1, "a")
        #expect(!desk.aloneDone())

        try desk.submit("b")
        #expect(desk.takeAlone() == ["b"])
        #expect(!desk.drain())
        #expect(desk.nextTurn() == .park)
        desk.close()
        #expect(desk.results["b"] == .failure(.stoppedMaybeSent))
        #expect(desk.aloneDone())
        #expect(desk.nextTurn() == .finished)
    }
}
