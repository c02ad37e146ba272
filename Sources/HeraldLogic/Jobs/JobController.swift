import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird
import Logging

/// `/v1/jobs`: taking jobs in, showing where they stand, and changing them.
struct JobController: Sendable {
    let queue: any JobQueue
    let intake: JobIntake
    let logger: Logger

    init(queue: any JobQueue, limits: Limits, jobLimits: JobLimits, random: UInt64, logger: Logger) {
        self.queue = queue
        self.logger = logger
        intake = JobIntake(queue: queue, limits: limits, jobLimits: jobLimits, random: random)
    }

    var endpoints: [Endpoint] {
        [
            Endpoint(.post, "/v1/jobs") { (request, _) async throws(Problem) in
                try await intake.take(request.wholeBody(max: intake.jobLimits.bodyBytesMax))
            },
            Endpoint(.get, "/v1/jobs") { (request, _) async throws(Problem) in try await list(request) },
            Endpoint(.get, "/v1/jobs/{job}") { (_, parameters) async throws(Problem) in
                try await show(parameters.id(0, JobID.init))
            },
            change(.post, "/v1/jobs/{job}/pause", .pause),
            change(.post, "/v1/jobs/{job}/resume", .resume),
            change(.post, "/v1/jobs/{job}/cancel", .cancel),
            change(.post, "/v1/jobs/{job}/requeue", .requeue),
            change(.delete, "/v1/jobs/{job}", .delete),
        ]
    }

    private func change(_ method: HTTPRequest.Method, _ path: String, _ action: JobAction) -> Endpoint {
        Endpoint(method, path) { (_, parameters) async throws(Problem) in
            try await change(parameters.id(0, JobID.init), action)
        }
    }

    private func list(_ request: Request) async throws(Problem) -> Response {
        let query = try QueryParameters(request.uri.query, known: ["state", "cursor", "limit"])
        var state: JobState?
        if let text = query.text("state") {
            state = JobState(rawValue: text)
            guard state != nil else {
                let all = JobState.allCases.map(\.rawValue).joined(separator: ", ")
                throw .badParameter("state", "must be one of \(all)")
            }
        }
        var cursor: JobCursor?
        if let text = query.text("cursor") {
            cursor = JobCursor(text)
            guard cursor != nil else { throw .badParameter("cursor", "must be `next` of the page before") }
        }
        let limit = try query.number("limit", in: 1...intake.jobLimits.pageMax, otherwise: 20)
        let page: JobPage
        do { page = try await queue.list(state, after: cursor, limit: limit) } catch { throw problem(error) }
        return .json { JobJSON.write(page, to: &$0) }
    }

    private func show(_ id: JobID) async throws(Problem) -> Response {
        let job: JobRecord?
        do { job = try await queue.find(id) } catch { throw problem(error) }
        guard let job else { throw Self.unknown(id) }
        return .json { JobJSON.write(job, to: &$0) }
    }

    private func change(_ id: JobID, _ action: JobAction) async throws(Problem) -> Response {
        let change: JobChange
        do { change = try await queue.change(id, action) } catch { throw problem(error) }
        switch change {
        case .unknown: throw Self.unknown(id)
        case .impossible(let state):
            throw Problem(.conflict, "job_state", "job \(id) is \(state.rawValue): \(action.rule)")
        case .done(let state):
            return .json { writer in
                writer.object { writer in
                    writer.member("job", id.description)
                    writer.member("state", state?.rawValue ?? "deleted")
                }
            }
        }
    }

    private func problem(_ error: JobQueueError) -> Problem {
        if case .corrupt(let reason) = error {
            logger.error("the job queue holds what it should not", metadata: ["reason": "\(reason)"])
        }
        return Problem(error)
    }

    private static func unknown(_ id: JobID) -> Problem {
        Problem(.notFound, "no_job", "there is no job \(id), or it was done too long ago")
    }
}

extension JobAction {
    /// Which jobs it is for.
    fileprivate var rule: String {
        switch self {
        case .pause, .cancel: "only what is not finished can be \(self == .pause ? "paused" : "cancelled")"
        case .resume: "only a paused job can be resumed"
        case .requeue: "only a dead job can be requeued"
        case .delete: "cancel it first"
        }
    }
}
