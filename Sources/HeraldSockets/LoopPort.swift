import CEpoll
import Glibc
import Synchronization

/// How other threads reach a loop: one batch, one wake-up, and a bounded backlog.
///
/// It may be kept longer than the engine; posting to a loop that has ended answers false.
public struct LoopPort<Command: Sendable>: Sendable {
    /// The loop at the other end, as in `SocketID.loop`.
    public let loop: Int
    let mailbox: LoopMailbox<Command>

    /// Hands the loop a batch. Batches of one thread arrive in their order, each whole.
    ///
    /// - Parameters:
    ///   - batch: what to do.
    ///   - here: if the loop sleeps, its turn for the batch is taken on this thread, before this returns. For a
    ///     batch that is less work than the two context switches it takes to wake the loop (8 µs of CPU).
    /// - Returns: false when the backlog is full or the loop has ended: nothing of the batch was taken.
    public func post(_ batch: [Command], here: Bool = false) -> Bool {
        mailbox.post(batch, here: here)
    }
}

/// What waits for a loop, and the descriptor that wakes it.
///
/// One lock round one struct; the loop takes everything at once and gives back the emptied array, so that
/// neither side allocates in the steady state.
final class LoopMailbox<Command: Sendable>: Sendable {
    /// What the engine asks of a loop.
    struct Orders: Sendable {
        var stopAccepting = false
        var stop: (code: UInt16, reason: String)?
    }

    private struct State: Sendable {
        var commands: [Command] = []
        var orders = Orders()
        var isClosed = false
        var refused: UInt64 = 0
        /// Takes a turn in place of the loop's thread while that sleeps; says whether it did.
        var attend: (@Sendable () -> Bool)?
    }

    /// An eventfd, readable while something waits. Owned: made in `init`, closed in `deinit`.
    let descriptor: Int32
    private let backlogMax: Int
    private let state = Mutex(State())

    /// Without a descriptor to be had the mailbox is unusable, which `SocketEngine.start` reports.
    init(backlogMax: Int) {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        self.backlogMax = backlogMax
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    func post(_ batch: [Command], here: Bool) -> Bool {
        guard !batch.isEmpty else { return true }
        let (isTaken, wakes, attend) = state.withLock { state -> (Bool, Bool, (@Sendable () -> Bool)?) in
            guard !state.isClosed, state.commands.count + batch.count <= backlogMax else {
                state.refused += 1
                return (false, false, nil)
            }
            let wasEmpty = state.commands.isEmpty
            state.commands.append(contentsOf: batch)
            return (true, wasEmpty, here && wasEmpty ? state.attend : nil)
        }
        // A loop that is in a turn may have taken its mail already: then it has to be told.
        if wakes, attend?() != true { wake() }
        return isTaken
    }

    /// Called once, before anything is posted.
    func mayAttend(_ attend: @escaping @Sendable () -> Bool) { state.withLock { $0.attend = attend } }

    func order(_ change: (inout Orders) -> Void) {
        state.withLock { change(&$0.orders) }
        wake()
    }

    /// The loop has noticed that something waits.
    func clearSignal() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, MemoryLayout<UInt64>.size)
    }

    /// Takes all that waits, leaving `commands` (emptied by the caller) in its place.
    func take(_ commands: inout [Command]) -> Orders {
        state.withLock { state in
            swap(&state.commands, &commands)
            let orders = state.orders
            state.orders = Orders()
            return orders
        }
    }

    /// The loop has ended: posting answers false from here on.
    func finish() {
        state.withLock { state in
            state.isClosed = true
            state.commands = []
            state.attend = nil
        }
    }

    /// Batches refused so far.
    var refused: UInt64 { state.withLock { $0.refused } }

    func wake() {
        var one: UInt64 = 1
        _ = write(descriptor, &one, MemoryLayout<UInt64>.size)
    }
}
