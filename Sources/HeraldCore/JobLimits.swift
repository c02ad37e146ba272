/// Every bound of jobs, on one page. At each the caller gets an error with a stable code.
public struct JobLimits: Sendable, Equatable {
    /// Unfinished and dead jobs. Each is a hash of about 600 bytes beside its message and targets. The partitions
    /// share it evenly, and jobs are spread over them in turn.
    public var jobsMax = 100_000
    /// Messages and targets of all of them, in Redis: 1 GiB.
    public var bytesMax = 1 << 30
    /// Targets of one job: 200,000 names of 20 bytes are 4 MiB, read and checked in about 50 ms.
    public var targetsMax = 200_000
    /// The body of `POST /v1/jobs`: 8 MiB.
    public var bodyBytesMax = 8 << 20
    /// Targets of one step: half of what a push may have, so that a step is one turn of the pipeline, some
    /// milliseconds, and what a crash repeats is small.
    public var stepTargetsMax = 500

    /// A claim that was not renewed for so long is another worker's to take. A worker renews at every step, and
    /// every second while it waits.
    public var claimIdle: Duration = .seconds(10)
    /// Claims of one step until the job is dead.
    public var triesMax = 5
    /// The pause after a failed try; doubles with each, up to the longest.
    public var backOffMin: Duration = .seconds(1)
    public var backOffMax: Duration = .seconds(60)
    /// Done and cancelled jobs are kept for so long, and no more than so many of each.
    public var finishedKept: Duration = .seconds(86_400)
    public var finishedMax = 100_000
    /// Dead jobs are kept for so long: a week.
    public var deadKept: Duration = .seconds(7 * 86_400)
    /// Jobs on one page.
    public var pageMax = 100

    public init() {}
    public static let standard = JobLimits()

    /// How many targets a step of a job has at most: a quarter of a second's worth, so that a slow job runs evenly and
    /// stops soon.
    ///
    /// - Parameter ratePerSecond: of the job; 0 for as fast as it goes.
    /// - Returns: at least 1.
    public func stepTargets(ratePerSecond: Int) -> Int {
        ratePerSecond == 0 ? stepTargetsMax : max(1, min(stepTargetsMax, ratePerSecond / 4))
    }

    /// The pause after a failed try.
    ///
    /// - Parameters:
    ///   - tries: how many have failed; at least 1.
    ///   - random: 0 to 1, drawn by the caller.
    /// - Returns: from half of the full pause to all of it, so that jobs that failed together come back apart.
    public func backOff(tries: Int, random: Double) -> Duration {
        let doublings = min(max(tries - 1, 0), 30)
        return min(backOffMax, backOffMin * (1 << doublings)) * (0.5 + 0.5 * random)
    }
}
