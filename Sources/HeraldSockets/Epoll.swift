import CEpoll
import Glibc

/// An epoll instance, and the events of its last wait.
struct Epoll: ~Copyable {
    /// Owned: made in `init`, closed in `deinit`.
    let descriptor: Int32
    private let events: UnsafeMutablePointer<epoll_event>

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

    static let eventsMax = 512

    init() throws(SocketEngineError) {
        let descriptor = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard descriptor >= 0 else { throw .resources("epoll_create1", errno: errno) }
        self.descriptor = descriptor
        events = .allocate(capacity: Self.eventsMax)
        events.initialize(repeating: epoll_event(), count: Self.eventsMax)
    }

    deinit {
        close(descriptor)
        events.deallocate()
    }

    /// - Parameter milliseconds: at most; -1 waits without end.
    /// - Returns: how many events can be had from `event(_:)`.
    func wait(milliseconds: Int32) -> Int {
        max(0, Int(epoll_wait(descriptor, events, Int32(Self.eventsMax), milliseconds)))
    }

    func event(_ position: Int) -> Event {
        let event = events[position]
        return Event(interest: Interest(rawValue: event.events), id: event.data.u64)
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
