/// What a node says of itself, apart from its load.
public struct NodeProfile: Hashable, Sendable {
    public var id: NodeID
    /// Where clients reach it, such as `ws://127.0.0.1:9001/ws`.
    public var url: String
    public var region: String
    /// Its share of new clients beside other nodes; at least 1.
    public var weight: Int
    /// How many connections it takes; 0 when that is not known.
    public var capacity: Int
    public var version: String

    public init(
        id: NodeID,
        url: String,
        region: String = "",
        weight: Int = 1,
        capacity: Int = 0,
        version: String = ""
    ) {
        self.id = id
        self.url = url
        self.region = region
        self.weight = weight
        self.capacity = capacity
        self.version = version
    }
}

/// How much a node holds just now.
public struct NodeLoad: Hashable, Sendable {
    public var connections: Int
    public var users: Int
    public var rooms: Int

    public init(connections: Int = 0, users: Int = 0, rooms: Int = 0) {
        self.connections = connections
        self.users = users
        self.rooms = rooms
    }
}

/// Whether a node takes new clients.
public enum NodeState: String, Hashable, Sendable {
    case live, draining
}

/// A node's right to hold routes: until `deadline`, for one incarnation.
public struct Lease: Hashable, Sendable {
    public var node: NodeID
    public var incarnation: Incarnation
    public var deadline: RedisTime

    public init(node: NodeID, incarnation: Incarnation, deadline: RedisTime) {
        self.node = node
        self.incarnation = incarnation
        self.deadline = deadline
    }
}

/// All that Redis knows of a node whose lease is live.
public struct NodeRecord: Hashable, Sendable {
    public var profile: NodeProfile
    public var load: NodeLoad
    public var state: NodeState
    public var lease: Lease
    public var started: RedisTime

    public init(
        profile: NodeProfile,
        load: NodeLoad = NodeLoad(),
        state: NodeState = .live,
        lease: Lease,
        started: RedisTime
    ) {
        self.profile = profile
        self.load = load
        self.state = state
        self.lease = lease
        self.started = started
    }
}

/// The leases that are live, as last read: the judge of every route and room share that a look-up finds.
public struct LiveNodes: Sendable, Equatable {
    private var leases: [NodeID: Lease] = [:]

    public init(_ leases: some Sequence<Lease> = []) {
        for lease in leases { self.leases[lease.node] = lease }
    }

    public enum Judgement: Sendable { case live, dead, unknown }

    /// Judges a claim of a node's incarnation at a moment of Redis's clock.
    ///
    /// - Returns: `unknown` where the table is too old to say (no such node, a later incarnation than it knows,
    ///   or a lease that is over here and may have been renewed since): read the leases again and ask once more.
    public func judge(_ node: NodeID, _ incarnation: Incarnation, at now: RedisTime) -> Judgement {
        guard let lease = leases[node] else { return .unknown }
        if incarnation < lease.incarnation { return .dead }
        if incarnation > lease.incarnation || lease.deadline <= now { return .unknown }
        return .live
    }

    /// The nodes whose lease is live at a moment, by name.
    public func all(at now: RedisTime) -> [Lease] {
        leases.values.filter { $0.deadline > now }.sorted { $0.node < $1.node }
    }
}
