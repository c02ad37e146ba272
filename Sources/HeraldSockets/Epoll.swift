import Glibc

/// An epoll instance, and the events of its last wait.
///
/// Swift's Glibc module leaves out <sys/epoll.h>, so `epoll_event` is laid out by hand, here and nowhere
/// else, and the functions come from `LinuxCalls`.
struct Epoll: ~Copyable {
    /// Owned: made in `init`, closed in `deinit`.
    let descriptor: Int32
    private let calls: LinuxCalls
    private let events: UnsafeMutableRawPointer

    /// What may be reported (<sys/epoll.h>).
    struct Interest: OptionSet {
        let rawValue: UInt32

        static let readable = Interest(rawValue: 0x001)
        static let writable = Interest(rawValue: 0x004)
        /// An error or a hang-up; reported whether asked for or not.
        static let broken = Interest(rawValue: 0x008 | 0x010)
    }

    struct Event {
        var interest: Interest
        var id: UInt64
    }

    private enum Operation {
        static let add: Int32 = 1
        static let remove: Int32 = 2
        static let change: Int32 = 3
    }

    static let eventsMax = 512

    init() throws(SocketEngineError) {
        guard let calls = LinuxCalls.loaded else { throw .resources("find epoll in libc", errno: ENOSYS) }
        let descriptor = calls.createEpoll(LinuxCalls.closeOnExecute)
        guard descriptor >= 0 else { throw .resources("epoll_create1", errno: errno) }
        self.descriptor = descriptor
        self.calls = calls
        events = .allocate(byteCount: Self.eventsMax * EventLayout.stride, alignment: 8)
    }

    deinit {
        close(descriptor)
        events.deallocate()
    }

    /// - Parameter milliseconds: at most; -1 waits without end.
    /// - Returns: how many events can be had from `event(_:)`.
    func wait(milliseconds: Int32) -> Int {
        max(0, Int(calls.waitEpoll(descriptor, events, Int32(Self.eventsMax), milliseconds)))
    }

    func event(_ position: Int) -> Event {
        EventLayout.load(events + position * EventLayout.stride)
    }

    /// - Returns: false when the kernel would not (no memory, or the user's limit of watches).
    func add(_ other: Int32, _ interest: Interest, id: UInt64) -> Bool {
        control(Operation.add, other, Event(interest: interest, id: id))
    }

    func change(_ other: Int32, _ interest: Interest, id: UInt64) {
        let isDone = control(Operation.change, other, Event(interest: interest, id: id))
        precondition(isDone, "only registered descriptors are changed")
    }

    func remove(_ other: Int32) {
        _ = control(Operation.remove, other, Event(interest: [], id: 0))
    }

    private func control(_ operation: Int32, _ other: Int32, _ event: Event) -> Bool {
        withUnsafeTemporaryAllocation(byteCount: EventLayout.stride, alignment: 8) { memory in
            guard let base = memory.baseAddress else { return false }
            EventLayout.store(event, base)
            return calls.controlEpoll(descriptor, operation, other, base) == 0
        }
    }
}

/// `struct epoll_event`: 32 bits of events, then 64 of the user's, packed on x86-64 and nowhere else.
private enum EventLayout {
    #if arch(x86_64)
    static let idOffset = 4
    static let stride = 12
    #else
    static let idOffset = 8
    static let stride = 16
    #endif

    static func load(_ memory: UnsafeMutableRawPointer) -> Epoll.Event {
        Epoll.Event(
            interest: Epoll.Interest(rawValue: memory.loadUnaligned(as: UInt32.self)),
            id: memory.loadUnaligned(fromByteOffset: idOffset, as: UInt64.self)
        )
    }

    static func store(_ event: Epoll.Event, _ memory: UnsafeMutableRawPointer) {
        memory.storeBytes(of: event.interest.rawValue, as: UInt32.self)
        memory.storeBytes(of: event.id, toByteOffset: idOffset, as: UInt64.self)
    }
}
