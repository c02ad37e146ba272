public import HeraldCore
import Synchronization

/// The route table in memory, with Redis's clock moved by hand.
///
/// It answers as Redis's does, so that the contract suite runs against both and the tests of everything above
/// need no Redis. On top it can be told to fail, to forget and to keep a look-up waiting, and it remembers what
/// it was asked.
public final class MemoryRouteTable: RouteTable {
    /// What a look-up passes before it answers. Open from the start.
    public let lookupGate = Gate()

    private let state: Mutex<State>

    fileprivate struct State {
        var now: RedisTime
        var rules: PresenceRules
        var isUnavailable = false
        var lookups: [Lookup] = []
        var incarnation: UInt64 = 0
        var nodes: [NodeID: NodeRecord] = [:]
        var users: [UserID: [ConnectionKey: Route]] = [:]
        var rooms: [RoomID: [ShareName: Share]] = [:]
    }

    fileprivate struct ShareName: Hashable {
        var node: NodeID
        var incarnation: Incarnation
    }

    fileprivate struct Share {
        var members: Int
        var expires: RedisTime
        var names: Set<UserKey> = []
    }

    /// Of the rules only the limit of connections counts here: events are not written.
    public init(
        now: RedisTime = RedisTime(milliseconds: 1_700_000_000_000),
        rules: PresenceRules = .standard
    ) {
        state = Mutex(State(now: now, rules: rules))
    }

    /// Redis's clock.
    public var now: RedisTime { state.withLock { $0.now } }

    /// Moves Redis's clock. Backwards too, as after a failover to a host whose clock is behind.
    public func advance(by duration: Duration) {
        state.withLock { state in
            let milliseconds = Int64(state.now.milliseconds) + duration.wholeMilliseconds
            state.now = RedisTime(milliseconds: UInt64(max(0, milliseconds)))
        }
    }

    /// While true, every call throws `unavailable`.
    public var isUnavailable: Bool {
        get { state.withLock { $0.isUnavailable } }
        set { state.withLock { $0.isUnavailable = newValue } }
    }

    /// Loses all data, as a Redis without persistence does when it restarts. Its clock goes on.
    public func forget() {
        state.withLock { state in
            state.nodes = [:]
            state.users = [:]
            state.rooms = [:]
        }
    }

    /// Every look-up there was, the failed ones included, in order.
    public var lookups: [Lookup] { state.withLock { $0.lookups } }

    // MARK: The table

    public func register(
        _ profile: NodeProfile,
        lease duration: Duration
    ) async throws(RouteTableError) -> Lease {
        try reach { (state) throws(RouteTableError) in
            if let held = state.nodes[profile.id], held.lease.deadline > state.now {
                throw RouteTableError.nodeHeld(
                    by: held.lease.incarnation,
                    url: held.profile.url,
                    millisecondsLeft: held.lease.deadline.milliseconds - state.now.milliseconds
                )
            }
            state.incarnation += 1
            let lease = Lease(
                node: profile.id,
                incarnation: Incarnation(state.incarnation),
                deadline: state.now + duration
            )
            state.nodes[profile.id] = NodeRecord(profile: profile, lease: lease, started: state.now)
            return lease
        }
    }

    public func renew(
        _ lease: Lease,
        profile: NodeProfile,
        load: NodeLoad,
        state nodeState: NodeState,
        for duration: Duration
    ) async throws(RouteTableError) -> Lease? {
        try reach { (state) throws(RouteTableError) in
            guard var record = state.live(lease.node), record.lease.incarnation == lease.incarnation else {
                return nil
            }
            record.profile = profile
            record.load = load
            record.state = nodeState
            record.lease.deadline = state.now + duration
            state.nodes[lease.node] = record
            return record.lease
        }
    }

    public func leave(_ lease: Lease) async throws(RouteTableError) {
        try reach { (state) throws(RouteTableError) in
            if state.nodes[lease.node]?.lease.incarnation == lease.incarnation {
                state.nodes[lease.node] = nil
            }
        }
    }

    public func bind(
        _ binds: [Bind],
        for duration: Duration
    ) async throws(RouteTableError) -> [BindOutcome] {
        try reach { (state) throws(RouteTableError) in
            binds.map { state.bind($0, for: duration) }
        }
    }

    public func renew(
        _ routes: [Route],
        for duration: Duration
    ) async throws(RouteTableError) -> [RenewOutcome] {
        try reach { (state) throws(RouteTableError) in
            routes.map { state.renew($0, for: duration) }
        }
    }

    public func unbind(_ departures: [Departure]) async throws(RouteTableError) -> [Bool] {
        try reach { (state) throws(RouteTableError) in
            departures.map { state.unbind($0.route) }
        }
    }

    @discardableResult
    public func share(
        _ rooms: [RoomID: RoomTelling],
        of lease: Lease,
        for duration: Duration
    ) async throws(RouteTableError) -> Set<RoomID> {
        try reach { (state) throws(RouteTableError) in
            let name = ShareName(node: lease.node, incarnation: lease.incarnation)
            return Set(rooms.filter { !state.tell($0.key, $0.value, name, for: duration) }.keys)
        }
    }

    public func members(
        of room: RoomID,
        after cursor: UserKey?,
        limit: Int
    ) async throws(RouteTableError) -> RoomMembers {
        try reach { (state) throws(RouteTableError) in
            let shares = state.shares(of: room)
            let asked = RoomListPart.asked(nodes: shares.count, limit: limit)
            let lists = shares.map { state.names(in: room, of: $0) }
            let parts = zip(shares, lists).map { share, names in
                let rest = names.filter { name in
                    cursor.map { RoomMembers.precedes($0, name) } ?? true
                }
                return RoomListPart(node: share.node, names: Array(rest.prefix(asked + 1)), asked: asked)
            }
            let total = shares.reduce(0) { $0 + $1.members }
            return RoomMembers(merging: parts, limit: limit, total: total, listed: lists.joined().count)
        }
    }

    public func largestRooms(_ count: Int) async throws(RouteTableError) -> LargestRooms {
        try reach { (state) throws(RouteTableError) in
            let rooms = Array(state.rooms.keys)
            let shares = rooms.map { state.shares(of: $0) }
            let parts = zip(rooms, shares).map { room, shares in
                [(room: room, members: shares.reduce(0) { $0 + $1.members })]
            }
            let ranking = RoomRanking(parts: parts, asked: 2, max: rooms.count)
            return ranking.largest(ranking.candidates.map { state.shares(of: $0) }, count: count)
        }
    }

    public func look(up lookup: Lookup) async throws(RouteTableError) -> LookupAnswer {
        state.withLock { $0.lookups.append(lookup) }
        await lookupGate.pass()
        return try find(lookup)
    }

    /// The same without a gate, at once.
    public func find(_ lookup: Lookup) throws(RouteTableError) -> LookupAnswer {
        try reach { (state) throws(RouteTableError) in
            LookupAnswer(
                users: lookup.users.map { state.routes(of: $0) },
                keys: lookup.keys.map { state.route(of: $0) },
                rooms: lookup.rooms.map { state.shares(of: $0) },
                nodes: lookup.everyone ? state.liveRecords().map(\.profile.id) : []
            )
        }
    }

    public func nodes() async throws(RouteTableError) -> [NodeRecord] {
        try reach { (state) throws(RouteTableError) in state.liveRecords() }
    }

    private func reach<Answer: Sendable>(
        _ body: (inout State) throws(RouteTableError) -> Answer
    ) throws(RouteTableError) -> Answer {
        let result = state.withLock { state -> Result<Answer, RouteTableError> in
            guard !state.isUnavailable else { return .failure(.unavailable("switched off by the test")) }
            do throws(RouteTableError) { return .success(try body(&state)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}

// MARK: What Redis's scripts decide

extension MemoryRouteTable.State {
    fileprivate mutating func bind(_ bind: Bind, for duration: Duration) -> BindOutcome {
        let age = UInt64(max(0, bind.age.wholeMilliseconds))
        let accepted = RedisTime(milliseconds: now.milliseconds - min(age, now.milliseconds))
        let now = now
        var evicted: [Route] = []
        if KeyRecord(users[bind.name.user]?[bind.name.key]).held(at: now) == nil {
            let crowd = crowd(around: bind.name)
            if !crowd.isEmpty, rules.whenFull == .refuseNewest { return .full }
            evicted = Array(crowd.prefix(max(0, crowd.count - rules.connectionsPerUserMax + 1)))
        }
        for route in evicted { remove(route.name) }
        let outcome = decide(bind.name) {
            $0.bind(bind, accepted: accepted...accepted, for: duration, at: now)
        }
        guard case .bound(let route, let replaced, _) = outcome else { return outcome }
        return .bound(route, replaced: replaced, evicted: evicted)
    }

    /// The mappings of a user's other keys, oldest first, when they are as many as one may have: then those of dead
    /// nodes go before they are counted.
    private mutating func crowd(around name: UserKey) -> [Route] {
        guard rules.connectionsPerUserMax > 0 else { return [] }
        let valid = (users[name.user] ?? [:]).values.filter { $0.expires > now && $0.name != name }
        guard valid.count >= rules.connectionsPerUserMax else { return [] }
        for route in valid where !isValid(route) { remove(route.name) }
        let live = valid.filter { isValid($0) }
        guard live.count >= rules.connectionsPerUserMax else { return [] }
        return live.sorted {
            ($0.epoch, $0.name.key.description) < ($1.epoch, $1.name.key.description)
        }
    }

    fileprivate mutating func renew(_ route: Route, for duration: Duration) -> RenewOutcome {
        let now = now
        let isHeld = KeyRecord(users[route.name.user]?[route.name.key]).held(at: now) != nil
        if !isHeld, !crowd(around: route.name).isEmpty { return .refused }
        return decide(route.name) { $0.renew(route, for: duration, at: now) }
    }

    fileprivate mutating func unbind(_ route: Route) -> Bool {
        let now = now
        return decide(route.name) { $0.unbind(route, at: now) }
    }

    private mutating func decide<Answer>(
        _ name: UserKey,
        _ script: (inout KeyRecord) -> Answer
    ) -> Answer {
        var record = KeyRecord(users[name.user]?[name.key])
        let answer = script(&record)
        if let route = record.stored {
            users[name.user, default: [:]][name.key] = route
        } else {
            remove(name)
        }
        return answer
    }

    fileprivate mutating func remove(_ name: UserKey) {
        users[name.user]?[name.key] = nil
        if users[name.user]?.isEmpty == true { users[name.user] = nil }
    }

    fileprivate mutating func route(of name: UserKey) -> Route? {
        guard let route = users[name.user]?[name.key] else { return nil }
        guard isValid(route) else {
            remove(name)
            return nil
        }
        return route
    }

    /// What is valid of a user, by key. Drops what is not.
    fileprivate mutating func routes(of user: UserID) -> [Route] {
        guard let stored = users[user] else { return [] }
        for route in stored.values where !isValid(route) { remove(route.name) }
        return (users[user] ?? [:]).values.sorted { $0.name.key.description < $1.name.key.description }
    }

    /// What is valid of a room, by node. Drops what is not.
    fileprivate mutating func shares(of room: RoomID) -> [RoomShare] {
        guard let stored = rooms[room] else { return [] }
        let valid = stored.filter { name, share in
            share.expires > now && isLive(name.node, name.incarnation)
        }
        rooms[room] = valid.isEmpty ? nil : valid
        return valid.map { name, share in
            RoomShare(node: name.node, incarnation: name.incarnation, members: share.members)
        }.sorted { $0.node < $1.node }
    }

    /// - Returns: whether the list has the length that was told.
    fileprivate mutating func tell(
        _ room: RoomID,
        _ telling: RoomTelling,
        _ name: MemoryRouteTable.ShareName,
        for duration: Duration
    ) -> Bool {
        guard telling.members > 0 else {
            rooms[room]?[name] = nil
            return true
        }
        var names = rooms[room]?[name]?.names ?? []
        if telling.isAnew { names = [] }
        names.formUnion(telling.joined)
        names.subtract(telling.left)
        let share = MemoryRouteTable.Share(members: telling.members, expires: now + duration, names: names)
        rooms[room, default: [:]][name] = share
        return telling.listed.map { $0 == names.count } ?? true
    }

    /// In the order of their bytes.
    fileprivate func names(in room: RoomID, of share: RoomShare) -> [UserKey] {
        let name = MemoryRouteTable.ShareName(node: share.node, incarnation: share.incarnation)
        return (rooms[room]?[name]?.names ?? []).sorted(by: RoomMembers.precedes)
    }

    fileprivate func liveRecords() -> [NodeRecord] {
        nodes.values.filter { $0.lease.deadline > now }.sorted { $0.profile.id < $1.profile.id }
    }

    fileprivate func live(_ node: NodeID) -> NodeRecord? {
        guard let record = nodes[node], record.lease.deadline > now else { return nil }
        return record
    }

    private func isValid(_ route: Route) -> Bool {
        route.expires > now && isLive(route.session.node, route.session.incarnation)
    }

    private func isLive(_ node: NodeID, _ incarnation: Incarnation) -> Bool {
        live(node)?.lease.incarnation == incarnation
    }
}
