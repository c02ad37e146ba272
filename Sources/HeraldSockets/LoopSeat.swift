import Synchronization

/// Who takes a loop's turns: its own thread, or, while that sleeps, whoever has a little for it to do.
///
///     asleep ──kernel, mail, deadline──▶ turn ──▶ asleep     the loop's thread
///     asleep ──post(here:)──▶ attended ──▶ asleep            the thread that posts
///
/// Waking a thread costs two context switches, a write and two more system calls: 8 µs of the 51 that a cloud node
/// spent on a push that comes alone. So the thread that heard the push writes it to the socket itself, if nobody is
/// in the loop. The lock is held for a turn and let go for the wait; it is never waited for by who posts. After a
/// turn that it did not take, the loop's thread sleeps on, unless there is something to do before its time.
final class LoopSeat<Handler: SocketHandler & ~Copyable>: Sendable {
    private let loop: Mutex<EventLoop<Handler>>

    init(_ loop: consuming sending EventLoop<Handler>) { self.loop = Mutex(loop) }

    /// Serves until the loop is stopped and every socket has ended. On the loop's thread.
    func run(mailbox: LoopMailbox<Handler.Command>) {
        var events = loop.withLock { EpollEvents(of: $0.table.epoll) }
        mailbox.mayAttend { [self] in loop.withLockIfAvailable { $0.attend() } ?? false }
        var wait = loop.withLock { $0.nextWait() }
        while let milliseconds = wait {
            events.wait(milliseconds: milliseconds)
            wait = loop.withLock { loop in
                loop.turn(events)
                return loop.nextWait()
            }
        }
    }
}
