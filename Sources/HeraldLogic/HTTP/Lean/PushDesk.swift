import HTTPTypes
import HeraldCore
import HeraldWire

/// Takes the pushes that the lane has read: from the bytes of a request to the pipeline without a task.
///
/// A push that is to be queued, and one with an idempotency key, are the ordinary path's: they have to ask Redis
/// before they are a push.
final class PushDesk<Table: RouteTable, Channel: Bus, Time: Clock>: LeanDesk
where Time.Duration == Duration {
    private let pipeline: PushPipeline<Table, Channel, Time>
    private let batcher: PushBatcher<Table, Channel, Time>
    private let access: AccessRule

    /// - Parameters:
    ///   - batcher: takes batches; its parts take pushes.
    ///   - access: who may push.
    init(batcher: PushBatcher<Table, Channel, Time>, access: AccessRule) {
        pipeline = batcher.pipeline
        self.batcher = batcher
        self.access = access
    }

    var limits: Limits { batcher.limits }
    private var requests: RequestCounters { batcher.requests }

    func take(
        _ request: LeanRequest,
        _ bytes: UnsafeRawBufferPointer,
        _ memory: inout LeanAccessMemory,
        _ place: LeanPlace
    ) -> LeanWork {
        if let objection = memory.objection(access, request.access, bytes) {
            refuse(objection, place)
            return .nothing
        }
        let body = UnsafeRawBufferPointer(rebasing: bytes[request.headBytes..<request.bytes])
        do throws(WireError) {
            switch request.kind {
            case .push: return try push(body, place)
            case .batch: return try batch(body, place)
            }
        } catch {
            refuse(Problem(error), place)
            return .nothing
        }
    }

    private func push(_ body: UnsafeRawBufferPointer, _ place: LeanPlace) throws(WireError) -> LeanWork {
        let asked = try PushJSON.request(body, id: batcher.ids.next(), limits: limits)
        guard !asked.isQueued, asked.idempotencyKey == nil else { return .elsewhere }
        let ticket = pipeline.submit(asked.push) { [requests] result in
            switch result {
            case .success(let answer):
                requests.answered(.ok)
                place.answer(LeanAnswer(body: PushJSON.encode(answer)))
            case .failure(let refusal):
                let problem = Problem(refusal)
                requests.refused(problem.code)
                requests.answered(problem.status)
                place.answer(LeanAnswer(problem))
            }
        }
        return ticket.map { .pushes([$0]) } ?? .nothing
    }

    private func batch(_ body: UnsafeRawBufferPointer, _ place: LeanPlace) throws(WireError) -> LeanWork {
        let tickets = try batcher.begin(body) { [requests] bytes in
            requests.answered(.ok)
            place.answer(LeanAnswer(body: bytes))
        }
        return tickets.isEmpty ? .nothing : .pushes(tickets)
    }

    private func refuse(_ problem: Problem, _ place: LeanPlace) {
        requests.refused(problem.code)
        requests.answered(problem.status)
        place.answer(LeanAnswer(problem))
    }

    func cancel(_ work: LeanWork) {
        switch work {
        case .elsewhere, .nothing: break
        case .pushes(let tickets): pipeline.cancel(tickets)
        }
    }
}
