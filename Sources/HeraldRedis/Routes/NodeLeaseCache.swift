import HeraldCore

/// The leases as last read, so that a look-up can judge what it finds without asking for them each time.
///
/// Deadlines are absolute, by Redis's clock, so a cached lease is never believed longer than it lives. What the
/// cache can miss is a node that gave its lease back before the deadline; for that, all of it is read again, in
/// the turn of some look-up, once it is older than `ageMax`.
struct NodeLeaseCache: Sendable {
    /// How long a node that left can still seem live.
    static let ageMax: Duration = .seconds(2)

    private var leases: [NodeID: Lease] = [:]
    private(set) var live = LiveNodes()
    private var refreshedAt: Moment?

    /// The nodes whose leases are due to be read again; the caller does so and tells `learn`. Empty most of the
    /// time: of many look-ups at once, one gets the task.
    mutating func takeDue(now: Moment) -> [NodeID] {
        if let refreshedAt, now < refreshedAt + Self.ageMax { return [] }
        refreshedAt = now
        return Array(leases.keys)
    }

    /// Takes in what was read; nil means that the node has no lease.
    mutating func learn(_ read: [(NodeID, Lease?)]) {
        guard !read.isEmpty else { return }
        for (node, lease) in read {
            // A reply that was overtaken by a newer one must not bring an older run back.
            if let lease, let known = leases[node], known.incarnation > lease.incarnation { continue }
            leases[node] = lease
        }
        live = LiveNodes(leases.values)
    }

    /// The lease of an incarnation as it was last read, over or not.
    func lease(_ node: NodeID, _ incarnation: Incarnation) -> Lease? {
        leases[node].flatMap { $0.incarnation == incarnation ? $0 : nil }
    }

    /// The lease of a node if it is known to be live.
    func liveLease(_ node: NodeID, at now: RedisTime) -> Lease? {
        leases[node].flatMap { $0.deadline > now ? $0 : nil }
    }
}
