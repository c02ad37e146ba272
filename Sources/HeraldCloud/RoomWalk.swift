import HeraldSockets

/// The messages that are on their way through one room's members, and how far each is.
///
/// A walk works like an elevator. One cursor goes round the array of members, downwards from its end, and begins
/// again at the end; a message gets on wherever the cursor is and gets off when the cursor is there again. Whom the
/// cursor comes by is given everything that is on, in one write. So with 64 messages in flight a member costs one
/// call for 64 messages, and a message that comes waits for no other one's end.
///
///     idle ──message gets on──▶ walking ──the last one gets off──▶ idle
///                               (cursor goes down, and from 0 to the end: a lap)
///
/// A message that got on at cursor s in lap l has visited [cursor, s) while the lap is l, and all but [s, cursor) in
/// lap l + 1; it gets off when that is empty. Those that got on first get off first.
///
/// Members come and go meanwhile. One that joins is put at the end of the array and may be visited. One that leaves
/// is replaced by the last, which thereby may leave an unvisited place for a visited one: the caller visits it out
/// of turn. That is harmless whenever it is done, for a member's seat knows what it has had (`Hub.Seat.mark`); so
/// a walk owes no more than this: whoever is a member from when a message gets on until it gets off is visited
/// in between. The model test holds it against random joins and leaves.
///
/// Measured (shared/bench, one loop; Redis, logic and node on one core; deliveries/s, CPU µs of the node for each):
///
/// | | room of 1,000, 64 in flight | room of 10,000, 4 in flight |
/// |---|---|---|
/// | message by message, a write for each | 134,000; 6.6 | 117,000; 8.2 |
/// | a walk that messages join, one bundle a visit | 6,200,000–6,700,000; 0.09 | 1,120,000; 0.84 |
///
/// In a room of 10,000 with three messages a second there is nothing to join. Nine tenths of the node's time are the
/// kernel's then, a quarter of all in waking the receiver; walk and flush together are 2 %.
///
/// Considered: a walk for all messages that are there when it begins (half of what comes waits for a whole walk
/// more); a cursor for each member (8 bytes for each membership, and a queue of messages per room that is as old as
/// the slowest of them); a list of members that copies itself for a walk (40 KB for each in a room of 10,000).
struct RoomWalk {
    struct Message {
        /// Of its delivery: grows.
        var number: UInt64
        var part: DeliveryBatch.Part
        /// Of a delivery whose sender wants to know what becomes of it.
        var tally: DeliveryTally?
        var share = DeliveryTally.Share()
        /// Bytes of the batch that are done when it gets off.
        var byteCount = 0
        /// Followed, or with a policy for sockets that read too slowly: a queue must be able to tell it from others.
        var isAlone: Bool { tally != nil || part.frame.hasPolicy }
        fileprivate var start = 0
        fileprivate var lap = 0

        init(number: UInt64, part: DeliveryBatch.Part, tally: DeliveryTally? = nil, byteCount: Int = 0) {
            self.number = number
            self.part = part
            self.tally = tally
            self.byteCount = byteCount
        }
    }

    /// Those that are on, oldest first.
    var messages: [Message] = []
    /// The members from 0 to below it are next, those at its end first.
    private(set) var cursor = 0
    private var lap = 0
    private var bundles: [OutboundBundle] = []
    /// How many of the messages cannot be joined with others.
    private var aloneCount = 0
    /// Of what is on.
    private var byteCount = 0
    /// What a visit takes of a slice's budget: the kernel copies 16 KiB in the time of a small frame's call.
    var visitCost: Int { 1 + byteCount / (16 * 1024) }

    /// A message gets on. `count`: of the members.
    mutating func append(_ message: Message, count: Int) {
        if messages.isEmpty { cursor = count }
        var message = message
        message.start = cursor
        message.lap = lap
        if message.isAlone { aloneCount += 1 }
        byteCount += message.part.frame.byteCount
        messages.append(message)
        bundles.removeAll(keepingCapacity: true)
    }

    /// The next message that gets off; to be called until there is none before each `step`.
    mutating func popEnded(count: Int) -> Message? {
        cursor = min(cursor, count)
        guard let first = messages.first else { return nil }
        if cursor == 0, first.lap == lap, first.start < count {
            lap += 1
            cursor = count
        }
        let isOver = first.lap == lap ? cursor == 0 : cursor <= first.start
        guard isOver else { return nil }
        if first.isAlone { aloneCount -= 1 }
        byteCount -= first.part.frame.byteCount
        bundles.removeAll(keepingCapacity: true)
        return messages.removeFirst()
    }

    /// The next members to visit, in any order before the next step; all of them get the same messages.
    ///
    /// - Returns: nil when no message is on; otherwise one at least.
    mutating func step(atMost limit: Int) -> Range<Int>? {
        guard let first = messages.first else { return nil }
        let end = first.lap == lap ? 0 : first.start
        let range = max(end, cursor - max(1, limit))..<cursor
        cursor = range.lowerBound
        return range
    }

    /// All that is on, joined; nil when one of the messages cannot be.
    mutating func joined() -> [OutboundBundle]? {
        guard aloneCount == 0 else { return nil }
        if bundles.isEmpty { bundles = OutboundBundle.joining(messages.map(\.part.frame)) }
        return bundles
    }
}

/// The walks of one loop that are under way, in the order of their turns.
struct RoomWalks {
    /// Whose members a walk visits.
    enum Members {
        /// By its place among the hub's rooms.
        case room(Int)
        case everyone
        /// The room has ended under the walk.
        case none
    }

    private(set) var members: [Members] = []
    private var walks: [RoomWalk] = []
    private var free: [Int] = []
    private var order = SlotQueue()
    private(set) var everyone: Int?
    /// Members to be visited out of turn.
    var stragglers: [UInt32] = []
    /// Messages that are on, in all walks, and their bytes.
    private(set) var messageCount = 0
    private(set) var byteCount = 0

    /// Beyond these no further message gets on: four full bundles' worth. A walk that carries more gains nothing,
    /// and a visit shall be short.
    static let messagesMax = 256
    static let bytesMax = 256 * 1024

    /// Walks under way.
    private(set) var count = 0
    var isEmpty: Bool { count == 0 }
    var isFull: Bool { messageCount >= Self.messagesMax || byteCount >= Self.bytesMax }

    subscript(walk: Int) -> RoomWalk {
        _read { yield walks[walk] }
        _modify { yield &walks[walk] }
    }

    /// Begins a walk.
    mutating func begin(_ members: Members) -> Int {
        let walk = free.popLast() ?? walks.count
        if walk == walks.count {
            walks.append(RoomWalk())
            self.members.append(.none)
        }
        self.members[walk] = members
        if case .everyone = members { everyone = walk }
        order.append(walk)
        count += 1
        return walk
    }

    mutating func append(_ message: RoomWalk.Message, to walk: Int, count: Int) {
        walks[walk].append(message, count: count)
        messageCount += 1
        byteCount += message.part.frame.byteCount
    }

    mutating func popEnded(_ walk: Int, count: Int) -> RoomWalk.Message? {
        guard let message = walks[walk].popEnded(count: count) else { return nil }
        messageCount -= 1
        byteCount -= message.part.frame.byteCount
        return message
    }

    /// The walk whose turn it is; `again` or `finish` follows.
    mutating func next() -> Int? { order.popFirst() }

    mutating func again(_ walk: Int) { order.append(walk) }

    mutating func finish(_ walk: Int) {
        if everyone == walk { everyone = nil }
        members[walk] = .none
        free.append(walk)
        count -= 1
    }

    /// The room has no members any more.
    mutating func roomEnded(_ walk: Int) { members[walk] = .none }
}
