public import HeraldCore

/// The names of everything that Herald keeps in Redis (DESIGN.md §3).
///
/// Braces are Cluster hash tags: what one script touches lies in one slot.
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
    /// The channel of a node, `herald:to:{cloud-1}`, or of a process that awaits replies, `herald:reply:{logic-1}`.
    public func channel(to address: BusAddress) -> String {
        switch address {
        case .node(let node): "\(prefix)to:{\(node)}"
        case .sender(let name): "\(prefix)reply:{\(name)}"
        }
    }
}
