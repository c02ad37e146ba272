// Takes jobs from the queue and carries them out, several at a time.
//
// It asks the queue every `pollInterval`, and at once while there is more than it could take: so a queued push waits
// 50 ms on average, a due one the same, and an idle worker costs Redis eight short scripts each time. Each claimed
// job is a task of its own, whose decisions are `JobRunStateMachine`'s.
//
// What ends it:
// - told to shut down, it claims no more, ends the steps that are under way and gives its jobs back;
// - cancelled or killed, it does nothing more: its claims lapse, and another worker goes on behind the last step
//   that was saved.

public import HeraldCore
import HeraldWire
public import Logging
public import ServiceLifecycle
import Synchronization

/// One worker. Any number of them share a queue, in one process or many.
public final class JobWorker<Time: Clock>: Service where Time.Duration == Duration {
    /// Sends one push and waits for its verdicts.
    public typealias Sender = @Sendable (Push) async throws(PushRefusal) -> PushAnswer

    private let name: String
    private let queue: any JobQueue
    private let send: Sender
    private let slots: Int
    private let limits: JobLimits
    private let pushLimits: Limits
    private let clock: Time
    private let began: Time.Instant
    private let logger: Logger
    private let state = Mutex(State())
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation

    private struct State {
        var counters = JobWorkerCounters()
        var running = 0
        var turn = 0
        /// Whether there was more to claim than there was room for.
        var isBehind = false
        var isStopping = false
        var reach = Reach.whole
    }

    /// How much of the queue answered when it was last asked.
    private enum Reach { case whole, part, none }

    /// How often the queue is asked while there is nothing to do.
    static var pollInterval: Duration { .milliseconds(100) }

    /// - Parameters:
    ///   - name: who it is to people, such as `job-1`.
    ///   - queue: answers each call within a time limit of its own.
    ///   - slots: jobs at once; at least 1.
    ///   - limits: of jobs; the same as the queue's.
    ///   - pushLimits: of the pushes that jobs are made of.
    ///   - clock: what paces jobs.
    ///   - logger: for what only the operator can mend.
    ///   - send: runs a push through a pipeline.
    public init(
        name: String,
        queue: any JobQueue,
        slots: Int = 16,
        limits: JobLimits = .standard,
        pushLimits: Limits = .standard,
        clock: Time,
        logger: Logger,
        send: @escaping Sender
    ) {
        self.name = name
        self.queue = queue
        self.slots = max(1, slots)
        self.limits = limits
        self.pushLimits = pushLimits
        self.clock = clock
        self.began = clock.now
        self.logger = logger
        self.send = send
        (signals, signal) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// What it has done, and how many jobs it is at now.
    var counters: (done: JobWorkerCounters, running: Int) {
        state.withLock { ($0.counters, $0.running) }
    }

    /// Works until it is shut down gracefully, or cancelled. Once only.
    public func run() async {
        await withGracefulShutdownHandler {
            await withTaskGroup(of: Void.self) { jobs in
                await withTaskGroup(of: Void.self) { ticks in
                    ticks.addTask { await self.tick() }
                    for await _ in signals where !Task.isCancelled {
                        if isStopping { break }
                        while await claim(into: &jobs) {}
                    }
                    ticks.cancelAll()
                }
            }
        } onGracefulShutdown: {
            self.state.withLock { $0.isStopping = true }
            self.signal.yield()
        }
    }

    private func tick() async {
        while !Task.isCancelled {
            signal.yield()
            try? await clock.sleep(until: clock.now.advanced(by: Self.pollInterval), tolerance: nil)
        }
    }

    // MARK: Claiming

    /// - Returns: whether it makes sense to ask again at once.
    private func claim(into jobs: inout TaskGroup<Void>) async -> Bool {
        let wanted = state.withLock { state in
            state.turn += 1
            return JobShares.limits(free: slots - state.running, turn: state.turn)
        }
        do throws(JobQueueError) {
            let claims = try await queue.claim(by: name, limits: wanted)
            note(claims, of: wanted)
            for claim in claims.jobs {
                jobs.addTask {
                    await self.carryOut(claim)
                    self.ended()
                }
            }
            guard !claims.jobs.isEmpty, !Task.isCancelled else { return false }
            return state.withLock { !$0.isStopping && $0.isBehind && $0.running < slots }
        } catch {
            note(error)
            return false
        }
    }

    private func note(_ claims: JobClaims, of wanted: [Int]) {
        var counts = [Int](repeating: 0, count: wanted.count)
        for claim in claims.jobs { counts[claim.id.partition] += 1 }
        let hasMore = zip(counts, wanted).contains { $0 > 0 && $0 >= $1 }
        let before = state.withLock { state in
            state.counters.claimed += claims.jobs.count
            state.running += claims.jobs.count
            // A partition that was not asked says nothing.
            state.isBehind = hasMore || state.isBehind && wanted.contains(0)
            defer { state.reach = claims.trouble == nil ? .whole : .part }
            return state.reach
        }
        if let trouble = claims.trouble {
            if before != .part { tell(trouble, of: "a part of the job queue") }
        } else if before != .whole {
            logger.info("the job queue answers")
        }
    }

    private func note(_ error: JobQueueError) {
        let before = state.withLock { state in
            defer { state.reach = .none }
            return state.reach
        }
        if before != .none, !Task.isCancelled { tell(error, of: "the job queue") }
    }

    private func tell(_ error: JobQueueError, of what: String) {
        switch error {
        case .corrupt:
            logger.error("\(what) holds what it should not", metadata: ["reason": "\(error)"])
        case .unavailable, .full:
            logger.warning("\(what) does not answer", metadata: ["reason": "\(error)"])
        }
    }

    private func ended() {
        let wakes = state.withLock { state in
            state.running -= 1
            return state.isBehind
        }
        if wakes { signal.yield() }
    }

    // MARK: Carrying out

    private var isStopping: Bool { state.withLock { $0.isStopping } }
    private var now: Duration { began.duration(to: clock.now) }

    private func carryOut(_ claim: JobClaim) async {
        var machine = JobRunStateMachine(claim, limits: limits, at: now)
        var command = machine.begin(at: now)
        while !Task.isCancelled {
            if isStopping { machine.stop() }
            switch command {
            case .send(let step):
                command = await carryOut(step, of: claim, &machine)
            case .advance(let finished, let wantsStep):
                do throws(JobQueueError) {
                    let order = try await queue.advance(claim, finished: finished, wantsStep: wantsStep)
                    command = machine.advanced(order, at: now)
                } catch {
                    command = machine.unanswered(error, at: now)
                }
            case .sleep(let pause):
                try? await clock.sleep(until: clock.now.advanced(by: pause), tolerance: nil)
                guard !Task.isCancelled else { return }
                command = machine.woke(at: now)
            case .fail(let reason, let pause):
                return await fail(claim, reason, pause)
            case .release:
                // Unanswered, the claim lapses.
                try? await queue.release(claim)
                return state.withLock { $0.counters.released += 1 }
            case .end(let ending):
                return state.withLock { $0.counters.ended(ending) }
            }
        }
    }

    /// Sends a step, and renews the claim meanwhile: a push may wait for acknowledgements for longer than a claim
    /// lives.
    private func carryOut(
        _ step: JobStep,
        of claim: JobClaim,
        _ machine: inout JobRunStateMachine
    ) async -> JobRunStateMachine.Command {
        var push: Push
        do throws(WireError) {
            push = try JobJSON.push(
                claim.message,
                id: claim.id.push(ofStep: step.index, created: claim.created),
                targets: step.targets,
                limits: pushLimits
            )
        } catch {
            return machine.unreadable(error.message)
        }
        // Another worker may have carried it out, before this one had it or while this one was frozen: so inboxes
        // are looked into before a durable step is kept.
        push.isRepeat = true
        let result = await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.renew(claim) }
            defer { group.cancelAll() }
            do throws(PushRefusal) {
                return Result<PushAnswer, PushRefusal>.success(try await send(push))
            } catch {
                return .failure(error)
            }
        }
        switch result {
        case .success(let answer):
            let next = machine.sent(answer, at: now, random: .random(in: 0...1))
            state.withLock { $0.counters.sent(next) }
            return next
        case .failure(let refusal):
            return machine.refused(refusal, random: .random(in: 0...1))
        }
    }

    private func renew(_ claim: JobClaim) async {
        while true {
            try? await clock.sleep(until: clock.now.advanced(by: limits.claimIdle / 3), tolerance: nil)
            guard !Task.isCancelled else { return }
            // Whoever has lost the claim learns it when the step is saved.
            _ = try? await queue.advance(claim, finished: nil, wantsStep: false)
        }
    }

    private func fail(_ claim: JobClaim, _ reason: String, _ pause: Duration?) async {
        do throws(JobQueueError) {
            let result = try await queue.fail(claim, reason: reason, pause: pause)
            state.withLock { $0.counters.failed(result) }
            if result == .dead {
                logger.warning("a job is given up", metadata: ["job": "\(claim.id)", "reason": "\(reason)"])
            }
        } catch {
            state.withLock { $0.counters.ended(.lost) }
        }
    }
}

/// How many jobs of each partition a worker asks for.
enum JobShares {
    /// - Parameters:
    ///   - free: how many jobs it has room for.
    ///   - turn: grows with each call, so that each partition is first in its turn.
    /// - Returns: for each partition a number; `free` altogether.
    static func limits(free: Int, turn: Int) -> [Int] {
        let count = JobID.partitionCount
        let free = max(0, free)
        var limits = [Int](repeating: free / count, count: count)
        for extra in 0..<(free % count) { limits[(turn + extra) % count] += 1 }
        return limits
    }
}
