import HeraldCore
import HeraldSockets

/// How many members this node has in each room, what Redis was told of it, and who waits to hear that it was.
///
/// One call at a time for all rooms, with everything that is due by then: the answer of one call is at most one
/// round trip away, and two calls for one room cannot overtake each other. The first member and the last are
/// told at once, as pushes depend on them; other counts are for the eye and follow within `refresh`. Every
/// room is told again each renewal interval, and to a new incarnation all of them, in a hurry.
///
/// The members' names ride on the same calls (`RoomList`): with the first member at once, then within `refresh`,
/// and no more of them in one call than Redis takes in two milliseconds. What does not fit follows, call by call,
/// behind the rooms that have something urgent.
struct RoomShares {
    private struct Room {
        var name: RoomID
        var members = 0
        /// What Redis last confirmed for this incarnation; zero: nothing.
        var told = 0
        /// A call said that there are members, and none has been confirmed since that there are not.
        var mayStand = false
        var isQueued = false
        var isChanged = false
        /// A call that names the room is under way.
        var isCalled = false
        /// Nil until a member comes whose name is to be listed.
        var list: RoomList?
    }

    private struct Waiter {
        var socket: SocketID
        var since: Moment
    }

    enum Effect: Hashable {
        /// Pushes to the room reach this node: say so to who joined.
        case joined(SocketID, RoomID)
        /// Redis could not be told in time.
        case refused(SocketID, RoomID)
    }

    /// Rooms of one call: one script each, some 10 µs of Redis.
    static let callRoomsMax = 256
    /// Names of one call, and of one room's script in it: under 2 µs of Redis each (466 µs for 256).
    static let callNamesMax = 1024
    static let roomNamesMax = 256
    static let refresh = Duration.seconds(1)

    private let patience: Duration
    private let listedMax: Int
    private var rooms: [Room?] = []
    private var free: [Int] = []
    private var places: [RoomID: Int] = [:]
    private var waiting: [RoomID: [Waiter]] = [:]
    /// Rooms with something to tell now, oldest first.
    private var urgent = SlotQueue()
    /// Rooms whose count changed, told at `refreshed + refresh`.
    private var changed = SlotQueue()
    /// Rooms whose list has more to tell than fitted into a call.
    private var listing = SlotQueue()
    private var refreshed = Moment.past
    private var underWay: [(place: Int, members: Int)] = []
    private var walk: RenewalWalk

    /// - Parameters:
    ///   - patience: how long a join waits for Redis.
    ///   - listedMax: names that are listed of one room; 0 keeps no lists.
    ///   - walk: the pace of telling again.
    init(patience: Duration, listedMax: Int, walk: RenewalWalk) {
        self.patience = patience
        self.listedMax = listedMax
        self.walk = walk
    }

    /// Rooms with members.
    var count: Int { places.count }
    /// Nothing is to be told, and nobody waits.
    var isIdle: Bool { urgent.isEmpty && underWay.isEmpty && waiting.isEmpty }
    /// A new incarnation's first round goes on.
    var isHurrying: Bool { walk.isHurrying }

    // MARK: What happens at the node

    /// `member` is listed under its name; nil: it is only counted.
    mutating func joined(
        _ name: RoomID,
        by socket: SocketID,
        as member: UserKey?,
        at now: Moment,
        _ effects: inout [Effect]
    ) {
        let place = places[name] ?? add(name)
        rooms[place]?.members += 1
        if let member, listedMax > 0 {
            if rooms[place]?.list == nil { rooms[place]?.list = RoomList(namesMax: listedMax) }
            rooms[place]?.list?.joined(member)
        }
        guard let room = rooms[place] else { return }
        if room.told > 0, !(room.isCalled && isZeroUnderWay(place)) {
            effects.append(.joined(socket, name))
            change(place)
        } else {
            waiting[name, default: []].append(Waiter(socket: socket, since: now))
            queue(place)
        }
    }

    mutating func left(_ name: RoomID, by member: UserKey?) {
        guard let place = places[name], (rooms[place]?.members ?? 0) > 0 else { return }
        rooms[place]?.members -= 1
        if let member { rooms[place]?.list?.left(member) }
        if rooms[place]?.members == 0 {
            waiting[name] = nil
            if rooms[place]?.mayStand == false, rooms[place]?.isCalled == false { return remove(place) }
            queue(place)
        } else {
            change(place)
        }
    }

    /// The node has another incarnation: Redis knows nothing of it.
    mutating func leaseChanged() {
        for place in rooms.indices {
            rooms[place]?.told = 0
            rooms[place]?.mayStand = false
            rooms[place]?.list?.begin()
        }
        walk.hurry(count: rooms.count)
    }

    /// Redis may have lost what it was told last: all of it is told again.
    mutating func redisReturned() { walk.hurry(count: rooms.count) }

    mutating func timePassed(to now: Moment, isBarred: Bool, _ effects: inout [Effect]) {
        if !isBarred, refreshed + Self.refresh <= now {
            refreshed = now
            while let place = changed.popFirst() {
                rooms[place]?.isChanged = false
                queue(place)
            }
        }
        for _ in 0..<walk.steps(at: now, count: rooms.count, isBarred: isBarred) {
            let place = walk.step(count: rooms.count)
            if rooms[place] != nil { queue(place) }
        }
        guard !waiting.isEmpty else { return }
        for (name, waiters) in waiting {
            let expired = waiters.prefix { $0.since + patience <= now }
            guard !expired.isEmpty else { continue }
            for waiter in expired { effects.append(.refused(waiter.socket, name)) }
            waiting[name] = expired.count == waiters.count ? nil : Array(waiters.dropFirst(expired.count))
        }
    }

    // MARK: What is told

    /// What to tell now; nil when there is nothing, or a call is under way.
    mutating func nextCall() -> [RoomID: RoomTelling]? {
        guard underWay.isEmpty, !urgent.isEmpty || !listing.isEmpty else { return nil }
        var tellings: [RoomID: RoomTelling] = [:]
        var namesLeft = Self.callNamesMax
        while tellings.count < Self.callRoomsMax, let place = urgent.popFirst() {
            guard rooms[place] != nil else { continue }
            rooms[place]?.isQueued = false
            if rooms[place]?.members == 0, rooms[place]?.mayStand == false {
                remove(place)
                continue
            }
            tell(place, &namesLeft, &tellings)
        }
        while tellings.count < Self.callRoomsMax, namesLeft > 0, let place = listing.popFirst() {
            // It may have been told meanwhile, or be another room's place.
            guard let room = rooms[place], room.mayStand, !room.isCalled, room.list?.isBehind == true else {
                continue
            }
            tell(place, &namesLeft, &tellings)
        }
        return tellings.isEmpty ? nil : tellings
    }

    private mutating func tell(
        _ place: Int,
        _ namesLeft: inout Int,
        _ tellings: inout [RoomID: RoomTelling]
    ) {
        guard let name = rooms[place]?.name, let members = rooms[place]?.members else { return }
        var telling = RoomTelling(members: members)
        if members > 0 {
            rooms[place]?.mayStand = true
            rooms[place]?.list?.take(max: min(namesLeft, Self.roomNamesMax), into: &telling)
        } else {
            // The list goes with the share.
            rooms[place]?.list?.begin()
        }
        namesLeft -= telling.joined.count + telling.left.count
        rooms[place]?.isCalled = true
        underWay.append((place, members))
        tellings[name] = telling
    }

    /// `isCurrent`: false when the call was for an incarnation that is over. `astray`: rooms whose list in Redis
    /// is not what it should be.
    mutating func answered(isCurrent: Bool, astray: Set<RoomID>, _ effects: inout [Effect]) {
        let told = underWay
        underWay = []
        for (place, members) in told {
            guard let name = rooms[place]?.name else { continue }
            rooms[place]?.isCalled = false
            guard isCurrent else {
                rooms[place]?.list?.failed()
                queue(place)
                continue
            }
            rooms[place]?.list?.confirmed(isAstray: astray.contains(name))
            if rooms[place]?.list?.isBehind == true { listing.append(place) }
            rooms[place]?.told = members
            if members == 0 { rooms[place]?.mayStand = false }
            if members > 0 {
                for waiter in waiting.removeValue(forKey: name) ?? [] {
                    effects.append(.joined(waiter.socket, name))
                }
                if rooms[place]?.members == 0 { queue(place) }
            } else if rooms[place]?.members == 0 {
                remove(place)
            } else {
                queue(place)
            }
        }
    }

    /// Nothing is known of what the call did: all of it is told again.
    mutating func failed() {
        let told = underWay
        underWay = []
        for (place, members) in told {
            rooms[place]?.isCalled = false
            rooms[place]?.list?.failed()
            // The share may be gone: who joins waits until it stands again.
            if members == 0 { rooms[place]?.told = 0 }
            queue(place)
        }
    }

    // MARK: Places

    private func isZeroUnderWay(_ place: Int) -> Bool {
        underWay.contains { $0.place == place && $0.members == 0 }
    }

    private mutating func queue(_ place: Int) {
        guard rooms[place]?.isQueued == false else { return }
        rooms[place]?.isQueued = true
        urgent.append(place)
    }

    private mutating func change(_ place: Int) {
        guard rooms[place]?.isChanged == false else { return }
        rooms[place]?.isChanged = true
        changed.append(place)
    }

    private mutating func add(_ name: RoomID) -> Int {
        let place = free.popLast() ?? rooms.count
        if place == rooms.count { rooms.append(nil) }
        rooms[place] = Room(name: name)
        places[name] = place
        return place
    }

    private mutating func remove(_ place: Int) {
        guard let room = rooms[place] else { return }
        places[room.name] = nil
        rooms[place] = nil
        free.append(place)
    }
}
