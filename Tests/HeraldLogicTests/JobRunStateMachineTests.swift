import HeraldCore
import Testing

@testable import HeraldLogic

struct JobRunStateMachineTests {
    private static let id: JobID = {
        var ids = JobIDSource(random: 7)
        return ids.next()
    }()

    private static let created = RedisTime(milliseconds: 1_800_000_000_000)

    private func step(_ index: Int, _ count: Int = 1) throws -> JobStep {
        JobStep(index: index, targets: try (0..<count).map { .user(try UserID("u\(index)-\($0)")) })
    }

    private func machine(
        _ step: JobStep?,
        rate: Int = 0,
        tries: Int = 1,
        at now: Duration = .zero
    ) -> JobRunStateMachine {
        var limits = JobLimits()
        limits.claimIdle = .seconds(6)
        limits.triesMax = 3
        let claim = JobClaim(
            id: Self.id,
            created: Self.created,
            worker: "w",
            fence: 1,
            tries: tries,
            ratePerSecond: rate,
            step: step
        )
        return JobRunStateMachine(claim, limits: limits, at: now)
    }

    private func answer(_ step: JobStep, _ verdict: Verdict = .routed) -> PushAnswer {
        PushAnswer(
            id: Self.id.push(ofStep: step.index, created: Self.created),
            verdicts: step.targets.map { TargetVerdict(target: $0, verdict: verdict) }
        )
    }

    private func progress(_ step: JobStep, _ verdict: String = "routed") -> JobProgress {
        JobProgress(step: step.index, targets: step.targets.count, verdicts: [verdict: step.targets.count])
    }

    @Test func `a job without a limit goes from step to step`() throws {
        let (first, second) = (try step(0, 2), try step(1))
        var machine = machine(first)
        #expect(machine.begin(at: .zero) == .send(first))
        #expect(
            machine.sent(answer(first), at: .zero, random: 0)
                == .advance(finished: progress(first), wantsStep: true)
        )
        #expect(machine.advanced(.run(second), at: .seconds(1)) == .send(second))
        #expect(
            machine.sent(answer(second, .offline), at: .zero, random: 0)
                == .advance(finished: progress(second, "offline"), wantsStep: true)
        )
        #expect(machine.advanced(.finished, at: .seconds(2)) == .end(.finished))
    }

    @Test func `a claim without a step asks for one`() {
        var machine = machine(nil)
        #expect(machine.begin(at: .zero) == .advance(finished: nil, wantsStep: true))
        #expect(machine.advanced(.finished, at: .zero) == .end(.finished))
    }

    @Test func `a paced job waits in beats and asks whether it is still its own`() throws {
        let (first, second) = (try step(0, 10), try step(1, 10))
        var machine = machine(first, rate: 10)
        #expect(machine.begin(at: .zero) == .send(first))
        _ = machine.sent(answer(first), at: .zero, random: 0)
        #expect(machine.advanced(.run(second), at: .milliseconds(100)) == .sleep(.milliseconds(500)))
        #expect(machine.woke(at: .milliseconds(600)) == .advance(finished: nil, wantsStep: false))
        #expect(machine.advanced(.carryOn, at: .milliseconds(600)) == .sleep(.milliseconds(400)))
        #expect(machine.woke(at: .seconds(1)) == .advance(finished: nil, wantsStep: false))
        #expect(machine.advanced(.carryOn, at: .seconds(1)) == .send(second))
        _ = machine.sent(answer(second), at: .zero, random: 0)
        // It took longer than its share: the next one starts at once, and no burst follows.
        let third = try step(2, 10)
        #expect(machine.advanced(.run(third), at: .seconds(9)) == .send(third))
        _ = machine.sent(answer(third), at: .zero, random: 0)
        #expect(machine.advanced(.run(try step(3)), at: .seconds(9)) == .sleep(.milliseconds(500)))
    }

    @Test(arguments: [JobState.paused, .cancelled, .running, nil])
    func `whoever has lost the job stops, while waiting and after a step`(_ state: JobState?) throws {
        let (first, second) = (try step(0, 10), try step(1))
        var waiting = machine(first, rate: 10)
        _ = waiting.begin(at: .zero)
        _ = waiting.sent(answer(first), at: .zero, random: 0)
        _ = waiting.advanced(.run(second), at: .zero)
        _ = waiting.woke(at: .milliseconds(500))
        #expect(waiting.advanced(.stop(state), at: .milliseconds(500)) == .end(.stopped(state)))
        var saving = machine(first)
        _ = saving.begin(at: .zero)
        _ = saving.sent(answer(first), at: .zero, random: 0)
        #expect(saving.advanced(.stop(state), at: .zero) == .end(.stopped(state)))
    }

    @Test func `a step is saved again until the claim must have lapsed`() throws {
        let first = try step(0)
        let away = JobQueueError.unavailable("away")
        var machine = machine(first)
        _ = machine.begin(at: .zero)
        let save = machine.sent(answer(first), at: .zero, random: 0)
        #expect(machine.unanswered(away, at: .seconds(2)) == .sleep(.milliseconds(250)))
        #expect(machine.woke(at: .milliseconds(2250)) == save)
        #expect(machine.unanswered(away, at: .milliseconds(5999)) == .sleep(.milliseconds(250)))
        #expect(machine.woke(at: .milliseconds(6249)) == save)
        #expect(machine.unanswered(away, at: .milliseconds(6249)) == .end(.lost))
    }

    @Test func `a step that fails for the moment is given back with a pause that grows`() throws {
        for (tries, least, most) in [(1, 500, 1000), (2, 1000, 2000), (9, 30_000, 60_000)] {
            for (random, expected) in [(0.0, least), (1.0, most)] {
                var machine = machine(try step(0), tries: tries)
                _ = machine.begin(at: .zero)
                let command = machine.refused(.busUnavailable, random: random)
                #expect(
                    command == .fail("\(PushRefusal.busUnavailable)", pause: .milliseconds(expected))
                )
            }
        }
    }

    private func answer(_ step: JobStep, _ verdicts: [Verdict]) -> PushAnswer {
        PushAnswer(
            id: Self.id.push(ofStep: step.index, created: Self.created),
            verdicts: zip(step.targets, verdicts).map { TargetVerdict(target: $0, verdict: $1) }
        )
    }

    @Test func `targets that are unreachable are sent again, and counted after the last try`() throws {
        let whole = try step(0, 4)
        let first = JobStep(index: 0, targets: Array(whole.targets[1...2]))
        let last = JobStep(index: 0, targets: [whole.targets[2]])
        var machine = machine(whole)
        #expect(machine.begin(at: .zero) == .send(whole))
        let some = answer(whole, [.routed, .unreachable, .unreachable, .offline])
        #expect(machine.sent(some, at: .seconds(1), random: 1) == .sleep(.milliseconds(500)))
        #expect(machine.woke(at: .milliseconds(1500)) == .advance(finished: nil, wantsStep: false))
        #expect(machine.advanced(.carryOn, at: .milliseconds(1500)) == .sleep(.milliseconds(500)))
        #expect(machine.woke(at: .seconds(2)) == .advance(finished: nil, wantsStep: false))
        #expect(machine.advanced(.carryOn, at: .seconds(2)) == .send(first))
        let fewer = answer(first, [.routed, .unreachable])
        #expect(machine.sent(fewer, at: .seconds(2), random: 0) == .sleep(.milliseconds(500)))
        _ = machine.woke(at: .milliseconds(2500))
        #expect(machine.advanced(.carryOn, at: .seconds(3)) == .send(last))
        let verdicts = ["routed": 2, "offline": 1, "unreachable": 1]
        #expect(
            machine.sent(answer(last, .unreachable), at: .seconds(3), random: 0)
                == .advance(
                    finished: JobProgress(step: 0, targets: 4, verdicts: verdicts),
                    wantsStep: true
                )
        )
        // The next step has all its tries.
        let next = try step(1)
        #expect(machine.advanced(.run(next), at: .seconds(3)) == .send(next))
        let again = machine.sent(answer(next, .unreachable), at: .seconds(3), random: 1)
        #expect(again == .sleep(.milliseconds(500)))
    }

    @Test func `what is kept, and a room that was reached in part, is not sent again`() throws {
        let room = Target.room(try RoomID("r"))
        let user = Target.user(try UserID("u"))
        let node = try NodeID("cloud-1")
        func verdict(_ target: Target, _ change: (inout TargetVerdict) -> Void) -> TargetVerdict {
            var verdict = TargetVerdict(target: target, verdict: .unreachable, missed: [node])
            change(&verdict)
            return verdict
        }
        let cases: [(TargetVerdict, isSentAgain: Bool)] = [
            (verdict(user) { _ in }, true), (verdict(user) { $0.nodes = [node] }, true),
            (verdict(user) { $0.position = InboxPosition(epoch: 1, offset: 1) }, false),
            (verdict(room) { _ in }, true), (verdict(room) { $0.nodes = [node] }, false),
            (verdict(.everyone) { $0.nodes = [node] }, false),
        ]
        for (verdict, isSentAgain) in cases {
            var machine = machine(JobStep(index: 0, targets: [verdict.target]))
            _ = machine.begin(at: .zero)
            let answer = PushAnswer(id: Self.id.push(ofStep: 0, created: Self.created), verdicts: [verdict])
            let command = machine.sent(answer, at: .zero, random: 0)
            let progress = JobProgress(step: 0, targets: 1, verdicts: ["unreachable": 1])
            let saves = JobRunStateMachine.Command.advance(finished: progress, wantsStep: true)
            #expect(command == (isSentAgain ? .sleep(.milliseconds(500)) : saves))
        }
    }

    @Test(arguments: [JobState.paused, nil])
    func `a job that is stopped between two tries of a step saves nothing of it`(_ state: JobState?) throws {
        let first = try step(0, 2)
        var machine = machine(first)
        _ = machine.begin(at: .zero)
        _ = machine.sent(answer(first, [.routed, .unreachable]), at: .zero, random: 0)
        _ = machine.woke(at: .milliseconds(500))
        #expect(machine.advanced(.stop(state), at: .milliseconds(500)) == .end(.stopped(state)))
        var stopping = self.machine(first)
        _ = stopping.begin(at: .zero)
        _ = stopping.sent(answer(first, [.routed, .unreachable]), at: .zero, random: 0)
        stopping.stop()
        #expect(stopping.woke(at: .milliseconds(500)) == .release)
    }

    @Test func `a step that was saved begins the tries anew`() throws {
        let (first, second) = (try step(0), try step(1))
        var machine = machine(first, tries: 3)
        _ = machine.begin(at: .zero)
        _ = machine.sent(answer(first), at: .zero, random: 0)
        _ = machine.advanced(.run(second), at: .zero)
        #expect(
            machine.refused(.lateUnsent, random: 1) == .fail("\(PushRefusal.lateUnsent)", pause: .seconds(1))
        )
    }

    @Test func `what cannot get better is given up at once`() throws {
        var machine = machine(try step(0))
        _ = machine.begin(at: .zero)
        #expect(machine.refused(.tableCorrupt, random: 0) == .fail("\(PushRefusal.tableCorrupt)", pause: nil))
        var unreadable = self.machine(try step(0))
        _ = unreadable.begin(at: .zero)
        #expect(
            unreadable.unreadable("is no JSON")
                == .fail("the message cannot be read: is no JSON", pause: nil)
        )
        var corrupt = self.machine(nil)
        _ = corrupt.begin(at: .zero)
        #expect(corrupt.unanswered(.corrupt("half is gone"), at: .zero) == .fail("half is gone", pause: nil))
    }

    @Test func `told to stop it ends the step and gives the job back`() throws {
        let first = try step(0)
        var sending = machine(first)
        _ = sending.begin(at: .zero)
        sending.stop()
        #expect(
            sending.sent(answer(first), at: .zero, random: 0)
                == .advance(finished: progress(first), wantsStep: false)
        )
        #expect(sending.advanced(.carryOn, at: .zero) == .release)
        var last = machine(first)
        _ = last.begin(at: .zero)
        last.stop()
        _ = last.sent(answer(first), at: .zero, random: 0)
        #expect(last.advanced(.finished, at: .zero) == .end(.finished))
        var waiting = machine(try step(0, 10), rate: 10)
        _ = waiting.begin(at: .zero)
        _ = waiting.sent(answer(try step(0, 10)), at: .zero, random: 0)
        _ = waiting.advanced(.run(first), at: .zero)
        waiting.stop()
        #expect(waiting.woke(at: .milliseconds(500)) == .release)
        var early = machine(first)
        early.stop()
        #expect(early.begin(at: .zero) == .release)
        var refused = machine(first)
        _ = refused.begin(at: .zero)
        #expect(refused.refused(.stopping, random: 0) == .release)
    }

    @Test(arguments: [0, 1, 5, 8, 16, 23])
    func `a worker's room is shared among the partitions in turn`(_ free: Int) {
        var sums = [Int](repeating: 0, count: JobID.partitionCount)
        for turn in 0..<JobID.partitionCount {
            let limits = JobShares.limits(free: free, turn: turn)
            #expect(limits.reduce(0, +) == free)
            for (partition, limit) in limits.enumerated() { sums[partition] += limit }
        }
        #expect(Set(sums) == [free])
        #expect(JobShares.limits(free: -3, turn: 5).allSatisfy { $0 == 0 })
    }
}
