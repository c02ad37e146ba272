import HeraldTesting
import Synchronization

/// How long Redis takes for a PING of a connection of our own: what anybody else there has to wait.
enum RedisLatency {
    enum Until {
        case after(pings: Int)
        case raised(Flag)
    }

    /// Asks every few milliseconds.
    static func measure(_ port: Int, until end: Until) async throws -> [Duration] {
        let wire = try RedisWire(port: port)
        var latencies: [Duration] = []
        try await eventually("the measurement's end", within: .seconds(300), every: .milliseconds(2)) {
            let start = ContinuousClock.now
            try wire.ask("PING")
            latencies.append(ContinuousClock.now - start)
            switch end {
            case .after(let pings): return latencies.count >= pings
            case .raised(let flag): return flag.isRaised
            }
        }
        return latencies
    }
}

/// Tells tasks that something is over, and is told how many of them saw what they waited for.
final class Flag: Sendable {
    private let state = Mutex((isRaised: false, watchersDone: 0))

    var isRaised: Bool { state.withLock { $0.isRaised } }
    var watchersDone: Int { state.withLock { $0.watchersDone } }
    func raise() { state.withLock { $0.isRaised = true } }
    func watcherIsDone() { state.withLock { $0.watchersDone += 1 } }
}
