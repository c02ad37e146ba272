import HeraldCore
import HeraldTesting
import ServiceLifecycle
import Synchronization
import Testing

@testable import HeraldLogic

/// A worker and who holds its reins.
@Suite(.timeLimit(.minutes(1)))
struct JobControlTests {
    private let queue = MemoryJobQueue()
    private let clock = ManualClock()

    /// Runs a worker whose pushes wait at a gate; the body gets each push as it is sent.
    private func working(
        held: Bool = true,
        _ body: @Sendable (AsyncStream<(push: Push, at: Duration)>, Gate, ServiceGroup) async throws -> Void
    ) async throws {
        let (sent, signal) = AsyncStream<(push: Push, at: Duration)>.makeStream()
        let gate = Gate(isOpen: !held)
        let worker = JobWorker(name: "w", queue: queue, clock: clock, logger: .silent) {
            [clock] push async throws(PushRefusal) in
            signal.yield((push, clock.now.offset))
            await gate.pass()
            return routed(push)
        }
        let group = ServiceGroup(services: [worker], logger: .silent)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            try await body(sent, gate, group)
            await group.triggerGracefulShutdown()
            gate.open()
            try await tasks.waitForAll()
        }
    }

    /// Lets the worker look at the queue once more.
    private func tick() async {
        await clock.waitUntilSleeping()
        clock.advance(by: .milliseconds(100))
    }

    @Test func `a pause lets the step under way end, and begins no other`() async throws {
        let job = try job(5, of: 2)
        _ = try await queue.add(job)
        try await working { sent, gate, _ async throws in
            var pushes = sent.makeAsyncIterator()
            #expect(try await pushes.next()?.push.id == queue.push(of: job))
            #expect(try await queue.change(job.id, .pause) == .done(.paused))
            gate.letOneThrough()
            // The step's saving is the worker's next dealing with the queue; another look at it follows.
            queue.workerGate.close()
            await tick()
            await queue.workerGate.waitUntilWaiting()
            queue.workerGate.open()
            #expect(try await queue.change(job.id, .resume) == .done(.queued))
            await tick()
            let next = await pushes.next()
            let record = try #require(try await queue.find(job.id))
            // Either the saving came before the resumption or was refused after it: the push id tells a repeat.
            #expect(next?.push.id == job.id.push(ofStep: record.stepsDone, created: record.created))
            #expect(try await queue.change(job.id, .cancel) == .done(.cancelled))
        }
        #expect(try await queue.find(job.id)?.state == .cancelled)
    }

    @Test func `a cancel during a slow job's pause ends it`() async throws {
        let job = try job(5, of: 2, rate: 2)
        _ = try await queue.add(job)
        try await working(held: false) { sent, _, _ async throws in
            var pushes = sent.makeAsyncIterator()
            #expect(try await pushes.next()?.push.id == queue.push(of: job))
            // The job waits for its second step, the worker for its next look.
            await clock.waitUntilSleeping(2)
            #expect(try await queue.change(job.id, .cancel) == .done(.cancelled))
            clock.advance(by: .milliseconds(500))
        }
        #expect(try await queue.find(job.id)?.stepsDone == 1)
    }

    @Test func `a job keeps its rate`() async throws {
        let job = try job(4, of: 10, rate: 10)
        _ = try await queue.add(job)
        try await working(held: false) { sent, _, _ async throws in
            var pushes = sent.makeAsyncIterator()
            var times = [try #require(await pushes.next()).1]
            for _ in 1..<4 {
                // Time passes only while the job waits for its next step and the worker for its next look.
                for _ in 0..<20 {
                    await clock.waitUntilSleeping(2)
                    clock.advance(by: .milliseconds(50))
                }
                times.append(try #require(await pushes.next()).1)
            }
            #expect(zip(times, times.dropFirst()).map { $1 - $0 } == Array(repeating: .seconds(1), count: 3))
        }
    }

    @Test func `told to stop, a worker ends its step and gives the job back`() async throws {
        // More steps than go out before the worker has heard of it.
        let job = try job(20_000, of: 1)
        _ = try await queue.add(job)
        try await working { sent, gate, group async throws in
            var pushes = sent.makeAsyncIterator()
            #expect(try await pushes.next()?.push.id == queue.push(of: job))
            await group.triggerGracefulShutdown()
            gate.open()
        }
        let record = try #require(try await queue.find(job.id))
        #expect(record.state == .queued && record.tries == 0)
        #expect((1..<20_000).contains(record.stepsDone))
    }

    @Test func `many small jobs go out together, each once`() async throws {
        var ids = JobIDSource(random: 9)
        var all: Set<PushID> = []
        for _ in 0..<200 {
            let job = NewJob(
                id: ids.next(),
                message: Array(#"{}"#.utf8),
                steps: [[.everyone]]
            )
            _ = try await queue.add(job)
            all.insert(try await queue.push(of: job))
        }
        try await working(held: false) { [all] sent, _, _ async throws in
            var seen: [PushID] = []
            for await (push, _) in sent {
                seen.append(push.id)
                if seen.count == 200 { break }
            }
            #expect(Set(seen) == all)
        }
        #expect(try await queue.counts().jobs[.done] == 200)
    }
}
