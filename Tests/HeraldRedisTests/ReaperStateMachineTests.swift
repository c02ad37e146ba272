import Testing

@testable import HeraldRedis

/// The machine's transcripts. Time is in milliseconds.
struct ReaperStateMachineTests {
    private static let rules = ReaperStateMachine.Rules(trustAfter: .seconds(20))

    private func at(_ milliseconds: Int64) -> Moment { Moment(nanoseconds: milliseconds * 1_000_000) }

    /// Looks at the role each half second, found taken, up to a moment.
    private func wait(_ machine: inout ReaperStateMachine, from start: Int64, to end: Int64) {
        for time in stride(from: start, through: end, by: 500) {
            machine.looked(isFree: false, at: at(time), connection: 1)
        }
    }

    @Test func `alone, it takes the role at the second look and works after a moment of hearing`() {
        var machine = ReaperStateMachine(Self.rules, at: at(0))
        #expect(machine.nextStep(at: at(0)) == .look)
        machine.looked(isFree: true, at: at(0), connection: 1)
        #expect(machine.nextStep(at: at(499)) == .wait(until: at(500)))
        #expect(machine.nextStep(at: at(500)) == .hold)
        machine.holdAnswered(isOurs: true, at: at(500), connection: 1)
        #expect(machine.isActing == true)
        #expect(machine.nextStep(at: at(600)) == .wait(until: at(1000)))
        for time in stride(from: Int64(1000), through: 2000, by: 500) {
            #expect(machine.nextStep(at: at(time)) == .hold)
            machine.holdAnswered(isOurs: true, at: at(time), connection: 1)
        }
        #expect(machine.nextStep(at: at(2000)) == .work(judges: false))
        machine.worked(hasMore: true, at: at(2100), connection: 1)
        #expect(machine.nextStep(at: at(2100)) == .work(judges: false))
        machine.worked(hasMore: false, at: at(2200), connection: 1)
        #expect(machine.nextStep(at: at(2200)) == .wait(until: at(2500)))
    }

    @Test func `it judges once answers came without a gap for as long as trust takes`() {
        var machine = ReaperStateMachine(Self.rules, at: at(0))
        for time in stride(from: Int64(0), through: 20_000, by: 500) {
            machine.holdAnswered(isOurs: true, at: at(time), connection: 1)
            let step = machine.nextStep(at: at(time))
            if time >= 2000 { #expect(step == .work(judges: time >= 20_000), "\(time)") }
        }
        #expect(machine.isTrusting(at: at(22_000)) == true)
        #expect(machine.isTrusting(at: at(22_001)) == false)
    }

    @Test func `one in standby has the trust when the role comes to it`() {
        var machine = ReaperStateMachine(Self.rules, at: at(0))
        wait(&machine, from: 0, to: 19_500)
        #expect(machine.nextStep(at: at(20_000)) == .look)
        machine.looked(isFree: false, at: at(20_000), connection: 1)
        #expect(machine.nextStep(at: at(20_500)) == .hold)
        machine.holdAnswered(isOurs: false, at: at(20_500), connection: 1)
        #expect(machine.isActing == false)
        #expect(machine.nextStep(at: at(20_600)) == .wait(until: at(21_000)))
        machine.holdAnswered(isOurs: true, at: at(21_000), connection: 1)
        #expect(machine.nextStep(at: at(21_000)) == .work(judges: true))
    }

    @Test func `after an absence the role is asked for, given back, and nobody judged`() {
        var machine = ReaperStateMachine(Self.rules, at: at(0))
        wait(&machine, from: 0, to: 20_000)
        machine.holdAnswered(isOurs: true, at: at(20_500), connection: 1)
        #expect(machine.nextStep(at: at(20_500)) == .work(judges: true))
        // Redis is away; each call fails.
        machine.failed(at: at(21_500))
        #expect(machine.nextStep(at: at(22_000)) == .hold)
        machine.failed(at: at(24_000))
        #expect(machine.nextStep(at: at(24_500)) == .hold)
        machine.holdAnswered(isOurs: true, at: at(24_500), connection: 1)
        #expect(machine.nextStep(at: at(24_500)) == .release)
        machine.released(at: at(24_500))
        #expect(machine.isActing == false)
        #expect(machine.isTrusting(at: at(24_500)) == false)
        #expect(machine.nextStep(at: at(25_000)) == .look)
    }

    @Test func `a frozen process does not go on with what it thought`() {
        var machine = ReaperStateMachine(Self.rules, at: at(0))
        wait(&machine, from: 0, to: 20_000)
        machine.holdAnswered(isOurs: true, at: at(20_500), connection: 1)
        machine.worked(hasMore: true, at: at(20_600), connection: 1)
        // A minute later: the role first, and it is another's.
        #expect(machine.nextStep(at: at(80_600)) == .hold)
        machine.holdAnswered(isOurs: false, at: at(80_600), connection: 1)
        #expect(machine.nextStep(at: at(81_100)) == .look)
    }

    @Test func `another connection is another Redis until it has answered for as long`() {
        var machine = ReaperStateMachine(Self.rules, at: at(0))
        wait(&machine, from: 0, to: 20_000)
        #expect(machine.isTrusting(at: at(20_000)) == true)
        machine.looked(isFree: false, at: at(20_500), connection: 2)
        #expect(machine.isTrusting(at: at(20_500)) == false)
        #expect(machine.nextStep(at: at(21_000)) == .look)
    }

    @Test func `a role that was refused while work went on is not kept`() {
        var machine = ReaperStateMachine(Self.rules, at: at(0))
        machine.holdAnswered(isOurs: true, at: at(0), connection: 1)
        machine.holdAnswered(isOurs: false, at: at(500), connection: 1)
        machine.worked(hasMore: true, at: at(600), connection: 1)
        #expect(machine.isActing == false)
        #expect(machine.nextStep(at: at(600)) == .wait(until: at(1000)))
    }
}
