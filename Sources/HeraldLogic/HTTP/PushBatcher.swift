import HTTPTypes
import HeraldCore
import HeraldWire
import Synchronization

/// Hands the pushes of a batch to the pipeline, in order and at once, so that they share a turn; and gathers what
/// becomes of them.
struct PushBatcher<Table: RouteTable, Channel: Bus, Time: Clock>: Sendable where Time.Duration == Duration {
    let pipeline: PushPipeline<Table, Channel, Time>
    let limits: Limits
    let ids: SharedPushIDs
    let requests: RequestCounters

    /// Begins a batch.
    ///
    /// - Parameters:
    ///   - body: of the request; lent for the call.
    ///   - done: gets the answer, once; before this returns when nothing of it is to be sent.
    /// - Returns: what is under way.
    /// - Throws: why nothing of it can be used; then `done` is not called.
    func begin(
        _ body: UnsafeRawBufferPointer,
        _ done: @escaping @Sendable ([UInt8]) -> Void
    ) throws(WireError) -> [PushTicket] {
        let entries = try PushBatchJSON.decode(body, limits: limits) { ids.next() }
        let gathering = BatchGathering(entries.count, done)
        var tickets: [PushTicket] = []
        tickets.reserveCapacity(entries.count)
        for (place, entry) in entries.enumerated() {
            switch entry {
            case .failure(let error): gathering.settle(place, .failure(failure(Problem(error))))
            case .success(let push):
                let ticket = pipeline.submit(push) { result in
                    gathering.settle(place, result.mapError { failure(Problem($0)) })
                }
                if let ticket { tickets.append(ticket) }
            }
        }
        return tickets
    }

    private func failure(_ problem: Problem) -> PushBatchJSON.Failure {
        requests.refused(problem.code)
        return PushBatchJSON.Failure(problem)
    }
}

extension PushBatchJSON.Failure {
    init(_ problem: Problem) {
        self.init(
            status: problem.status.code,
            code: problem.code,
            detail: problem.detail,
            field: problem.field,
            retryAfterSeconds: problem.retryAfterSeconds
        )
    }
}

/// The outcomes of one batch, until all are known.
private final class BatchGathering: Sendable {
    typealias Outcome = Result<PushAnswer, PushBatchJSON.Failure>

    private let state: Mutex<State>
    private let done: @Sendable ([UInt8]) -> Void

    private struct State {
        var outcomes: [Outcome?]
        var missing: Int
    }

    init(_ count: Int, _ done: @escaping @Sendable ([UInt8]) -> Void) {
        state = Mutex(State(outcomes: Array(repeating: nil, count: count), missing: count))
        self.done = done
    }

    func settle(_ place: Int, _ outcome: Outcome) {
        let all = state.withLock { state -> [Outcome]? in
            if state.outcomes[place] == nil { state.missing -= 1 }
            state.outcomes[place] = outcome
            return state.missing == 0 ? state.outcomes.compactMap { $0 } : nil
        }
        if let all { done(PushBatchJSON.encode(all)) }
    }
}
