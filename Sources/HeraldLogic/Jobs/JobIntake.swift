import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird
import NIOCore
import Synchronization

/// Turns a request's body into a job and answers 202 once the job is safely in the queue.
final class JobIntake: Sendable {
    private let queue: any JobQueue
    private let limits: Limits
    let jobLimits: JobLimits
    private let ids: Mutex<JobIDSource>

    /// - Parameters:
    ///   - queue: where jobs go.
    ///   - limits: what a push may hold.
    ///   - jobLimits: what a job may hold.
    ///   - random: what sets this process's job ids apart from all others'.
    init(queue: any JobQueue, limits: Limits, jobLimits: JobLimits, random: UInt64) {
        self.queue = queue
        self.limits = limits
        self.jobLimits = jobLimits
        ids = Mutex(JobIDSource(random: random))
    }

    func take(_ body: ByteBuffer) async throws(Problem) -> Response {
        let request = try decode(body)
        let id = request.idempotencyKey.map(JobID.named(byCaller:)) ?? ids.withLock { $0.next() }
        let job = NewJob(
            id: id,
            message: request.message,
            steps: request.targets.split(
                every: jobLimits.stepTargets(ratePerSecond: request.ratePerSecond)
            ),
            ratePerSecond: request.ratePerSecond,
            dueAt: request.dueAt,
            digest: request.idempotencyKey == nil ? "" : RequestDigest.of(body)
        )
        let state: JobState?
        do {
            state = try await queue.add(job)
        } catch {
            throw Problem(error, uncertain: "; the job may have been taken as \(id)")
        }
        guard let state else { throw .mismatch }
        var response = Response.json(.accepted) { writer in
            writer.object { writer in
                writer.member("job", id.description)
                writer.member("state", state.rawValue)
                writer.member("targets", job.targetCount)
                writer.member("steps", job.steps.count)
            }
        }
        response.headers[.location] = "/v1/jobs/\(id)"
        return response
    }

    private func decode(_ body: ByteBuffer) throws(Problem) -> JobRequest {
        let result = body.withUnsafeReadableBytes { bytes -> Result<JobRequest, WireError> in
            do throws(WireError) {
                return .success(try JobJSON.decode(bytes, limits: limits, jobs: jobLimits))
            } catch {
                return .failure(error)
            }
        }
        do { return try result.get() } catch { throw Problem(error) }
    }
}

extension Problem {
    /// - Parameters:
    ///   - error: what the queue said.
    ///   - uncertain: what is added where it may have done what was asked.
    init(_ error: JobQueueError, uncertain: String = "") {
        switch error {
        case .full(let reason):
            self.init(.tooManyRequests, "jobs_full", "\(reason); nothing was queued")
            retryAfterSeconds = 5
        case .unavailable:
            self.init(.serviceUnavailable, "redis_unavailable", "Redis did not answer" + uncertain)
            retryAfterSeconds = 1
        case .corrupt:
            self.init(
                .internalServerError,
                "internal",
                "the job queue answered what it should not; the log of this process says more"
            )
        }
    }
}

extension Array {
    /// The same elements in order, in pieces of one size but for the last.
    fileprivate func split(every size: Int) -> [[Element]] {
        stride(from: 0, to: count, by: size).map { Array(self[$0..<Swift.min($0 + size, count)]) }
    }
}
