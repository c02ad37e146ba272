import CEpoll
import Glibc

/// An epoll instance.
struct Epoll: ~Copyable {
    /// Owned: made in `init`, closed in `deinit`.
    let descriptor: Int32

    /// What may be reported (epoll_ctl(2)).
    struct Interest: OptionSet {
        let rawValue: UInt32

        static let readable = Interest(rawValue: EPOLLIN.rawValue)
        static let writable = Interest(rawValue: EPOLLOUT.rawValue)
        /// An error or a hang-up; reported whether asked for or not.
        static let broken = Interest(rawValue: EPOLLERR.rawValue | EPOLLHUP.rawValue)
    }

    struct Event {
        var interest: Interest
        var id: UInt64
    }

    init() throws(SocketEngineError) {
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw .resources("epoll_create1", errno: errno) }
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }

    /// - Returns: false when the kernel would not (no memory, or the user's limit of watches).
    func add(_ other: Int32, _ interest: Interest, id: UInt64) -> Bool {
        control(EPOLL_CTL_ADD, other, interest, id)
    }

    func change(_ other: Int32, _ interest: Interest, id: UInt64) {
        let isDone = control(EPOLL_CTL_MOD, other, interest, id)
        precondition(isDone, "only registered descriptors are changed")
    }

    func remove(_ other: Int32) {
        _ = control(EPOLL_CTL_DEL, other, [], 0)
    }

    private func control(_ operation: Int32, _ other: Int32, _ interest: Interest, _ id: UInt64) -> Bool {
        var event = epoll_event(events: interest.rawValue, data: epoll_data_t(u64: id))
        return epoll_ctl(descriptor, operation, other, &event) == 0
    }
}

/// The events of an epoll's last wait; of the one thread that waits.
// Safe because it cannot be copied: who has it is the only one who reaches its memory.
struct EpollEvents: ~Copyable, @unchecked Sendable {
    static let countMax = 512

    private let descriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>
    private(set) var count = 0

    /// - Parameter epoll: lives longer than this.
    init(of epoll: borrowing Epoll) {
        descriptor = epoll.descriptor
        events = .allocate(capacity: Self.countMax)
        events.initialize(repeating: epoll_event(), count: Self.countMax)
    }

    deinit {
        events.deallocate()
    }

    /// - Parameter milliseconds: at most; -1 waits without end.
    mutating func wait(milliseconds: Int32) {
        count = max(0, Int(epoll_wait(descriptor, events, Int32(Self.countMax), milliseconds)))
    }

    subscript(position: Int) -> Epoll.Event {
        let event = events[position]
        return Epoll.Event(interest: Epoll.Interest(rawValue: event.events), id: event.data.u64)
    }
}
