import Synchronization

/// A clock that stands still until a test moves it.
public final class ManualClock: Clock {
    public struct Instant: InstantProtocol {
        public var offset: Duration

        public init(offset: Duration = .zero) { self.offset = offset }

        public func advanced(by duration: Duration) -> Self { Self(offset: offset + duration) }
        public func duration(to other: Self) -> Duration { other.offset - offset }
        public static func < (left: Self, right: Self) -> Bool { left.offset < right.offset }
    }

    private let state = Mutex(State())

    fileprivate typealias Waiter = CheckedContinuation<Void, Never>

    fileprivate struct State {
        var now = Instant()
        var lastID: UInt64 = 0
        var sleepers: [Sleeper] = []
        var watchers: [(count: Int, continuation: Waiter)] = []
    }

    fileprivate struct Sleeper {
        var id: UInt64
        var deadline: Instant
        var continuation: Waiter
    }

    public init() {}

    public var now: Instant { state.withLock { $0.now } }
    public var minimumResolution: Duration { .zero }

    /// How many sleep.
    public var sleepers: Int { state.withLock { $0.sleepers.count } }

    /// Moves the time and wakes whose deadline it reaches, earliest first.
    public func advance(by duration: Duration) {
        let woken = state.withLock { state in
            state.now = state.now.advanced(by: duration)
            let now = state.now
            let due = state.sleepers.filter { $0.deadline <= now }.sorted { $0.deadline < $1.deadline }
            state.sleepers.removeAll { $0.deadline <= now }
            return due
        }
        for sleeper in woken { sleeper.continuation.resume() }
    }

    /// Returns once at least so many sleep, so that a test moves the time only when it will be noticed.
    public func waitUntilSleeping(_ count: Int = 1) async {
        await withCheckedContinuation { continuation in
            let isEnough = state.withLock { state in
                guard state.sleepers.count < count else { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isEnough { continuation.resume() }
        }
    }

    public func sleep(until deadline: Instant, tolerance: Duration?) async throws {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (isOver, satisfied) = state.withLock { state -> (Bool, [Waiter]) in
                    if deadline <= state.now || Task.isCancelled { return (true, []) }
                    state.sleepers.append(Sleeper(id: id, deadline: deadline, continuation: continuation))
                    return (false, state.takeSatisfiedWatchers())
                }
                if isOver { continuation.resume() }
                for watcher in satisfied { watcher.resume() }
            }
        } onCancel: {
            let cancelled = state.withLock { state in
                let index = state.sleepers.firstIndex { $0.id == id }
                return index.map { state.sleepers.remove(at: $0) }
            }
            cancelled?.continuation.resume()
        }
        try Task.checkCancellation()
    }
}

extension ManualClock.State {
    fileprivate mutating func takeSatisfiedWatchers() -> [ManualClock.Waiter] {
        let count = sleepers.count
        defer { watchers.removeAll { $0.count <= count } }
        return watchers.filter { $0.count <= count }.map(\.continuation)
    }
}
