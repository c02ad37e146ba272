/// Where jobs wait, and how workers share them (Job.swift says what a job is and what may go wrong).
///
/// Every time is Redis's. Calls of a worker carry its claim: they are refused with `.stop` once another worker has
/// claimed the job. Each call may be repeated when it is not known whether it was carried out, except `claim`, whose
/// jobs come back when their claims lapse. The contract suite runs against each implementation.
public protocol JobQueue: Sendable {
    /// Takes a job in. The same job again changes nothing.
    ///
    /// - Returns: `queued` or `scheduled`; for the same job again, where it stands; nil when another request made
    ///   the job of this name: then nothing was queued.
    /// - Throws: `full`; `unavailable`, and then it may have been taken all the same.
    func add(_ job: NewJob) async throws(JobQueueError) -> JobState?

    /// Queues what is due, forgets what was kept long enough, and claims: first what lapsed claims have left, then
    /// what waits longest in its partition.
    ///
    /// - Parameters:
    ///   - worker: who asks; shown to people.
    ///   - limits: how many jobs of each partition at most, `JobID.partitionCount` numbers; 0 is allowed.
    /// - Returns: the jobs that are the worker's now, also where a part of the queue gave none.
    /// - Throws: why none of the queue answered.
    func claim(by worker: String, limits: [Int]) async throws(JobQueueError) -> JobClaims

    /// Renews a claim, saves a finished step, and asks what comes next, all at once.
    ///
    /// A step that the claim's holder finished is counted, also when the job was paused meanwhile; once.
    ///
    /// - Parameters:
    ///   - claim: the right to do so.
    ///   - finished: nil to save nothing.
    ///   - wantsStep: whether the next step's targets are wanted.
    /// - Returns: `run` only when they are wanted.
    /// - Throws: `corrupt` when the step's targets are gone.
    func advance(
        _ claim: JobClaim,
        finished: JobProgress?,
        wantsStep: Bool
    ) async throws(JobQueueError) -> JobOrder

    /// Gives a claim up because the step failed.
    ///
    /// - Parameters:
    ///   - claim: the right to do so.
    ///   - reason: for people.
    ///   - pause: until the next try; nil when trying again does not help.
    /// - Returns: `retrying`, or `dead` when that was the last try; nil when the claim was lost before.
    /// - Throws: why the queue did not answer.
    func fail(_ claim: JobClaim, reason: String, pause: Duration?) async throws(JobQueueError) -> JobState?

    /// Gives a claim back without a failure, for the next worker to go on at once.
    func release(_ claim: JobClaim) async throws(JobQueueError)

    /// Pauses, resumes, cancels, requeues or forgets a job.
    func change(_ id: JobID, _ action: JobAction) async throws(JobQueueError) -> JobChange

    /// - Returns: nil when there is no such job.
    func find(_ id: JobID) async throws(JobQueueError) -> JobRecord?

    /// A page of jobs, newest first: of all by when they were made, of one state by when they came into it.
    ///
    /// - Parameters:
    ///   - state: nil for all.
    ///   - cursor: `next` of the page before; nil to begin.
    ///   - limit: at most so many; at least 1.
    /// - Returns: the page; behind the last one, an empty page.
    /// - Throws: why the queue did not answer.
    func list(_ state: JobState?, after cursor: JobCursor?, limit: Int) async throws(JobQueueError) -> JobPage

    func counts() async throws(JobQueueError) -> JobCounts
}

/// Why the queue did not do it.
public enum JobQueueError: Error, Equatable, CustomStringConvertible {
    /// Out of reach or too slow; try again after a moment.
    case unavailable(String)
    /// As many jobs or bytes wait as may, or there is no memory for more; try again when some are done.
    case full(String)
    /// What stands there is not Herald's, or half of a job is gone: for the operator.
    case corrupt(String)

    public var description: String {
        switch self {
        case .unavailable(let reason): "the job queue is out of reach: \(reason)"
        case .full(let reason): "the job queue is full: \(reason)"
        case .corrupt(let reason): "the job queue holds what it should not: \(reason)"
        }
    }
}
