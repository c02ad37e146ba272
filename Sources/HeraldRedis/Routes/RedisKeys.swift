public import HeraldCore

/// The names of everything that Herald keeps in Redis (DESIGN.md §3).
///
/// Braces are Cluster hash tags: what one script touches lies in one slot. There is one exception. With presence
/// events a script touches the user's hash and what belongs to the user's partition, so that an event is written in
/// the step that makes it true. On one Redis that needs nothing. In a Cluster the partition would have to be the tag
/// of both, as in `herald:user:{3}:alice`: sixteen slots for all users.
public struct RedisKeys: Hashable, Sendable {
    /// Goes before every name, so that two systems can share a Redis.
    public let prefix: String

    public init(prefix: String = "herald:") { self.prefix = prefix }

    /// A zset: node → lease deadline. Says which nodes to look at, not which are live.
    public var nodes: String { prefix + "nodes" }
    /// A hash: the node's lease and what it says of itself.
    public func node(_ node: NodeID) -> String { "\(prefix)node:{\(node)}" }
    /// A hash: key → `cloud-1#7.42 EPOCH EXPIRES`.
    public func user(_ user: UserID) -> String { "\(prefix)user:{\(user)}" }
    /// A zset: `cloud-1#7` → when its share ends.
    public func room(_ room: RoomID) -> String { "\(prefix)room:{\(room)}" }
    /// A hash: `cloud-1#7` → members.
    public func roomMembers(_ room: RoomID) -> String { "\(prefix)room:{\(room)}:members" }
    /// A zset: `alice/phone` → 0, the members of the room that one incarnation holds.
    public func roomList(_ room: RoomID, of node: NodeID, _ incarnation: Incarnation) -> String {
        "\(prefix)room:{\(room)}:list:\(node)#\(incarnation)"
    }
    /// A zset: room → members, the rooms of one incarnation.
    public func roomSizes(of lease: Lease) -> String {
        "\(prefix)node:{\(lease.node)}:rooms:\(lease.incarnation)"
    }
    func roomList(_ room: RoomID, of lease: Lease) -> String {
        roomList(room, of: lease.node, lease.incarnation)
    }
    /// `cloud-1#7`.
    static func incarnation(of lease: Lease) -> String { "\(lease.node)#\(lease.incarnation)" }
    /// A stream: the node's last envelopes, for a listener that missed some.
    public func hop(of node: NodeID) -> String { "\(prefix)hop:{\(node)}" }
    /// The number of the newest envelope that was published to the node.
    public func hopNumber(of node: NodeID) -> String { "\(prefix)hop:{\(node)}:number" }
    /// A stream: the presence events of one partition.
    public func events(_ partition: Int) -> String { "\(prefix)events:{\(partition)}" }
    /// A zset: `alice/phone` → when its departure is told.
    public func held(_ partition: Int) -> String { "\(prefix)held:{\(partition)}" }
    /// What the indexes of a partition are named after: `herald:on:{3}:cloud-1#7` is a set of `alice/phone`, all that
    /// have a mapping of that incarnation.
    public func indexes(_ partition: Int) -> String { "\(prefix)on:{\(partition)}:" }
    /// A zset: `cloud-1#7` → lease deadline, of each incarnation that may still have an index.
    public var incarnations: String { prefix + "incarnations" }
    /// A string: the process that reaps.
    public var reaper: String { prefix + "reaper" }
    /// A string: the process that reads the events for a group.
    public func reader(of group: String) -> String { "\(prefix)events:hold:\(group)" }
    /// What the hashes of the users are named after.
    var users: String { prefix + "user:" }
    /// What a script needs that writes the events of a partition, behind its first key.
    func presence(_ partition: Int) -> [String] {
        [events(partition), held(partition), indexes(partition)]
    }
    /// A hash: the request that an idempotency key stands for, and its answer.
    public func once(_ key: IdempotencyKey) -> String { "\(prefix)once:{\(key)}" }
    /// The channel of a node, `herald:to:{cloud-1}`, or of a process that awaits replies, `herald:reply:{logic-1}`.
    public func channel(to address: BusAddress) -> String {
        switch address {
        case .node(let node): "\(prefix)to:{\(node)}"
        case .sender(let name): "\(prefix)reply:{\(name)}"
        }
    }
}
