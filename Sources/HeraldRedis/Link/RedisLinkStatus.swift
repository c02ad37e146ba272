import Synchronization

/// How a link is doing.
public struct RedisLinkStatus: Sendable, Equatable {
    public enum Phase: Sendable, Equatable {
        /// There is no connection; one is being attempted as long as the link runs.
        case down
        /// Connected, greeted, and taking commands.
        case ready
        /// The link was stopped and stays so.
        case stopped
    }

    public var phase: Phase = .down
    /// When the present connection became ready.
    public var connectedSince: ContinuousClock.Instant?
    /// How often the link became ready. The first reconnect makes it 2.
    public var connections = 0
    /// Which run of Redis the last connection reached: another one began with other data, or fewer. Nil before the
    /// first connection, or when Redis does not tell.
    public var run: String?
    /// Commands that were asked for and not answered yet, as of the last turn of the link's loop.
    public var commandsInFlight = 0
    /// Commands written since the link was made.
    public var commandsSent = 0
    /// Of these, the ones whose reply did not come in time.
    public var commandsTimedOut = 0
    /// Commands that were not sent, because there was no connection or too much in flight.
    public var commandsRefused = 0
    /// Writes to the socket that they took.
    public var writes = 0
    /// Why the last connection, or the last attempt at one, failed.
    public var lastError: String?

    /// How often a lost connection was replaced.
    public var reconnects: Int { max(0, connections - 1) }
}

/// Where a link writes its status and others read it or follow its changes.
final class RedisStatusBoard: Sendable {
    private let state = Mutex(State())

    private struct State {
        var status = RedisLinkStatus()
        var hopeless: RedisError?
        var observers: [UInt64: AsyncStream<RedisLinkStatus>.Continuation] = [:]
        var lastObserver: UInt64 = 0
    }

    var status: RedisLinkStatus { state.withLock { $0.status } }

    /// The refusal of the first login of all.
    var hopeless: RedisError? { state.withLock { $0.hopeless } }

    func failed(_ error: RedisError) {
        state.withLock { state in
            state.status.lastError = error.description
            if error.code == .refused, state.status.connections == 0 { state.hopeless = error }
        }
    }

    /// Changes the figures; observers are not told.
    func count(_ change: (inout RedisLinkStatus) -> Void) {
        state.withLock { change(&$0.status) }
    }

    /// Changes the status and tells the observers if its phase, or its connection, is another.
    func change(_ change: (inout RedisLinkStatus) -> Void) {
        let (status, observers) = state.withLock {
            state -> (RedisLinkStatus, [AsyncStream<RedisLinkStatus>.Continuation]) in
            let before = state.status
            change(&state.status)
            let isNews = before.phase != state.status.phase || before.connections != state.status.connections
            return (state.status, isNews ? Array(state.observers.values) : [])
        }
        for observer in observers { observer.yield(status) }
    }

    /// The present status, then each change. Who is slow gets the newest only.
    func changes() -> AsyncStream<RedisLinkStatus> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: RedisLinkStatus.self,
            bufferingPolicy: .bufferingNewest(1)
        )
        let id = state.withLock { state in
            state.lastObserver += 1
            state.observers[state.lastObserver] = continuation
            continuation.yield(state.status)
            return state.lastObserver
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { $0.observers[id] = nil }
        }
        return stream
    }
}
