import HeraldCore
import HeraldTesting
import Logging
import Synchronization
import Testing

@testable import HeraldLogic

/// Where a worker dies: before or after one of its dealings with the outside, counted from 0.
final class Killer: Sendable {
    private let state: Mutex<(left: Int, isDead: Bool)>
    private let death = Gate(isOpen: false)

    init(after steps: Int?) { state = Mutex((steps ?? -1, false)) }

    var isDead: Bool { state.withLock { $0.isDead } }

    /// Returns once the worker is dead.
    func waitForDeath() async { await death.pass() }

    /// Goes on, or never comes back until the worker's task is cancelled.
    func step() async -> Bool {
        let dies = state.withLock { state in
            defer { state.left -= 1 }
            if state.left == 0 { state.isDead = true }
            return state.isDead
        }
        guard dies else { return true }
        death.open()
        await Gate(isOpen: false).pass()
        return false
    }
}

/// A queue whose caller may die before or after each call.
struct MortalQueue: JobQueue {
    let base: MemoryJobQueue
    let killer: Killer
    /// Opened when a job is finished.
    let finished: Gate

    private func mortal<Answer>(
        _ call: () async throws(JobQueueError) -> Answer
    ) async throws(JobQueueError) -> Answer {
        guard await killer.step() else { throw .unavailable("dead") }
        let answer = try await call()
        guard await killer.step() else { throw .unavailable("dead") }
        return answer
    }

    func claim(by worker: String, limits: [Int]) async throws(JobQueueError) -> JobClaims {
        // An idle worker's questions are no dealings worth dying at.
        let claims = try await base.claim(by: worker, limits: limits)
        if !claims.jobs.isEmpty, await !killer.step() { throw .unavailable("dead") }
        return claims
    }

    func advance(
        _ claim: JobClaim,
        finished progress: JobProgress?,
        wantsStep: Bool
    ) async throws(JobQueueError) -> JobOrder {
        let order = try await mortal { () throws(JobQueueError) in
            try await base.advance(claim, finished: progress, wantsStep: wantsStep)
        }
        if order == .finished { finished.open() }
        return order
    }

    func fail(
        _ claim: JobClaim,
        reason: String,
        pause: Duration?
    ) async throws(JobQueueError) -> JobState? {
        let state = try await mortal { () throws(JobQueueError) in
            try await base.fail(claim, reason: reason, pause: pause)
        }
        if state == .dead { finished.open() }
        return state
    }

    func release(_ claim: JobClaim) async throws(JobQueueError) { try await base.release(claim) }
    func add(_ job: NewJob) async throws(JobQueueError) -> JobState? { try await base.add(job) }
    func change(_ id: JobID, _ action: JobAction) async throws(JobQueueError) -> JobChange {
        try await base.change(id, action)
    }
    func find(_ id: JobID) async throws(JobQueueError) -> JobRecord? { try await base.find(id) }
    func list(_ state: JobState?, after: JobCursor?, limit: Int) async throws(JobQueueError) -> JobPage {
        try await base.list(state, after: after, limit: limit)
    }
    func counts() async throws(JobQueueError) -> JobCounts { try await base.counts() }
}

/// What went out, as the clients of all targets together see it.
final class Clients: Sendable {
    private let state = Mutex((shown: [Target: Int](), seen: Set<String>(), raw: 0, pushes: 0, certain: 0))

    /// A client shows a push whose id it has not seen.
    func take(_ push: Push) {
        state.withLock { state in
            state.pushes += 1
            if !push.isRepeat { state.certain += 1 }
            for target in push.targets {
                state.raw += 1
                if state.seen.insert("\(push.id) \(target)").inserted { state.shown[target, default: 0] += 1 }
            }
        }
    }

    /// How often each target was shown the message.
    var shown: [Target: Int] { state.withLock { $0.shown } }
    /// Deliveries, repeated ones counted too.
    var raw: Int { state.withLock { $0.raw } }
    /// Pushes that claimed to be no repeats, which no worker can know.
    var certain: Int { state.withLock { $0.certain } }
    var pushes: Int { state.withLock { $0.pushes } }
}

/// A job to users `u0`, `u1`, ….
func job(_ steps: Int, of size: Int, rate: Int = 0, random: UInt64 = 1) throws -> NewJob {
    var ids = JobIDSource(random: random)
    return NewJob(
        id: ids.next(),
        message: Array(#"{"event":"news"}"#.utf8),
        steps: try (0..<steps).map { step in
            try (0..<size).map { .user(try UserID("u\(step * size + $0)")) }
        },
        ratePerSecond: rate
    )
}

/// What was logged, line by line.
final class LogLines: Sendable {
    let lines: AsyncStream<String>
    private let signal: AsyncStream<String>.Continuation

    init() { (lines, signal) = AsyncStream.makeStream() }

    var logger: Logger {
        Logger(label: "test") { [signal] _ in Handler(signal: signal) }
    }

    private struct Handler: LogHandler {
        let signal: AsyncStream<String>.Continuation
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.info

        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) { signal.yield(event.message.description) }
    }
}

extension MemoryJobQueue {
    /// The id under which a step of a job that is there goes out.
    func push(of job: NewJob, step: Int = 0) async throws -> PushID {
        let record = try #require(try await find(job.id))
        return job.id.push(ofStep: step, created: record.created)
    }
}

func routed(_ push: Push) -> PushAnswer {
    PushAnswer(id: push.id, verdicts: push.targets.map { TargetVerdict(target: $0, verdict: .routed) })
}
