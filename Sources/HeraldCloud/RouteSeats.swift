import HeraldCore
import HeraldSockets

/// The keys of a node, one seat each: a settled key is 72 bytes here, a key in motion has its `KeyLane` beside.
struct RouteSeats: ~Copyable {
    private struct Seat {
        /// Nil: the seat is free.
        var name: UserKey?
        var counter: UInt64 = 0
        var incarnation = Incarnation(0)
        var epoch = Epoch(0)
        /// Nil: the key is in motion.
        var socket: SocketID?
    }

    /// A lane, and where it stands in line for its next call.
    struct Moving {
        var lane: KeyLane
        var queue: Queue?

        enum Queue { case urgent, renewals }
    }

    /// The keys in motion, by seat.
    private(set) var moving: [Int: Moving] = [:]
    private var seats: [Seat] = []
    private var free: [Int] = []
    private var names = SlotIndex()
    private var users = UserChains()

    /// Keys of which the node knows anything.
    var count: Int { seats.count - free.count }
    /// Seats, free ones included.
    var capacity: Int { seats.count }
    /// Users with at least one key here.
    var userCount: Int { users.count }

    func name(of seat: Int) -> UserKey? { seats[seat].name }

    func seat(of name: UserKey) -> Int? {
        names.first(name.hashValue) { seats[$0].name == name }
    }

    /// The seat of a key, taken for it if need be.
    mutating func take(_ name: UserKey) -> Int {
        if let seat = seat(of: name) { return seat }
        let seat = free.popLast() ?? seats.count
        if seat == seats.count { seats.append(Seat()) }
        let userHash = name.user.hashValue
        let head = users.head(userHash) { seats[$0].name?.user == name.user }
        users.add(seat, hash: userHash, head: head)
        names.insert(seat, hash: name.hashValue)
        seats[seat] = Seat(name: name)
        moving[seat] = Moving(lane: KeyLane())
        return seat
    }

    /// The lane of a taken seat.
    func lane(_ seat: Int) -> Moving {
        if let moving = moving[seat] { return moving }
        let stored = seats[seat]
        guard let socket = stored.socket else { return Moving(lane: KeyLane()) }
        let holder = KeyLane.Holder(
            session: KeyLane.Session(socket: socket, counter: stored.counter),
            mapping: KeyLane.Mapping(
                incarnation: stored.incarnation,
                counter: stored.counter,
                epoch: stored.epoch
            )
        )
        return Moving(lane: KeyLane(settled: holder))
    }

    /// Puts a lane back after an event: small if it has settled, away if it is empty.
    mutating func put(_ lane: Moving, in seat: Int, at now: Moment) {
        if lane.lane.isEmpty {
            moving[seat] = nil
            release(seat)
        } else if let holder = lane.lane.holder, lane.lane.isSettled(at: now), lane.queue == nil {
            moving[seat] = nil
            seats[seat].counter = holder.session.counter
            seats[seat].incarnation = holder.mapping.incarnation
            seats[seat].epoch = holder.mapping.epoch
            seats[seat].socket = holder.session.socket
        } else {
            seats[seat].socket = nil
            moving[seat] = lane
        }
    }

    private mutating func release(_ seat: Int) {
        guard let name = seats[seat].name else { return }
        names.remove(seat, hash: name.hashValue)
        users.remove(seat, hash: name.user.hashValue)
        seats[seat] = Seat()
        free.append(seat)
    }
}
