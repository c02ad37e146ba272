/// Who is where: the routes, the rooms and the nodes' leases (DESIGN.md §3 and §4).
///
/// Every time in an answer is Redis's. Every list comes back in the order of what was asked. One call with many
/// entries is one turn on the wire. An implementation is told apart only by speed: the contract suite runs
/// against each.
public protocol RouteTable: Sendable {
    /// Takes the node's lease for a new incarnation, larger than any before.
    ///
    /// - Throws: `nodeHeld` while another run of the same name holds a live lease (retry after it lapses).
    func register(_ profile: NodeProfile, lease: Duration) async throws(RouteTableError) -> Lease

    /// Extends the lease and tells the node's load.
    ///
    /// - Returns: the extended lease, or nil when it is lost: the lease lapsed and was fenced or taken, or Redis
    ///   forgot it. The node then registers anew.
    func renew(
        _ lease: Lease,
        profile: NodeProfile,
        load: NodeLoad,
        state: NodeState,
        for duration: Duration
    ) async throws(RouteTableError) -> Lease?

    /// Gives the lease back, if it is still this one.
    func leave(_ lease: Lease) async throws(RouteTableError)

    /// Binds new sessions to their keys. The newest accept of a key wins, in whatever order the binds arrive;
    /// accepts of two nodes within a tenth of a second of each other count as equally new, and the later bind wins.
    func bind(_ binds: [Bind], for duration: Duration) async throws(RouteTableError) -> [BindOutcome]

    /// Says again that these mappings hold; writes those that vanished. A mapping that an earlier incarnation of
    /// the same node wrote for the same session and epoch becomes this one's.
    func renew(_ routes: [Route], for duration: Duration) async throws(RouteTableError) -> [RenewOutcome]

    /// Removes exactly these mappings, and tells why they end.
    ///
    /// - Returns: for each, whether it was there. False is no error: a newer session holds the key, or nobody.
    func unbind(_ departures: [Departure]) async throws(RouteTableError) -> [Bool]

    /// Tells how many members of each room this incarnation holds, and what changed in the list of them.
    ///
    /// - Returns: the rooms whose list has not the length that was told: something was lost, begin it anew.
    @discardableResult
    func share(
        _ rooms: [RoomID: RoomTelling],
        of lease: Lease,
        for duration: Duration
    ) async throws(RouteTableError) -> Set<RoomID>

    /// Finds where targets are. Only routes and shares of live incarnations come back; what is dead is pruned.
    func look(up lookup: Lookup) async throws(RouteTableError) -> LookupAnswer

    /// A page of the connections in a room, those of live incarnations.
    ///
    /// - Parameters:
    ///   - room: any room; an unknown one has no members.
    ///   - cursor: the page begins behind this name, whether it is still there or not.
    ///   - limit: at most so many members; at least 1.
    /// - Returns: the page; behind the last one, an empty page.
    /// - Throws: why the table could not answer.
    func members(
        of room: RoomID,
        after cursor: UserKey?,
        limit: Int
    ) async throws(RouteTableError) -> RoomMembers

    /// The rooms with the most members, at most `count`.
    func largestRooms(_ count: Int) async throws(RouteTableError) -> LargestRooms

    /// The nodes whose leases are live, by name.
    func nodes() async throws(RouteTableError) -> [NodeRecord]
}

/// A session that asks for a key.
public struct Bind: Hashable, Sendable {
    public var name: UserKey
    public var session: SessionID
    /// How long ago the session was accepted when the table is called, by the node's monotonic clock. With it a
    /// bind that is tried again competes as what it is: an older accept.
    public var age: Duration

    public init(name: UserKey, session: SessionID, age: Duration = .zero) {
        self.name = name
        self.session = session
        self.age = age
    }
}

public enum BindOutcome: Hashable, Sendable {
    /// The key is this session's now. `replaced` held it until then and shall be closed; so shall `evicted`, other
    /// connections of the user whose mappings went because the user has too many.
    case bound(Route, replaced: SessionID?, evicted: [Route] = [])
    /// Redis holds a newer accept of the key.
    case refused
    /// The user has as many connections as one may have. Nothing was written.
    case full
    /// What stands in the user's place is not Herald's: nothing was written. For the operator; the other entries
    /// of the call are as they would be without this one.
    case unusable
}

public enum RenewOutcome: Hashable, Sendable {
    case renewed(expires: RedisTime)
    /// A newer accept holds the key, or the mapping is gone and the user has as many others as one may have: this
    /// session is a ghost and shall be closed.
    case refused
    /// What stands in the user's place is not Herald's: nothing was written. The session may stay.
    case unusable
}

/// What a look-up asks for, many at a time.
public struct Lookup: Sendable, Equatable {
    public var users: [UserID]
    public var keys: [UserKey]
    public var rooms: [RoomID]
    /// Whether all live nodes are asked for.
    public var everyone: Bool

    public init(users: [UserID] = [], keys: [UserKey] = [], rooms: [RoomID] = [], everyone: Bool = false) {
        self.users = users
        self.keys = keys
        self.rooms = rooms
        self.everyone = everyone
    }
}

/// What it found, in the order of the question. An empty list means: nobody.
public struct LookupAnswer: Sendable, Equatable {
    public var users: [[Route]]
    public var keys: [Route?]
    public var rooms: [[RoomShare]]
    /// All live nodes by name when `everyone` was asked, else empty.
    public var nodes: [NodeID]

    public init(
        users: [[Route]] = [],
        keys: [Route?] = [],
        rooms: [[RoomShare]] = [],
        nodes: [NodeID] = []
    ) {
        self.users = users
        self.keys = keys
        self.rooms = rooms
        self.nodes = nodes
    }
}

/// Why the table could not answer. Nothing is known of what it did then, so every call may be repeated.
public enum RouteTableError: Error, Equatable, CustomStringConvertible {
    /// The table is out of reach or too slow; try again after a moment.
    case unavailable(String)
    /// Another run of this node's name holds the lease for so many more milliseconds.
    case nodeHeld(by: Incarnation, url: String, millisecondsLeft: UInt64)
    /// The table holds something that is not ours, or refused a command: for the operator.
    case corrupt(String)

    public var description: String {
        switch self {
        case .unavailable(let reason): "the route table is out of reach: \(reason)"
        case .nodeHeld(let incarnation, let url, let left):
            "the node id is held by incarnation \(incarnation) at \(url), whose lease has \(left) ms left"
        case .corrupt(let reason): "the route table answered what it should not: \(reason)"
        }
    }
}
