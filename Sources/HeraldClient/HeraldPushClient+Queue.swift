public import HeraldCore
import HeraldWire
import NIOHTTP1

/// What logic says of a push that it has queued.
public struct QueuedPush: Sendable, Equatable {
    /// By which the job is looked up, paused and cancelled.
    public var job: JobID
    /// `queued` or `scheduled`; for an idempotency key that was used before, where that job stands.
    public var state: JobState
    public var targets: Int
    /// In how many pushes it goes out, one after the other.
    public var steps: Int

    public init(job: JobID, state: JobState, targets: Int, steps: Int) {
        self.job = job
        self.state = state
        self.targets = targets
        self.steps = steps
    }
}

extension HeraldPushClient {
    /// Queues a push: a worker carries it out, later or at a rate, and counts the verdicts. A push that is queued may
    /// have as many users or keys as a job.
    ///
    /// - Parameters:
    ///   - request: what is pushed. Its idempotency key names the job, for as long as that is kept.
    ///   - ratePerSecond: targets a second at most, from 1 to a million; nil: as fast as it goes.
    ///   - dueAt: not before then, by Redis's clock; nil: at once.
    /// - Returns: the job, once it is safely in Redis.
    /// - Throws: `refused` with logic's own code where it answered no; other codes say that no answer came: then it
    ///   may be queued all the same, and the same request with an idempotency key is the same job.
    public func queue(
        _ request: PushRequest,
        ratePerSecond: Int? = nil,
        dueAt: RedisTime? = nil
    ) async throws(ClientError) -> QueuedPush {
        let answer = try await send(
            .POST,
            "/v1/jobs",
            body: QueuedPush.request(request, ratePerSecond, dueAt),
            what: "logic refused to queue the push"
        )
        do { return try QueuedPush(answer: answer.body) } catch {
            throw ClientError(.unexpectedAnswer, "the answer to the queued push cannot be read: \(error)")
        }
    }
}

extension QueuedPush {
    /// The body of a job: the body of a push, and when and how fast it goes.
    static func request(_ push: PushRequest, _ ratePerSecond: Int?, _ dueAt: RedisTime?) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("mode", "queued")
            if let ratePerSecond { writer.member("rate", ratePerSecond) }
            if let dueAt { writer.member("deliver_at", dueAt.milliseconds) }
        }
        let rest = push.encoded().dropFirst()
        let isEmpty = rest.first == UInt8(ascii: "}")
        return writer.bytes.dropLast() + (isEmpty ? [] : [UInt8(ascii: ",")]) + rest
    }

    /// Fields that are not known are passed over.
    init(answer body: [UInt8]) throws(WireError) {
        self = try JSONReader.answer(body) { reader throws(WireError) in try Self.read(&reader) }
    }

    private static func read(_ reader: inout JSONReader) throws(WireError) -> QueuedPush {
        var job: JobID?
        var state: JobState?
        var counts: [String: Int] = [:]
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "job":
                let text = try reader.string()
                do { job = try JobID(text) } catch { throw WireError(.badID, "is no id: the \(error)") }
            case "state": state = JobState(rawValue: try reader.string())
            case "targets", "steps": counts[name] = Int(try reader.integer(in: 0...Int64(Int32.max)))
            default: _ = try reader.raw()
            }
        }
        guard let job else { throw WireError(.missingField, field: "job", "is missing") }
        guard let state else { throw WireError(.missingField, field: "state", "is missing or not known") }
        return QueuedPush(
            job: job,
            state: state,
            targets: counts["targets"] ?? 0,
            steps: counts["steps"] ?? 0
        )
    }
}
