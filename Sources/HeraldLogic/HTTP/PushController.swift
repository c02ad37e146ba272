import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird
import NIOCore
import Synchronization

/// `POST /v1/push`: the body becomes a push, its verdicts the answer; or a job, if it says so.
final class PushController<Table: RouteTable, Channel: Bus, Time: Clock>: Sendable
where Time.Duration == Duration {
    private let pipeline: PushPipeline<Table, Channel, Time>
    private let limits: Limits
    private let intake: JobIntake?
    private let ids: Mutex<PushIDSource>

    private typealias Decoded = (push: Push, isQueued: Bool)

    /// - Parameters:
    ///   - pipeline: what sends.
    ///   - limits: what a body may hold.
    ///   - intake: what takes pushes that are to be queued; nil where there are no jobs.
    ///   - random: what sets this process's push ids apart from all others'.
    init(
        pipeline: PushPipeline<Table, Channel, Time>,
        limits: Limits,
        intake: JobIntake? = nil,
        random: UInt64
    ) {
        self.pipeline = pipeline
        self.limits = limits
        self.intake = intake
        ids = Mutex(PushIDSource(random: random))
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
        let (push, isQueued) = try decode(body)
        if isQueued { return try await queue(body) }
        do {
            let answer = try await pipeline.push(push)
            return .json(bytes: PushJSON.encode(answer))
        } catch {
            throw Problem(error)
        }
    }

    private func queue(_ body: ByteBuffer) async throws(Problem) -> Response {
        guard let intake else {
            let error = WireError(.unsupported, field: "mode", "cannot be \"queued\": there is no job queue")
            throw Problem(error)
        }
        return try await intake.take(body)
    }

    private func decode(_ body: ByteBuffer) throws(Problem) -> Decoded {
        let id = ids.withLock { $0.next() }
        let result = body.withUnsafeReadableBytes { bytes -> Result<Decoded, WireError> in
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
