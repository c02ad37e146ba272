import Testing

@testable import HeraldLogic

private typealias Machine = LeanLaneStateMachine<String, Int>

/// Transcripts: what is read and answered, and what follows.
struct LeanLaneStateMachineTests {
    /// A macro cannot look into what is not copyable.
    private func holds(_ claim: Bool) -> Bool { claim }

    private func request(_ body: Int) -> LeanRequest {
        LeanRequest(kind: .push, headBytes: 100, bodyBytes: body)
    }

    @Test func `answers leave in the order of the requests`() {
        var machine = Machine(owedMax: 10)
        for number in 0..<3 as Range<UInt64> {
            let step = machine.step(available: 120) { .lean(request(20)) }
            #expect(step == .take(request(20), number))
        }
        let first = machine.answered(1, "b")
        #expect(!first)
        #expect(machine.leave() == [])
        let second = machine.answered(0, "a")
        #expect(second)
        #expect(machine.leave() == ["a", "b"])
        let third = machine.answered(2, "c")
        #expect(third)
        #expect(machine.leave() == ["c"])
        #expect(!holds(machine.owes))
        let late = machine.answered(2, "again")
        #expect(!late)
        #expect(machine.leave() == [])
    }

    @Test func `a request is taken once it is whole`() {
        var machine = Machine(owedMax: 10)
        #expect(machine.step(available: 0) { .partial } == .wait)
        #expect(machine.step(available: 50) { .partial } == .wait)
        #expect(machine.step(available: 119) { .lean(request(20)) } == .await(bytes: 120))
        #expect(machine.step(available: 120) { .lean(request(20)) } == .take(request(20), 0))
    }

    @Test func `with too many owed, or nobody reading them, nothing is taken`() {
        var machine = Machine(owedMax: 1)
        #expect(machine.step(available: 120, mayTake: false) { .lean(request(20)) } == .hold)
        #expect(machine.step(available: 120) { .lean(request(20)) } == .take(request(20), 0))
        #expect(machine.step(available: 120) { .lean(request(20)) } == .hold)
        #expect(machine.step(available: 0) { .partial } == .wait)
        _ = machine.answered(0, "a")
        #expect(machine.step(available: 120) { .lean(request(20)) } == .hold)
        #expect(machine.leave() == ["a"])
        #expect(machine.step(available: 120) { .lean(request(20)) } == .take(request(20), 1))
    }

    @Test func `another request is lent when nothing is owed, and what follows it waits`() {
        var machine = Machine(owedMax: 10)
        #expect(machine.step(available: 120) { .lean(request(20)) } == .take(request(20), 0))
        #expect(machine.step(available: 60) { .ordinary(bytes: 50) } == .hold)
        #expect(machine.step(available: 60) { .partial } == .hold)
        _ = machine.answered(0, "a")
        #expect(machine.leave() == ["a"])
        #expect(machine.step(available: 60) { .partial } == .pass(bytes: 50))
        #expect(holds(machine.isLent))
        #expect(machine.step(available: 10) { .partial } == .hold)
        let returned = machine.returned()
        #expect(returned)
        #expect(!holds(machine.isLent))
        #expect(machine.step(available: 120) { .lean(request(20)) } == .take(request(20), 1))
        let again = machine.returned()
        #expect(!again)
    }

    @Test func `a lent request may come in pieces`() {
        var machine = Machine(owedMax: 10)
        #expect(machine.step(available: 30) { .ordinary(bytes: 50) } == .pass(bytes: 30))
        #expect(!holds(machine.isLent))
        let early = machine.returned()
        #expect(!early)
        #expect(machine.step(available: 0) { .partial } == .wait)
        #expect(machine.step(available: 100) { .partial } == .pass(bytes: 20))
        #expect(holds(machine.isLent))
        #expect(machine.step(available: 80) { .partial } == .hold)
    }

    @Test func `what is strange goes to the ordinary path for good, after what is owed`() {
        var machine = Machine(owedMax: 10)
        #expect(machine.step(available: 120) { .lean(request(20)) } == .take(request(20), 0))
        #expect(machine.step(available: 60) { .strange } == .hold)
        #expect(!holds(machine.isGiven))
        _ = machine.answered(0, "a")
        #expect(machine.leave() == ["a"])
        #expect(machine.step(available: 60) { .partial } == .pass(bytes: 60))
        #expect(holds(machine.isGiven))
        #expect(machine.step(available: 7) { .lean(request(20)) } == .pass(bytes: 7))
        let returned = machine.returned()
        #expect(!returned)
    }

    @Test func `a request that turns out to be the other path's is lent`() {
        var machine = Machine(owedMax: 10)
        #expect(machine.step(available: 240) { .lean(request(20)) } == .take(request(20), 0))
        #expect(machine.step(available: 120) { .lean(request(20)) } == .take(request(20), 1))
        machine.untake(request(20))
        #expect(machine.step(available: 120) { .partial } == .hold)
        _ = machine.answered(0, "a")
        #expect(machine.leave() == ["a"])
        #expect(machine.step(available: 120) { .partial } == .pass(bytes: 120))
        #expect(holds(machine.isLent))
    }

    @Test func `a request that comes too slowly is lent in part`() {
        var machine = Machine(owedMax: 10)
        #expect(machine.step(available: 110) { .lean(request(20)) } == .await(bytes: 120))
        machine.late(bytes: 120)
        #expect(machine.step(available: 110) { .partial } == .pass(bytes: 110))
        #expect(machine.step(available: 0) { .partial } == .wait)
        #expect(machine.step(available: 15) { .partial } == .pass(bytes: 10))
        #expect(holds(machine.isLent))
    }

    @Test func `the end is the ordinary path's, after what is owed`() {
        var machine = Machine(owedMax: 10)
        #expect(machine.step(available: 120) { .lean(request(20)) } == .take(request(20), 0))
        machine.give()
        #expect(machine.step(available: 0) { .partial } == .wait)
        #expect(!holds(machine.isGiven))
        _ = machine.answered(0, "a")
        #expect(machine.leave() == ["a"])
        #expect(machine.step(available: 0) { .partial } == .wait)
        #expect(holds(machine.isGiven))
    }

    @Test func `the end of a connection that is lent comes at once`() {
        var machine = Machine(owedMax: 10)
        #expect(machine.step(available: 50) { .ordinary(bytes: 50) } == .pass(bytes: 50))
        #expect(machine.step(available: 9) { .partial } == .hold)
        machine.give()
        #expect(holds(machine.isGiven))
        #expect(machine.step(available: 9) { .partial } == .pass(bytes: 9))
    }

    @Test func `a connection that is gone tells what is under way for nobody`() {
        var machine = Machine(owedMax: 10)
        for _ in 0..<3 { _ = machine.step(available: 120) { .lean(request(20)) } }
        machine.works(0, 70)
        machine.works(1, 71)
        machine.works(2, 72)
        _ = machine.answered(1, "b")
        machine.works(1, 73)
        #expect(machine.closed() == [70, 72])
        #expect(machine.closed() == [])
        let answered = machine.answered(0, "a")
        #expect(!answered)
        #expect(machine.leave() == [])
        #expect(machine.step(available: 120) { .lean(request(20)) } == .wait)
    }

    @Test func `a lane that is off gives everything away`() {
        var machine = Machine(owedMax: 10, isGiven: true)
        #expect(holds(machine.isGiven))
        #expect(machine.step(available: 120) { .lean(request(20)) } == .pass(bytes: 120))
    }
}
