/// Why a connection is over, as the backend is told.
public enum DisconnectReason: String, Hashable, Sendable, CaseIterable {
    /// The client closed it, or the network did.
    case closed
    /// The client was silent for too long.
    case timeout
    /// The client read too slowly.
    case slow
    /// The client broke the protocol or a limit.
    case violation
    /// The backend closed it.
    case kicked
    /// The node was stopped.
    case stopping
    /// The user opened more connections than one user may have, and this was the oldest.
    case evicted
    /// The node died, or was out of reach for longer than its lease.
    case nodeLost = "node_lost"
    /// Nobody renewed the mapping in time.
    case lapsed
}

/// A connection that is over, and why.
public struct Departure: Hashable, Sendable {
    public var route: Route
    public var reason: DisconnectReason

    public init(_ route: Route, reason: DisconnectReason) {
        self.route = route
        self.reason = reason
    }
}

/// Something that happened to one connection of a user, told once and in order for that user (LESSONS.md 3).
///
/// Of one key the events alternate: `connected`, any number of `replaced`, `disconnected`. A key that comes back
/// within the grace is not told at all: neither that it went nor that it returned.
///
/// A `connected` whose epoch was told before restates a fact: Redis had lost its data, or the node was thought dead.
public struct PresenceEvent: Hashable, Sendable {
    public enum Kind: Hashable, Sendable {
        case connected
        /// Another connection took the key; the one before is closed.
        case replaced(previous: SessionID)
        case disconnected(DisconnectReason)
    }

    public var id: PresenceEventID
    public var kind: Kind
    public var name: UserKey
    /// The session that has the key since; of `disconnected`, the one that had it last.
    public var session: SessionID
    /// Of that session's accept; zero where Redis does not know it any more.
    public var epoch: Epoch
    /// Connections of the user after this, those within their grace included: 1 after the first `connected`,
    /// 0 when the user is gone.
    public var connections: Int
    public var at: RedisTime

    public init(
        id: PresenceEventID,
        kind: Kind,
        name: UserKey,
        session: SessionID,
        epoch: Epoch,
        connections: Int,
        at: RedisTime
    ) {
        self.id = id
        self.kind = kind
        self.name = name
        self.session = session
        self.epoch = epoch
        self.connections = connections
        self.at = at
    }
}

/// Where an event stands: its partition, and its place in that partition's stream. Written `3-1712345678901-0`.
public struct PresenceEventID: Hashable, Sendable, CustomStringConvertible {
    public let partition: Int
    /// Redis's id of the entry, `1712345678901-0`.
    public let entry: String

    public init(partition: Int, entry: String) {
        self.partition = partition
        self.entry = entry
    }

    public var description: String { "\(partition)-\(entry)" }
}

/// How events are spread over streams: all of one user in one, so that they keep their order.
public enum PresencePartition {
    /// The same for every process, for ever: a user must not change streams.
    public static let count = 16

    /// FNV-1a over the user's bytes, folded, so that neighbours spread.
    public static func of(_ user: UserID) -> Int {
        var hash: UInt32 = 2_166_136_261
        for byte in user.description.utf8 { hash = (hash ^ UInt32(byte)) &* 16_777_619 }
        return Int((hash ^ (hash >> 16)) % UInt32(count))
    }
}

/// What one user may have open, and how soon a departure is told. The same for all nodes of a system: they decide
/// in Redis, about each other's connections.
public struct PresenceRules: Hashable, Sendable {
    /// What happens to a connection beyond the limit.
    public enum WhenFull: String, Hashable, Sendable, CaseIterable {
        case closeOldest = "close_oldest"
        case refuseNewest = "refuse_newest"
    }

    /// Whether events are written.
    public var eventsAreWritten = true
    /// A key that is back within this time was never gone, for the backend.
    public var grace: Duration = .seconds(5)
    /// Events kept, over all partitions: 160,000 of about 200 bytes are 32 MB of Redis. The oldest go first.
    public var eventsKeptMax = 160_000
    /// Connections of one user over all nodes; 0: as many as come.
    public var connectionsPerUserMax = 0
    public var whenFull = WhenFull.closeOldest

    public init() {}
    public static let standard = PresenceRules()
}
