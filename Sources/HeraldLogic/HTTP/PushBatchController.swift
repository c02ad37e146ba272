import HeraldCore
import HeraldWire
import Hummingbird
import NIOCore
import Synchronization

/// `POST /v1/push/batch` for requests that the lane in front did not take.
struct PushBatchController<Table: RouteTable, Channel: Bus, Time: Clock>: Sendable
where Time.Duration == Duration {
    let batcher: PushBatcher<Table, Channel, Time>

    var endpoints: [Endpoint] {
        [
            Endpoint(.post, "/v1/push/batch") { (request, _) async throws(Problem) in
                try await push(request)
            }
        ]
    }

    private func push(_ request: Request) async throws(Problem) -> Response {
        let body = try await request.wholeBody(max: batcher.limits.batchBytesMax)
        guard IdempotencyHeader.key.flatMap({ request.headers[$0] }) == nil else {
            let reason = "is not kept for a batch"
            throw Problem(WireError(.unsupported, field: "idempotency_key", reason))
        }
        let begun = BatchTickets()
        let result: Result<[UInt8], WireError> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let refused = body.withUnsafeReadableBytes { bytes -> WireError? in
                    do throws(WireError) {
                        begun.began(try batcher.begin(bytes) { continuation.resume(returning: .success($0)) })
                        return nil
                    } catch {
                        return error
                    }
                }
                if let refused { continuation.resume(returning: .failure(refused)) }
                // The cancellation may have come before there was anything to take back.
                if Task.isCancelled { cancel(begun) }
            }
        } onCancel: {
            cancel(begun)
        }
        do { return .json(bytes: try result.get()) } catch { throw Problem(error) }
    }

    private func cancel(_ begun: BatchTickets) {
        batcher.pipeline.cancel(begun.take())
    }
}

/// What a batch has under way, for who takes it back.
private final class BatchTickets: Sendable {
    private let tickets = Mutex<[PushTicket]>([])

    func began(_ tickets: [PushTicket]) { self.tickets.withLock { $0 = tickets } }

    func take() -> [PushTicket] {
        tickets.withLock { tickets in
            defer { tickets = [] }
            return tickets
        }
    }
}
