import Synchronization

/// Lets tasks through while it is open and keeps them waiting while it is closed, so that a test can hold a call
/// in the middle and look at what happens meanwhile.
public final class Gate: Sendable {
    private let state: Mutex<State>

    fileprivate typealias Waiter = CheckedContinuation<Void, Never>

    fileprivate struct State {
        var isOpen: Bool
        var lastID: UInt64 = 0
        var waiting: [(id: UInt64, continuation: Waiter)] = []
        var watchers: [(count: Int, continuation: Waiter)] = []
    }

    public init(isOpen: Bool = true) {
        state = Mutex(State(isOpen: isOpen))
    }

    /// Keeps who comes from now on.
    public func close() {
        state.withLock { $0.isOpen = false }
    }

    /// Lets everyone through, those who wait first, in the order in which they came.
    public func open() {
        let released = state.withLock { state in
            state.isOpen = true
            defer { state.waiting = [] }
            return state.waiting
        }
        for waiter in released { waiter.continuation.resume() }
    }

    /// Lets the one through who has waited longest, and stays closed.
    ///
    /// - Returns: false when nobody waits.
    @discardableResult
    public func letOneThrough() -> Bool {
        let first = state.withLock { state in state.waiting.isEmpty ? nil : state.waiting.removeFirst() }
        first?.continuation.resume()
        return first != nil
    }

    /// How many wait.
    public var waiting: Int { state.withLock { $0.waiting.count } }

    /// Returns once at least so many wait.
    public func waitUntilWaiting(_ count: Int = 1) async {
        await withCheckedContinuation { continuation in
            let isEnough = state.withLock { state in
                guard state.waiting.count < count else { return true }
                state.watchers.append((count, continuation))
                return false
            }
            if isEnough { continuation.resume() }
        }
    }

    /// Returns when the gate lets the caller through. Cancellation lets it through too.
    public func pass() async {
        let id = state.withLock { state -> UInt64? in
            guard !state.isOpen else { return nil }
            state.lastID += 1
            return state.lastID
        }
        guard let id else { return }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let (passes, satisfied) = state.withLock { state -> (Bool, [Waiter]) in
                    if state.isOpen || Task.isCancelled { return (true, []) }
                    state.waiting.append((id, continuation))
                    return (false, state.takeSatisfiedWatchers())
                }
                if passes { continuation.resume() }
                for watcher in satisfied { watcher.resume() }
            }
        } onCancel: {
            let cancelled = state.withLock { state in
                let index = state.waiting.firstIndex { $0.id == id }
                return index.map { state.waiting.remove(at: $0) }
            }
            cancelled?.continuation.resume()
        }
    }

    /// As `pass`, and throws `CancellationError` when it was cancellation that let the caller through.
    public func passOrCancel() async throws {
        await pass()
        try Task.checkCancellation()
    }
}

extension Gate.State {
    fileprivate mutating func takeSatisfiedWatchers() -> [Gate.Waiter] {
        let count = waiting.count
        defer { watchers.removeAll { $0.count <= count } }
        return watchers.filter { $0.count <= count }.map(\.continuation)
    }
}
