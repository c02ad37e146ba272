import Synchronization

/// A sleep whose end can be moved forward from anywhere, so that one task keeps the time for all pushes.
///
/// One task sleeps; any may call `move(to:)`.
final class Alarm<Time: Clock>: Sendable where Time.Duration == Duration {
    private let clock: Time
    private let state = Mutex(State())

    private struct State {
        /// When it is to ring; nil: not before somebody sleeps.
        var end: Time.Instant?
        /// An earlier moment that was asked for while nobody slept.
        var moved: Time.Instant?
        var sleeper: CheckedContinuation<Void, Never>?
    }

    init(_ clock: Time) { self.clock = clock }

    /// Makes the sleep end at this moment at the latest.
    func move(to moment: Time.Instant) {
        let sleeper = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard let end = state.end else {
                state.moved = state.moved.map { min($0, moment) } ?? moment
                return nil
            }
            guard moment < end else { return nil }
            state.end = moment
            defer { state.sleeper = nil }
            return state.sleeper
        }
        sleeper?.resume()
    }

    /// Sleeps until the moment, or until it was moved to an earlier one: then returns at once, for the caller to
    /// sleep again. Returns early when the task is cancelled.
    func sleep(until moment: Time.Instant) async {
        let isDue = state.withLock { state in
            defer { state.moved = nil }
            guard let moved = state.moved, moved < moment else {
                state.end = moment
                return false
            }
            return true
        }
        // Whoever moved it while nobody slept may have seen what the caller had not: it looks again.
        guard !isDue else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { [clock] in
                guard (try? await clock.sleep(until: moment, tolerance: nil)) != nil else { return }
                self.wake()
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isMoved = state.withLock { state in
                        guard state.end == moment, !Task.isCancelled else { return true }
                        state.sleeper = continuation
                        return false
                    }
                    if isMoved { continuation.resume() }
                }
            } onCancel: {
                self.wake()
            }
            group.cancelAll()
        }
        state.withLock { $0.end = nil }
    }

    private func wake() {
        let sleeper = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.end = nil
            defer { state.sleeper = nil }
            return state.sleeper
        }
        sleeper?.resume()
    }
}
