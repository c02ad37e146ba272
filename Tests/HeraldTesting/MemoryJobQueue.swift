public import HeraldCore
import Synchronization

/// The job queue in memory, with a clock that a test moves.
///
/// It can be told to fail, to keep calls waiting, and to forget everything as a flushed Redis would.
public final class MemoryJobQueue: JobQueue {
    /// What each call of a worker passes before it is carried out. Open from the start.
    public let workerGate = Gate()
    private let limits: JobLimits
    private let state = Mutex(State())

    fileprivate struct Entry {
        var record: JobRecord
        var message: [UInt8]
        var steps: [[Target]]
        var digest: String
        var fence: UInt64 = 0
        var renewed = RedisTime(milliseconds: 0)
        /// Its place among those that are queued.
        var place: UInt64 = 0
    }

    fileprivate struct State {
        var now = RedisTime(milliseconds: 1_000_000)
        var isUnavailable = false
        var trouble: JobQueueError?
        var lastPlace: UInt64 = 0
        var lastFence: UInt64 = 0
        var jobs: [JobID: Entry] = [:]
    }

    public init(limits: JobLimits = .standard) { self.limits = limits }

    /// While true, every call throws `unavailable` and does nothing.
    public var isUnavailable: Bool {
        get { state.withLock { $0.isUnavailable } }
        set { state.withLock { $0.isUnavailable = newValue } }
    }

    /// What every claim tells of a part of the queue that is broken.
    public var trouble: JobQueueError? {
        get { state.withLock { $0.trouble } }
        set { state.withLock { $0.trouble = newValue } }
    }

    public func advance(by duration: Duration) { state.withLock { $0.now = $0.now + duration } }

    /// Loses everything.
    public func forget() {
        state.withLock { state in
            state.jobs = [:]
            state.lastFence = 0
        }
    }

    public var now: RedisTime { state.withLock { $0.now } }

    public func add(_ job: NewJob) async throws(JobQueueError) -> JobState? {
        try ask { state throws(JobQueueError) in
            if let known = state.jobs[job.id] {
                let isOther = ![known.digest, job.digest].contains("") && known.digest != job.digest
                return isOther ? nil : known.record.state
            }
            let waiting = state.jobs.values.filter {
                $0.record.id.partition == job.id.partition
                    && ![.done, .cancelled].contains($0.record.state)
            }
            guard waiting.count < max(1, limits.jobsMax / JobID.partitionCount) else {
                throw .full("as many jobs wait as may")
            }
            let isDue = (job.dueAt ?? state.now) <= state.now
            let record = JobRecord(
                id: job.id,
                state: isDue ? .queued : .scheduled,
                since: state.now,
                created: state.now,
                due: isDue ? nil : job.dueAt,
                targets: job.targetCount,
                steps: job.steps.count,
                ratePerSecond: job.ratePerSecond
            )
            state.lastPlace += 1
            state.jobs[job.id] = Entry(
                record: record,
                message: job.message,
                steps: job.steps,
                digest: job.digest,
                place: state.lastPlace
            )
            return record.state
        }
    }

    public func claim(by worker: String, limits wanted: [Int]) async throws(JobQueueError) -> JobClaims {
        await workerGate.pass()
        return try ask { state throws(JobQueueError) in
            for (id, job) in state.jobs {
                switch job.record.state {
                case .scheduled, .retrying:
                    if let due = job.record.due, due <= state.now { state.queue(id) }
                case .done, .cancelled:
                    if job.record.since + limits.finishedKept <= state.now { state.jobs[id] = nil }
                case .dead: if job.record.since + limits.deadKept <= state.now { state.jobs[id] = nil }
                case .queued, .running, .paused: break
                }
            }
            var left = wanted
            var claims: [JobClaim] = []
            let lapsed = state.jobs.filter {
                $0.value.record.state == .running && $0.value.renewed + limits.claimIdle <= state.now
            }
            let queued = state.jobs.filter { $0.value.record.state == .queued }
            for candidates in [lapsed, queued] {
                for (id, _) in candidates.sorted(by: { $0.value.place < $1.value.place })
                where left[id.partition] > 0 {
                    guard let claim = state.take(id, worker, triesMax: limits.triesMax) else { continue }
                    claims.append(claim)
                    left[id.partition] -= 1
                }
            }
            return JobClaims(jobs: claims, trouble: state.trouble)
        }
    }

    public func advance(
        _ claim: JobClaim,
        finished: JobProgress?,
        wantsStep: Bool
    ) async throws(JobQueueError) -> JobOrder {
        await workerGate.pass()
        return try ask { state throws(JobQueueError) in
            guard var job = state.jobs[claim.id] else { return .stop(nil) }
            guard job.fence == claim.fence else { return .stop(job.record.state) }
            if let finished, finished.step == job.record.stepsDone, finished.step < job.record.steps {
                job.record.stepsDone += 1
                job.record.targetsDone += finished.targets
                job.record.tries = 1
                job.record.verdicts.merge(finished.verdicts, uniquingKeysWith: +)
            }
            job.renewed = state.now
            state.jobs[claim.id] = job
            if job.record.state == .done { return .finished }
            guard job.record.state == .running else { return .stop(job.record.state) }
            guard job.record.stepsDone < job.record.steps else {
                state.move(claim.id, to: .done)
                return .finished
            }
            guard wantsStep else { return .carryOn }
            return .run(JobStep(index: job.record.stepsDone, targets: job.steps[job.record.stepsDone]))
        }
    }

    public func fail(
        _ claim: JobClaim,
        reason: String,
        pause: Duration?
    ) async throws(JobQueueError) -> JobState? {
        await workerGate.pass()
        return try ask { state throws(JobQueueError) -> JobState? in
            guard var job = state.jobs[claim.id], job.fence == claim.fence, job.record.state == .running
            else {
                return nil
            }
            job.fence += 1
            job.record.failure = reason
            state.jobs[claim.id] = job
            guard let pause, job.record.tries < limits.triesMax else {
                state.move(claim.id, to: .dead)
                return .dead
            }
            state.move(claim.id, to: .retrying, due: state.now + pause)
            return .retrying
        }
    }

    public func release(_ claim: JobClaim) async throws(JobQueueError) {
        await workerGate.pass()
        try ask { state throws(JobQueueError) in
            guard var job = state.jobs[claim.id], job.fence == claim.fence, job.record.state == .running
            else {
                return
            }
            job.fence += 1
            job.record.tries = max(0, job.record.tries - 1)
            state.jobs[claim.id] = job
            state.queue(claim.id)
        }
    }

    public func change(_ id: JobID, _ action: JobAction) async throws(JobQueueError) -> JobChange {
        try ask { state throws(JobQueueError) in
            guard let job = state.jobs[id] else { return .unknown }
            let now = job.record.state
            switch (action, now) {
            case (.pause, .scheduled), (.pause, .queued), (.pause, .running), (.pause, .retrying):
                state.move(id, to: .paused, due: now == .scheduled ? job.record.due : nil)
            case (.resume, .paused):
                state.jobs[id]?.record.tries = 0
                if let due = job.record.due, due > state.now {
                    state.move(id, to: .scheduled, due: due)
                } else {
                    state.queue(id)
                }
            case (.cancel, .scheduled), (.cancel, .queued), (.cancel, .running), (.cancel, .retrying),
                (.cancel, .paused):
                state.move(id, to: .cancelled)
            case (.requeue, .dead):
                state.jobs[id]?.record.tries = 0
                state.queue(id)
            case (.delete, .done), (.delete, .cancelled), (.delete, .dead):
                state.jobs[id] = nil
                return .done(nil)
            case (.pause, .paused), (.cancel, .cancelled), (.resume, .scheduled), (.resume, .queued),
                (.resume, .running), (.resume, .retrying):
                break
            default: return .impossible(now)
            }
            return .done(state.jobs[id]?.record.state)
        }
    }

    public func find(_ id: JobID) async throws(JobQueueError) -> JobRecord? {
        try ask { state throws(JobQueueError) in state.jobs[id]?.record }
    }

    public func list(
        _ wanted: JobState?,
        after cursor: JobCursor?,
        limit: Int
    ) async throws(JobQueueError) -> JobPage {
        try ask { state throws(JobQueueError) in
            let found = state.jobs.values.map(\.record).filter { wanted == nil || $0.state == wanted }
                .map { (JobCursor(at: wanted == nil ? $0.created : $0.since, id: $0.id), $0) }
                .filter { entry in cursor.map { entry.0 < $0 } ?? true }
                .sorted { $0.0 > $1.0 }
            let page = found.prefix(limit)
            return JobPage(jobs: page.map(\.1), next: found.count > limit ? page.last?.0 : nil)
        }
    }

    public func counts() async throws(JobQueueError) -> JobCounts {
        try ask { state throws(JobQueueError) in
            var counts = JobCounts()
            for state in JobState.allCases { counts.jobs[state] = 0 }
            for job in state.jobs.values {
                counts.jobs[job.record.state, default: 0] += 1
                guard job.record.state == .queued else { continue }
                let waited = state.now.milliseconds - job.record.since.milliseconds
                counts.lag = max(counts.lag, .milliseconds(waited))
            }
            return counts
        }
    }

    private func ask<Answer>(
        _ body: (inout State) throws(JobQueueError) -> Answer
    ) throws(JobQueueError) -> Answer {
        try state.withLock { state throws(JobQueueError) in
            guard !state.isUnavailable else { throw .unavailable("switched off by the test") }
            return try body(&state)
        }
    }
}

extension MemoryJobQueue.State {
    fileprivate mutating func move(_ id: JobID, to state: JobState, due: RedisTime? = nil) {
        jobs[id]?.record.state = state
        jobs[id]?.record.since = now
        jobs[id]?.record.due = due
    }

    fileprivate mutating func queue(_ id: JobID) {
        lastPlace += 1
        jobs[id]?.place = lastPlace
        move(id, to: .queued)
    }

    /// - Returns: nil when the job is given up instead.
    fileprivate mutating func take(_ id: JobID, _ worker: String, triesMax: Int) -> JobClaim? {
        guard var job = jobs[id] else { return nil }
        job.record.tries += 1
        guard job.record.tries <= triesMax else {
            jobs[id]?.record.failure = "its workers were lost in step \(job.record.stepsDone)"
            move(id, to: .dead)
            return nil
        }
        lastFence = max(now.milliseconds, lastFence + 1)
        job.fence = lastFence
        job.record.worker = worker
        job.renewed = now
        jobs[id] = job
        move(id, to: .running)
        let step = job.record.stepsDone
        return JobClaim(
            id: id,
            created: job.record.created,
            worker: worker,
            fence: job.fence,
            tries: job.record.tries,
            ratePerSecond: job.record.ratePerSecond,
            message: job.message,
            step: step < job.steps.count ? JobStep(index: step, targets: job.steps[step]) : nil
        )
    }
}
