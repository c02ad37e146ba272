import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird
import NIOCore

/// `POST /v1/push`: the body becomes a push, its verdicts the answer; or a job, if it says so.
final class PushController<Table: RouteTable, Channel: Bus, Time: Clock>: Sendable
where Time.Duration == Duration {
    private let pipeline: PushPipeline<Table, Channel, Time>
    private let limits: Limits
    private let intake: JobIntake?
    private let once: PushOnce<Time>?
    private let ids: SharedPushIDs

    /// - Parameters:
    ///   - pipeline: what sends.
    ///   - limits: what a body may hold.
    ///   - intake: what takes pushes that are to be queued; nil where there are no jobs.
    ///   - once: what remembers requests with an idempotency key; nil where nothing does.
    ///   - ids: for the pushes.
    init(
        pipeline: PushPipeline<Table, Channel, Time>,
        limits: Limits,
        intake: JobIntake? = nil,
        once: PushOnce<Time>? = nil,
        ids: SharedPushIDs
    ) {
        self.pipeline = pipeline
        self.limits = limits
        self.intake = intake
        self.once = once
        self.ids = ids
    }

    var endpoints: [Endpoint] {
        [
            Endpoint(.post, "/v1/push") { (request, _) async throws(Problem) in
                try await self.push(request)
            }
        ]
    }

    /// Any content type will do: `curl -d` says that it sends a form.
    private func push(_ request: Request) async throws(Problem) -> Response {
        let body = try await request.wholeBody(max: limits.pushBytesMax)
        let asked = try decode(body)
        let key = try idempotencyKey(request, asked)
        if asked.isQueued { return try await queue(body) }
        if let key { return try await push(asked.push, once: key, body) }
        do {
            let answer = try await pipeline.push(asked.push)
            return .json(bytes: PushJSON.encode(answer))
        } catch {
            throw Problem(error)
        }
    }

    private func push(
        _ push: Push,
        once key: IdempotencyKey,
        _ body: ByteBuffer
    ) async throws(Problem) -> Response {
        guard let once else {
            throw Problem(
                WireError(
                    .unsupported,
                    field: "idempotency_key",
                    "cannot be kept: this process remembers none"
                )
            )
        }
        let digest = RequestDigest.of(body)
        return try await once.run(push, key, digest: digest) { push async throws(PushRefusal) in
            try await self.pipeline.push(push)
        }
    }

    /// From the field or from the header; both may be there if they say the same.
    private func idempotencyKey(
        _ request: Request,
        _ asked: PushJSON.Request
    ) throws(Problem) -> IdempotencyKey? {
        guard let text = IdempotencyHeader.key.flatMap({ request.headers[$0] }) else {
            return asked.idempotencyKey
        }
        guard !asked.isQueued else {
            let reason = "is not looked at in a header where a push is queued: name it in the body"
            throw Problem(WireError(.conflictingFields, field: "idempotency_key", reason))
        }
        let key: IdempotencyKey
        do { key = try IdempotencyKey(text) } catch { throw Problem(error) }
        guard asked.idempotencyKey == nil || asked.idempotencyKey == key else {
            let reason = "says something else than the header Idempotency-Key"
            throw Problem(WireError(.conflictingFields, field: "idempotency_key", reason))
        }
        return key
    }

    private func queue(_ body: ByteBuffer) async throws(Problem) -> Response {
        guard let intake else {
            let error = WireError(.unsupported, field: "mode", "cannot be \"queued\": there is no job queue")
            throw Problem(error)
        }
        return try await intake.take(body)
    }

    private func decode(_ body: ByteBuffer) throws(Problem) -> PushJSON.Request {
        let id = ids.next()
        let result = body.withUnsafeReadableBytes { bytes -> Result<PushJSON.Request, WireError> in
            do throws(WireError) {
                return .success(try PushJSON.request(bytes, id: id, limits: limits))
            } catch {
                return .failure(error)
            }
        }
        do { return try result.get() } catch { throw Problem(error) }
    }
}

extension Request {
    /// The body in one piece, read no further than the limit.
    ///
    /// - Throws: `too_large`; `bad_http` when it ends before its end.
    func wholeBody(max: Int) async throws(Problem) -> ByteBuffer {
        if let length = headers[.contentLength].flatMap(Int.init), length > max { throw .tooLarge(max: max) }
        var whole = ByteBuffer()
        do {
            for try await var part in body {
                guard whole.readableBytes + part.readableBytes <= max else {
                    throw Problem.tooLarge(max: max)
                }
                if whole.readableBytes == 0 { whole = part } else { whole.writeBuffer(&part) }
            }
        } catch let problem as Problem {
            throw problem
        } catch {
            throw .badHTTP(.badRequest, "bad_http", "the body is not HTTP: it is cut off or badly framed")
        }
        return whole
    }
}
