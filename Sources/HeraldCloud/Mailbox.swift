import Synchronization

/// Hands batches from any thread to the one task that runs a component.
///
/// The lock is held for an append or a swap. How much may wait is the sender's to bound.
final class Mailbox<Element: Sendable>: Sendable {
    let signal = Signal()
    private let waiting = Mutex<[Element]>([])

    func post(_ batch: [Element]) {
        guard !batch.isEmpty else { return }
        let wasEmpty = waiting.withLock { waiting in
            defer { waiting.append(contentsOf: batch) }
            return waiting.isEmpty
        }
        if wasEmpty { signal.raise() }
    }

    func take() -> [Element] {
        waiting.withLock { waiting in
            defer { waiting = [] }
            return waiting
        }
    }
}
