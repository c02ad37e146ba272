import Glibc

/// All that the engine holds of one connection, in the loop's slab.
///
/// The queue, the readers and their spilled bytes are owned here and freed with it; the descriptor is closed
/// by `SocketTable.end`. Timers are nodes of the loop's wheel, under the slot's number.
struct Slot: ~Copyable {
    /// The id of the present tenant, so that a stale one is told by one comparison.
    var id: SocketID
    var descriptor: Int32 = -1
    var lifecycle = SocketLifecycle.free
    var flags: Flags = []
    /// Wire bytes of pongs since the queue was last empty.
    var pongBytes: UInt16 = 0
    var nextFree: Int32 = -1
    var deflate = DeflateAgreement.none
    var head = RequestHeadReader()
    var reader = FrameReader()
    var queue = SendQueue()

    struct Flags: OptionSet {
        let rawValue: UInt8

        /// In the list of sockets to flush at the end of the turn.
        static let isDirty = Flags(rawValue: 1 << 0)
        /// The kernel's buffer is full, EPOLLOUT is awaited.
        static let isBlocked = Flags(rawValue: 1 << 1)
        /// The handler wants no more messages for now.
        static let isPaused = Flags(rawValue: 1 << 2)
        /// A ping is out and nothing has been heard since.
        static let isPinged = Flags(rawValue: 1 << 3)
        /// One beyond the loop's limit: its request will be answered 503.
        static let isRefused = Flags(rawValue: 1 << 4)
        /// The handler knows it: `socketOpened` was called.
        static let isOpened = Flags(rawValue: 1 << 5)
        /// It comes through a proxy, whose header is still to be read.
        static let awaitsProxyHeader = Flags(rawValue: 1 << 6)
        /// Its stream has ended and it may still be reading: there is nothing to be read from it any more.
        static let isFinished = Flags(rawValue: 1 << 7)
    }

    init(id: SocketID) {
        self.id = id
    }

    /// What epoll should report of it.
    var interest: Epoll.Interest {
        var interest: Epoll.Interest = []
        if flags.isDisjoint(with: [.isPaused, .isFinished]) { interest.insert(.readable) }
        if flags.contains(.isBlocked) { interest.insert(.writable) }
        return interest
    }
}
