import HeraldCore
import HeraldSockets

/// Who is here, on one loop: which sockets a user, a key and a room have, and the deliveries still to be made.
///
/// One shard of the node's hub; nothing of it is shared, so there is no lock. All is held by slot, the socket's
/// small dense number: a seat of about 64 bytes (one cache line of a fan-out), 8 bytes of links and two index
/// entries. A room is an array of slots. The fan-out itself is in `Hub+FanOut.swift` and `Hub+Walks.swift`.
struct Hub {
    struct Seat {
        /// Nil: nobody sits here.
        var name: UserKey?
        /// The rooms, and where in their arrays of members.
        var places: [Place] = []
        /// The number of the last delivery that is over for this seat. Those of its walks' messages that have larger
        /// ones are still to come.
        var mark: UInt64 = 0
        var socket: SocketID?
        /// What arrives is kept until the client was told that it is connected.
        var isHeld = false
    }

    /// Membership as the seat sees it.
    struct Place {
        var room: UInt32
        var position: UInt32
    }

    struct Room {
        /// Nil: the place is free.
        var name: RoomID?
        /// Slots. One that leaves is replaced by the last; whoever walks over it walks backwards.
        var members: [UInt32] = []
        /// Among `queue.walks`, while messages are on their way to the members.
        var walk: Int?
    }

    /// A frame kept for a session that is not announced yet.
    struct HeldFrame {
        var frame: OutboundFrame
        var awaited: AwaitedFrames.Frame?
        /// Where it stands in the user's inbox.
        var position: InboxPosition?
    }

    /// Frames kept for one session that is not announced yet: some 50 ms in a busy room.
    static let heldFramesMax = 64

    /// Grows with the slots in use. Internal for the fan-out.
    var seats: [Seat] = []
    var rooms: [Room] = []
    var users = UserChains()
    var names = SlotIndex()
    var queue = FanOutQueue()
    var counts = FanOutCounts()
    /// Sessions that got more than `heldFramesMax` before they were announced: the handler closes them.
    var overheld: [SocketID] = []
    /// Frames of which a sender waits to hear.
    var awaited: AwaitedFrames
    var inboxes: InboxLanes
    private let directory: LoopDirectory?
    private var held: [Int: [HeldFrame]] = [:]
    private var roomIndex = SlotIndex()
    private var freeRooms: [Int] = []

    /// Sessions.
    private(set) var count = 0
    /// Users with a session here.
    var userCount: Int { users.count }
    /// Rooms with a member here.
    var roomCount: Int { roomIndex.count }

    /// - Parameters:
    ///   - awaitedMax: frames that may be followed at once.
    ///   - queueBytesMax: what may wait for one socket.
    ///   - directory: to be told who is here; nil on the only loop.
    init(
        awaitedMax: Int = Limits.standard.receiptsAwaitedMax,
        queueBytesMax: Int = SocketLimits().sendQueueBytesMax,
        directory: LoopDirectory? = nil
    ) {
        inboxes = InboxLanes(shownBytesMax: queueBytesMax / 2)
        awaited = AwaitedFrames(max: awaitedMax)
        self.directory = directory
    }

    // MARK: Sessions

    /// A session takes its seat: from now on deliveries find it, and are kept for it until `announce`.
    mutating func attach(_ socket: SocketID, _ name: UserKey) {
        let slot = socket.slot
        while seats.count <= slot { seats.append(Seat()) }
        let hash = name.user.hashValue
        let head = users.head(hash) { seats[$0].name?.user == name.user }
        users.add(slot, hash: hash, head: head)
        names.insert(slot, hash: name.hashValue)
        directory?.insert(hash)
        seats[slot] = Seat(name: name, socket: socket, isHeld: true)
        count += 1
    }

    /// The session was announced.
    ///
    /// - Returns: what arrived for it meanwhile, in order.
    mutating func announce(_ slot: Int) -> [HeldFrame] {
        seats[slot].isHeld = false
        return held.removeValue(forKey: slot) ?? []
    }

    /// The session is over.
    ///
    /// - Returns: the rooms it was in, and its name; nil when nobody sat there.
    mutating func detach(_ slot: Int) -> (name: UserKey, rooms: [RoomID])? {
        guard slot < seats.count, let name = seats[slot].name else { return nil }
        var left: [RoomID] = []
        while let place = seats[slot].places.last {
            if let room = rooms[Int(place.room)].name { left.append(room) }
            removeMember(slot, at: seats[slot].places.count - 1)
        }
        names.remove(slot, hash: name.hashValue)
        users.remove(slot, hash: name.user.hashValue)
        directory?.remove(name.user.hashValue)
        seats[slot] = Seat()
        awaited.closed(slot)
        let kept = (held.removeValue(forKey: slot) ?? []) + (inboxes.closed(slot)?.abandoned() ?? [])
        for case let frame? in kept.map(\.awaited) { awaited.lost(frame) }
        count -= 1
        return (name, left)
    }

    /// Keeps a frame until the session is announced. One that may be left out is, where half of what is kept is there.
    ///
    /// - Returns: false when there are too many.
    mutating func hold(_ frame: HeldFrame, _ slot: Int) -> Bool {
        let policy = frame.frame.policy
        let isReplacing = policy.collapse.map { collapseHeld($0, slot) } ?? false
        let count = held[slot, default: []].count
        if policy.isDroppable, !isReplacing, count >= Self.heldFramesMax / 2 {
            counts.yielded += 1
            return false
        }
        guard count < Self.heldFramesMax else {
            counts.dropped += 1
            if let socket = seats[slot].socket { overheld.append(socket) }
            return false
        }
        held[slot, default: []].append(frame)
        return true
    }

    /// - Returns: whether an older frame was there.
    private mutating func collapseHeld(_ id: CollapseID, _ slot: Int) -> Bool {
        guard let place = held[slot]?.firstIndex(where: { $0.frame.policy.collapse == id }),
            let older = held[slot]?.remove(at: place)
        else { return false }
        counts.collapsed += 1
        if let frame = older.awaited { awaited.dropped(frame, isCollapsed: true) }
        return true
    }

    /// As `AwaitedFrames.share`, of a frame that is kept here.
    mutating func shareHeld(_ tally: DeliveryTally, _ target: Int, _ slot: Int) -> Bool {
        guard let place = held[slot]?.lastIndex(where: { $0.awaited?.tally === tally }) else { return false }
        held[slot]?[place].awaited?.others.append(target)
        return true
    }

    // MARK: Rooms

    func isMember(_ slot: Int, of name: RoomID) -> Bool {
        guard let room = room(name, hash: name.hashValue) else { return false }
        return seats[slot].places.contains { $0.room == UInt32(room) }
    }

    func roomCount(of slot: Int) -> Int { seats[slot].places.count }

    /// - Returns: who joined; nil when it was a member already.
    mutating func join(_ slot: Int, _ name: RoomID) -> UserKey? {
        let hash = name.hashValue
        let room = room(name, hash: hash) ?? addRoom(name, hash: hash)
        guard !seats[slot].places.contains(where: { $0.room == UInt32(room) }) else { return nil }
        seats[slot].places.append(Place(room: UInt32(room), position: UInt32(rooms[room].members.count)))
        rooms[room].members.append(UInt32(slot))
        return seats[slot].name
    }

    /// - Returns: who left; nil when it was no member.
    mutating func leave(_ slot: Int, _ name: RoomID) -> UserKey? {
        guard let room = room(name, hash: name.hashValue),
            let index = seats[slot].places.firstIndex(where: { $0.room == UInt32(room) })
        else { return nil }
        removeMember(slot, at: index)
        return seats[slot].name
    }

    /// Where a room is; nil when it has no member here.
    func room(_ name: RoomID, hash: Int) -> Int? {
        roomIndex.first(hash) { rooms[$0].name == name }
    }

    private mutating func addRoom(_ name: RoomID, hash: Int) -> Int {
        let room = freeRooms.popLast() ?? rooms.count
        if room == rooms.count { rooms.append(Room()) }
        rooms[room].name = name
        roomIndex.insert(room, hash: hash)
        directory?.insert(hash)
        return room
    }

    private mutating func removeMember(_ slot: Int, at index: Int) {
        let place = seats[slot].places.remove(at: index)
        let room = Int(place.room)
        let last = rooms[room].members.removeLast()
        if Int(last) != slot {
            rooms[room].members[Int(place.position)] = last
            if rooms[room].walk != nil { queue.walks.stragglers.append(last) }
            if let moved = seats[Int(last)].places.firstIndex(where: { $0.room == place.room }) {
                seats[Int(last)].places[moved].position = place.position
            }
        }
        guard rooms[room].members.isEmpty, let name = rooms[room].name else { return }
        roomIndex.remove(room, hash: name.hashValue)
        directory?.remove(name.hashValue)
        if let walk = rooms[room].walk { queue.walks.roomEnded(walk) }
        rooms[room] = Room()
        freeRooms.append(room)
    }
}
