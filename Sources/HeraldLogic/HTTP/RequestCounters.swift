import HTTPTypes
import Synchronization

/// What was asked over HTTP: two additions a request, and a lock only where a request is refused.
final class RequestCounters: Sendable {
    private let informed = Atomic<Int>(0)
    private let succeeded = Atomic<Int>(0)
    private let refusedByCaller = Atomic<Int>(0)
    private let failed = Atomic<Int>(0)
    /// By problem code, a small closed set.
    private let refusals = Mutex<[String: Int]>([:])

    func answered(_ status: HTTPResponse.Status) {
        switch status.kind {
        case .successful: succeeded.add(1, ordering: .relaxed)
        case .clientError: refusedByCaller.add(1, ordering: .relaxed)
        case .serverError: failed.add(1, ordering: .relaxed)
        case .informational, .redirection, .invalid: informed.add(1, ordering: .relaxed)
        }
    }

    func refused(_ code: String) {
        refusals.withLock { $0[code, default: 0] += 1 }
    }

    /// Answers by class of status.
    var answers: [(status: String, count: Int)] {
        [
            ("2xx", succeeded.load(ordering: .relaxed)),
            ("4xx", refusedByCaller.load(ordering: .relaxed)),
            ("5xx", failed.load(ordering: .relaxed)),
            ("other", informed.load(ordering: .relaxed)),
        ]
    }

    /// Problem documents by code, in the order of the codes.
    var problems: [(code: String, count: Int)] {
        refusals.withLock { refusals in refusals.map { ($0.key, $0.value) } }.sorted { $0.0 < $1.0 }
    }
}
