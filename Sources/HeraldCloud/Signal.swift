import Synchronization

/// Wakes the task that waits for it; raised several times before anyone looks, it counts once.
///
/// Not an `AsyncStream`: that one ends for good when a task that waits on it is cancelled. One task waits at a time.
final class Signal: Sendable {
    private struct State {
        var isRaised = false
        var waiting: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    func raise() {
        let waiting = state.withLock { state in
            state.isRaised = true
            return state.waiting.take()
        }
        waiting?.resume()
    }

    /// Returns once it was raised, and lowers it.
    ///
    /// - Returns: false when the task was cancelled instead.
    func next() async -> Bool {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.isRaised || Task.isCancelled { return true }
                    precondition(state.waiting == nil, "one task waits for a signal at a time")
                    state.waiting = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiting.take() }?.resume()
        }
        // Whoever was cancelled as it was raised leaves it raised for the next.
        guard !Task.isCancelled else { return false }
        state.withLock { $0.isRaised = false }
        return true
    }

    /// As `next`, and throws when the task is cancelled.
    func raised() async throws {
        guard await next() else { throw CancellationError() }
    }
}
