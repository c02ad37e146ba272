import HeraldCore
import HeraldTesting
import ServiceLifecycle
import Synchronization
import Testing

@testable import HeraldLogic

@Suite(.timeLimit(.minutes(1)))
struct JobWorkerTests {
    private let queue = MemoryJobQueue()
    private let clients = Clients()

    /// Runs a worker until it has finished a job or died, and ends it without any cleaning up.
    private func work(killed steps: Int? = nil, name: String = "w") async throws -> Bool {
        let killer = Killer(after: steps)
        let mortal = MortalQueue(base: queue, killer: killer, finished: Gate(isOpen: false))
        let worker = JobWorker(name: name, queue: mortal, clock: ContinuousClock(), logger: .silent) {
            [clients] push async throws(PushRefusal) in
            guard await killer.step() else { throw .callerGone }
            clients.take(push)
            guard await killer.step() else { throw .callerGone }
            return routed(push)
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await worker.run() }
            await withTaskGroup(of: Void.self) { first in
                first.addTask { await killer.waitForDeath() }
                first.addTask { await mortal.finished.pass() }
                await first.next()
                first.cancelAll()
            }
            group.cancelAll()
        }
        return killer.isDead
    }

    @Test func `a job whose worker dies anywhere ends complete, each target once`() async throws {
        var deaths = 0
        for step in 0... {
            let fresh = JobWorkerTests()
            let job = try job(3, of: 4)
            _ = try await fresh.queue.add(job)
            let died = try await fresh.work(killed: step)
            if died {
                deaths += 1
                let afterDeath = try #require(try await fresh.queue.find(job.id))
                if afterDeath.state == .running {
                    fresh.queue.advance(by: .seconds(10))
                    #expect(try await !fresh.work(name: "w2"))
                }
            }
            let end = try #require(try await fresh.queue.find(job.id))
            #expect(end.state == .done && end.targetsDone == 12 && end.verdicts == ["routed": 12])
            #expect(fresh.clients.shown.count == 12)
            #expect(fresh.clients.shown.values.allSatisfy { $0 == 1 })
            #expect(fresh.clients.raw <= 16, "no more than one step is repeated")
            #expect(fresh.clients.certain == 0)
            if !died { break }
        }
        // Once after the claim, and before and after each of three steps' sending and saving.
        #expect(deaths == 13)
    }

    @Test func `a worker that is killed again and again gets there`() async throws {
        let job = try job(40, of: 5)
        _ = try await queue.add(job)
        var kills = 0
        while try await work(killed: 11 + kills * 2, name: "w\(kills)") {
            kills += 1
            queue.advance(by: .seconds(10))
        }
        let end = try #require(try await queue.find(job.id))
        #expect(end.state == .done && end.targetsDone == 200 && kills >= 5)
        #expect(clients.shown.count == 200 && clients.shown.values.allSatisfy { $0 == 1 })
    }

    @Test func `a poisoned job is dead after its tries, and what came of it is kept`() async throws {
        let job = try job(2, of: 1)
        _ = try await queue.add(job)
        // It survives the first step, and never the second.
        for kill in [6, 1, 1, 1, 1] {
            #expect(try await work(killed: kill))
            queue.advance(by: .seconds(10))
        }
        _ = try await queue.claim(by: "w", limits: Array(repeating: 1, count: JobID.partitionCount))
        let dead = try #require(try await queue.find(job.id))
        #expect(dead.state == .dead && dead.targetsDone == 1 && dead.failure.contains("step 1"))
        #expect(try await queue.change(job.id, .requeue) == .done(.queued))
        #expect(try await !work())
        #expect(try await queue.find(job.id)?.state == .done)
        #expect(clients.shown.values.allSatisfy { $0 == 1 } && clients.shown.count == 2)
    }

    @Test func `a name that is used again is shown again`() async throws {
        for life in 1...2 {
            let job = try job(2, of: 1)
            #expect(try await queue.add(job) == .queued)
            #expect(try await !work())
            #expect(clients.shown.count == 2 && clients.shown.values.allSatisfy { $0 == life })
            #expect(try await queue.change(job.id, .delete) == .done(nil))
            queue.advance(by: .milliseconds(1))
        }
    }

    @Test func `a message that cannot be read is dead at once`() async throws {
        var unreadable = try job(1, of: 1)
        unreadable.message = Array("{]".utf8)
        _ = try await queue.add(unreadable)
        #expect(try await !work())
        let dead = try #require(try await queue.find(unreadable.id))
        #expect(dead.state == .dead && dead.failure.contains("cannot be read"))
        #expect(clients.pushes == 0)
    }

    @Test func `a step is pushed as its job asks, and again to those who were unreachable`() async throws {
        var limits = JobLimits()
        limits.backOffMin = .milliseconds(1)
        let pushes = Mutex<[Push]>([])
        var asked = try job(1, of: 3)
        asked.message = Array(#"{"event":"news","confirm":"acked","deadline_ms":1500}"#.utf8)
        _ = try await queue.add(asked)
        let mortal = MortalQueue(base: queue, killer: Killer(after: nil), finished: Gate(isOpen: false))
        let worker = JobWorker(
            name: "w",
            queue: mortal,
            limits: limits,
            clock: ContinuousClock(),
            logger: .silent
        ) { push async throws(PushRefusal) in
            let turn = pushes.withLock { pushes in
                pushes.append(push)
                return pushes.count
            }
            // One more of the three is reached each time.
            let verdicts = push.targets.enumerated().map { place, target in
                TargetVerdict(target: target, verdict: place == 0 ? .acked : .unreachable)
            }
            #expect(turn <= 3)
            return PushAnswer(id: push.id, verdicts: verdicts)
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await worker.run() }
            await mortal.finished.pass()
            group.cancelAll()
        }
        let end = try #require(try await queue.find(asked.id))
        #expect(end.state == .done && end.targetsDone == 3 && end.verdicts == ["acked": 3])
        let sent = pushes.withLock { $0 }
        #expect(sent.map(\.targets) == (0..<3).map { Array(asked.steps[0][$0...]) })
        let id = try await queue.push(of: asked)
        #expect(sent.allSatisfy { $0.id == id && $0.isRepeat })
        #expect(sent.allSatisfy { $0.confirm == .acked && $0.deadline == .milliseconds(1500) })
        let counters = worker.counters.done
        #expect(counters.steps == 1 && counters.stepsRepeated == 2 && counters.targets == ["acked": 3])
    }

    @Test func `a queue that is broken in part is told once and worked for the rest`() async throws {
        let (sent, signal) = AsyncStream<Push>.makeStream()
        let log = LogLines()
        queue.trouble = .corrupt("a key is not Herald's")
        let worker = JobWorker(name: "w", queue: queue, clock: ContinuousClock(), logger: log.logger) {
            push async throws(PushRefusal) in
            signal.yield(push)
            return routed(push)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await worker.run() }
            var (pushes, lines) = (sent.makeAsyncIterator(), log.lines.makeAsyncIterator())
            for random in 1...3 {
                let job = try job(1, of: 1, random: UInt64(random))
                _ = try await queue.add(job)
                #expect(try await pushes.next()?.id == queue.push(of: job))
            }
            #expect(await lines.next() == "a part of the job queue holds what it should not")
            queue.trouble = nil
            #expect(await lines.next() == "the job queue answers")
            queue.isUnavailable = true
            #expect(await lines.next() == "the job queue does not answer")
            queue.trouble = .unavailable("a part is away")
            queue.isUnavailable = false
            #expect(await lines.next() == "a part of the job queue does not answer")
            queue.trouble = nil
            #expect(await lines.next() == "the job queue answers")
            group.cancelAll()
        }
    }

    @Test func `a worker goes on when the queue has lost everything`() async throws {
        let (sent, signal) = AsyncStream<Push>.makeStream()
        let hold = Gate(isOpen: false)
        let worker = JobWorker(name: "w", queue: queue, clock: ContinuousClock(), logger: .silent) {
            push async throws(PushRefusal) in
            signal.yield(push)
            await hold.pass()
            return routed(push)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await worker.run() }
            var pushes = sent.makeAsyncIterator()
            let lost = try job(2, of: 1)
            _ = try await queue.add(lost)
            #expect(try await pushes.next()?.id == queue.push(of: lost))
            queue.forget()
            hold.open()
            let next = try job(2, of: 1, random: 2)
            _ = try await queue.add(next)
            #expect(try await pushes.next()?.id == queue.push(of: next))
            #expect(try await pushes.next()?.id == queue.push(of: next, step: 1))
            group.cancelAll()
        }
        #expect(try await queue.find(try job(2, of: 1).id) == nil)
    }
}
