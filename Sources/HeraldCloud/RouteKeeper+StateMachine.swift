import HeraldCore
import HeraldSockets

extension RouteKeeper {
    typealias StateMachine = RouteKeeperStateMachine
}

/// Keeps what Redis says of this node's sessions true (DESIGN.md §4): which calls to make, and when.
///
/// The decisions about one key are `KeyLane`'s, those about rooms `RoomShares`'; this machine holds all of
/// them, makes batches of their calls, paces the renewals and stops asking while Redis is away. It reads no
/// clock and throws no dice. Around it:
///
///     event ─▶ lane changes ─▶ lane wants a call? ─▶ queue ─▶ nextCalls ─▶ (I/O) ─▶ answered ─▶ lane changes …
///
/// States of the whole: without lease (nothing is asked; claims wait), with lease, and for a while after a new
/// lease `isRebuilding` (all mappings are carried over to the new incarnation, at `rebuildPerSecond`).
struct RouteKeeperStateMachine: ~Copyable {
    struct Settings: Sendable {
        var node: NodeID
        var rules = KeyLane.Rules()
        var renewal: Duration = .seconds(40)
        /// Mappings a second that are carried over to a new incarnation. A mapping costs Redis two scripts of
        /// some 10 µs: a fifth of its time, and 20,000 connections are back in 2 s.
        var rebuildPerSecond = 10_000
        /// Names that are listed of one room; 0 keeps no lists of members.
        var listedMembersMax = Limits.standard.listedMembersMax
        /// Entries of one call: Redis runs it in about 2 ms, others' commands in between.
        var callEntriesMax = 200
        /// Calls under way at once.
        var callsMax = 8
        /// Of these, calls that only renew: a connect never waits behind them.
        var renewCallsMax = 2

        init(node: NodeID) { self.node = node }
    }

    private enum UnderWay {
        case lanes([Int])
        case rooms(Incarnation)
    }

    let settings: Settings
    private(set) var counts = Counts()
    private(set) var lease: Lease?
    private var seats = RouteSeats()
    private var rooms: RoomShares
    private var incarnations: Set<Incarnation> = []
    private var lastCounter: UInt64 = 0
    private var lastCall: UInt64 = 0
    private var isCarryingOver = false
    private var urgent = SlotQueue()
    private var renewals = SlotQueue()
    private var underWay: [UInt64: UnderWay] = [:]
    private var renewCalls: Set<UInt64> = []
    private var gate = RouteGate()
    private var walk: RenewalWalk
    private var scanned = Moment.past
    private var laneEffects: [KeyLane.Effect] = []
    private var roomEffects: [RoomShares.Effect] = []

    /// How often lanes in motion are looked at for what time alone changes.
    private static let scanInterval = Duration.milliseconds(250)

    init(_ settings: Settings) {
        self.settings = settings
        walk = RenewalWalk(interval: settings.renewal, hurryPerSecond: settings.rebuildPerSecond)
        rooms = RoomShares(
            patience: settings.rules.patience,
            listedMax: settings.listedMembersMax,
            walk: RenewalWalk(interval: settings.renewal, hurryPerSecond: settings.rebuildPerSecond)
        )
    }

    /// Sessions and rooms are being carried over to a new incarnation.
    var isRebuilding: Bool { isCarryingOver && (walk.isHurrying || rooms.isHurrying) }
    /// The last call failed, and none has succeeded since.
    var isTrouble: Bool { gate.isTrouble }
    /// Nothing is left in Redis that this node has to take out.
    var isEmpty: Bool { seats.count == 0 && rooms.count == 0 && rooms.isIdle }
    var load: (keys: Int, users: Int, rooms: Int) { (seats.count, seats.userCount, rooms.count) }

    // MARK: What happens at the node

    /// A session asks for a key; its number is given here, so that they grow in the order of acceptance.
    mutating func claimed(_ name: UserKey, by socket: SocketID, at now: Moment, _ effects: inout [Effect]) {
        lastCounter += 1
        let session = KeyLane.Session(socket: socket, counter: lastCounter)
        let seat = seats.take(name)
        let rules = settings.rules
        change(seat, at: now, &effects) { lane, laneEffects in
            lane.claimed(session, at: now, rules, &laneEffects)
        }
    }

    /// A socket that had claimed a key is closed, and out of its rooms.
    mutating func closed(
        _ socket: SocketID,
        _ name: UserKey,
        rooms left: [RoomID],
        for reason: DisconnectReason = .closed,
        at now: Moment,
        _ effects: inout [Effect]
    ) {
        for room in left { rooms.left(room, by: name) }
        guard let seat = seats.seat(of: name) else { return }
        let rules = settings.rules
        change(seat, at: now, &effects) { lane, laneEffects in
            lane.closed(socket, for: reason, at: now, rules, &laneEffects)
        }
    }

    /// `member`: under which name it is listed; nil: it is only counted.
    mutating func joined(
        _ room: RoomID,
        by socket: SocketID,
        as member: UserKey? = nil,
        at now: Moment,
        _ effects: inout [Effect]
    ) {
        rooms.joined(room, by: socket, as: member, at: now, &roomEffects)
        flushRooms(&effects)
    }

    mutating func left(_ room: RoomID, by member: UserKey? = nil) { rooms.left(room, by: member) }

    /// Another node or the backend wants a session closed.
    mutating func closeOrdered(_ order: CloseOrder, at now: Moment, _ effects: inout [Effect]) {
        if let session = order.session {
            guard session.node == settings.node, incarnations.contains(session.incarnation) else { return }
        }
        guard let seat = seats.seat(of: order.name) else { return }
        change(seat, at: now, &effects) { lane, laneEffects in
            lane.closeOrdered(counter: order.session?.counter, code: order.code, &laneEffects)
        }
    }

    /// The way to Redis is there again: it may have lost the last writes, and know the lease all the same.
    mutating func redisReturned() {
        if !isRebuilding { isCarryingOver = false }
        walk.hurry(count: seats.capacity)
        rooms.redisReturned()
    }

    /// The node's lease as it now is; nil while it is lost and not yet taken anew.
    mutating func leaseChanged(_ new: Lease?, at now: Moment) {
        let isNewIncarnation = new != nil && !incarnations.contains(new?.incarnation ?? Incarnation(0))
        lease = new
        guard let new else { return }
        if isNewIncarnation {
            let isFirst = incarnations.isEmpty
            incarnations.insert(new.incarnation)
            if !isFirst {
                isCarryingOver = true
                walk.hurry(count: seats.capacity)
                rooms.leaseChanged()
            }
        }
        for seat in Array(seats.moving.keys) { queueIfWanting(seat, at: now) }
    }

    /// To be called every 50 to 100 ms.
    mutating func timePassed(to now: Moment, _ effects: inout [Effect]) {
        let isBarred = lease == nil || gate.allowance(at: now, most: 1) == 0
        for _ in 0..<walk.steps(at: now, count: seats.capacity, isBarred: isBarred) {
            renew(walk.step(count: seats.capacity), at: now)
        }
        rooms.timePassed(to: now, isBarred: isBarred, &roomEffects)
        flushRooms(&effects)
        guard scanned + Self.scanInterval <= now else { return }
        scanned = now
        let rules = settings.rules
        for seat in Array(seats.moving.keys) {
            change(seat, at: now, &effects) { lane, laneEffects in
                lane.timePassed(to: now, rules, &laneEffects)
            }
        }
    }

    // MARK: What is asked of Redis

    /// The calls to make now, as many as may be under way.
    mutating func nextCalls(at now: Moment) -> [Call] {
        guard let lease else { return [] }
        var calls: [Call] = []
        while underWay.count < gate.allowance(at: now, most: settings.callsMax), !urgent.isEmpty {
            takeLanes(thatRenew: false, at: now, lease, &calls)
        }
        if underWay.count < gate.allowance(at: now, most: settings.callsMax), let shares = rooms.nextCall() {
            let number = nextNumber()
            underWay[number] = .rooms(lease.incarnation)
            calls.append(Call(number: number, body: .share(shares, lease)))
        }
        while underWay.count < gate.allowance(at: now, most: settings.callsMax),
            renewCalls.count < settings.renewCallsMax, !renewals.isEmpty
        {
            let before = calls.count
            takeLanes(thatRenew: true, at: now, lease, &calls)
            for call in calls[before...] { renewCalls.insert(call.number) }
        }
        return calls
    }

    /// A call came back: with its answer, or with none (nil) when it failed. `random` is for the pause after that.
    mutating func answered(
        _ number: UInt64,
        _ answer: Answer?,
        at now: Moment,
        random: UInt64,
        _ effects: inout [Effect]
    ) {
        renewCalls.remove(number)
        guard let call = underWay.removeValue(forKey: number) else { return }
        if answer == nil {
            counts.callsFailed += 1
            gate.failed(at: now, random: random)
        } else {
            gate.answered()
        }
        switch call {
        case .rooms(let incarnation):
            if answer == nil {
                rooms.failed()
            } else {
                counts.shares += 1
                var astray: Set<RoomID> = []
                if case .sharesTold(let rooms) = answer { astray = rooms }
                counts.listsAstray += UInt64(astray.count)
                rooms.answered(isCurrent: incarnation == lease?.incarnation, astray: astray, &roomEffects)
            }
            flushRooms(&effects)
        case .lanes(let places):
            for (index, seat) in places.enumerated() {
                answerLane(seat, answer, index, at: now, &effects)
            }
        }
    }

    // MARK: Lanes

    private mutating func answerLane(
        _ seat: Int,
        _ answer: Answer?,
        _ index: Int,
        at now: Moment,
        _ effects: inout [Effect]
    ) {
        let rules = settings.rules
        let node = settings.node
        count(answer, index)
        change(seat, at: now, &effects) { lane, laneEffects in
            switch answer {
            case .bound(let outcomes):
                lane.bindAnswered(outcomes[index], node: node, at: now, rules, &laneEffects)
            case .renewed(let outcomes):
                lane.renewAnswered(outcomes[index], at: now, rules, &laneEffects)
            case .unbound(let wereThere):
                lane.unbindAnswered(wasThere: wereThere[index], at: now, rules)
            case .found(let routes):
                lane.findAnswered(routes[index], node: node, at: now, rules, &laneEffects)
            case .sharesTold, nil: lane.callFailed(at: now, rules)
            }
        }
    }

    private mutating func count(_ answer: Answer?, _ index: Int) {
        switch answer {
        case .bound(let outcomes):
            switch outcomes[index] {
            case .bound(_, _, let evicted):
                counts.binds += 1
                counts.evicted += UInt64(evicted.count)
            case .refused: counts.bindsRefused += 1
            case .full: counts.bindsFull += 1
            case .unusable: counts.callsFailed += 1
            }
        case .renewed(let outcomes):
            switch outcomes[index] {
            case .renewed: counts.renewals += 1
            case .refused: counts.renewalsRefused += 1
            case .unusable: counts.callsFailed += 1
            }
        case .unbound: counts.unbinds += 1
        case .found, .sharesTold, nil: break
        }
    }

    /// Lets an event change a lane, then performs what it says and queues what it wants.
    private mutating func change(
        _ seat: Int,
        at now: Moment,
        _ effects: inout [Effect],
        _ event: (inout KeyLane, inout [KeyLane.Effect]) -> Void
    ) {
        guard let name = seats.name(of: seat) else { return }
        var moving = seats.lane(seat)
        event(&moving.lane, &laneEffects)
        var evicted: [Route] = []
        for effect in laneEffects {
            switch effect {
            case .announce(let socket): effects.append(.announce(socket))
            case .close(let socket, let code):
                if code == .routeUnavailable { counts.claimsExpired += 1 }
                effects.append(.close(socket, code))
            case .tell(let session):
                effects.append(
                    .tell(session.node, CloseOrder(name: name, session: session, code: .replaced))
                )
            case .evict(let route): evicted.append(route)
            }
        }
        laneEffects.removeAll(keepingCapacity: true)
        seats.put(moving, in: seat, at: now)
        queueIfWanting(seat, at: now)
        for route in evicted { evict(route, at: now, &effects) }
    }

    /// A session lost its mapping because its user has too many: here, or on the node that has it.
    private mutating func evict(_ route: Route, at now: Moment, _ effects: inout [Effect]) {
        let session = route.session
        guard session.node == settings.node else {
            let order = CloseOrder(name: route.name, session: session, code: .tooManyConnections)
            return effects.append(.tell(session.node, order))
        }
        guard incarnations.contains(session.incarnation), let seat = seats.seat(of: route.name) else {
            return
        }
        let rules = settings.rules
        change(seat, at: now, &effects) { lane, laneEffects in
            lane.evicted(counter: session.counter, at: now, rules, &laneEffects)
        }
    }

    private mutating func queueIfWanting(_ seat: Int, at now: Moment) {
        guard var moving = seats.moving[seat], moving.queue != .urgent,
            let call = moving.lane.nextCall(at: now, incarnation: lease?.incarnation)
        else { return }
        let isRenewal = if case .renew = call { true } else { false }
        guard !isRenewal || moving.queue == nil else { return }
        // A bind goes past its key's place among the renewals, where nothing is left to do then.
        moving.queue = isRenewal ? .renewals : .urgent
        seats.put(moving, in: seat, at: now)
        if isRenewal { renewals.append(seat) } else { urgent.append(seat) }
    }

    /// The walk passes a seat: its session is renewed, or carried over to the new incarnation.
    private mutating func renew(_ seat: Int, at now: Moment) {
        guard seats.name(of: seat) != nil else { return }
        var moving = seats.lane(seat)
        moving.lane.renewalDue()
        seats.put(moving, in: seat, at: now)
        queueIfWanting(seat, at: now)
    }

    /// Takes lanes from a queue, and makes at most one call of each kind of what they want.
    private mutating func takeLanes(
        thatRenew: Bool,
        at now: Moment,
        _ lease: Lease,
        _ calls: inout [Call]
    ) {
        var batch = CallBatch(node: settings.node, lease: lease, ttl: settings.rules.routeTTL)
        while batch.largest < settings.callEntriesMax,
            let seat = thatRenew ? renewals.popFirst() : urgent.popFirst()
        {
            guard let name = seats.name(of: seat) else { continue }
            var moving = seats.lane(seat)
            moving.queue = nil
            if let call = moving.lane.nextCall(at: now, incarnation: lease.incarnation) {
                moving.lane.begin(call)
                let age = moving.lane.claim.map { now.since($0.since) } ?? .zero
                let reason = moving.lane.residue?.reason ?? .closed
                batch.add(call, name, seat, age: age, reason: reason)
            }
            seats.put(moving, in: seat, at: now)
        }
        for (body, places) in batch.bodies {
            let number = nextNumber()
            underWay[number] = .lanes(places)
            calls.append(Call(number: number, body: body))
        }
    }

    private mutating func nextNumber() -> UInt64 {
        lastCall += 1
        return lastCall
    }

    private mutating func flushRooms(_ effects: inout [Effect]) {
        for effect in roomEffects {
            switch effect {
            case .joined(let socket, let room): effects.append(.joined(socket, room))
            case .refused(let socket, let room): effects.append(.joinRefused(socket, room))
            }
        }
        roomEffects.removeAll(keepingCapacity: true)
    }
}
