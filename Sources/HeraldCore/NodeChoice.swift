// Which node a new client should go to.
//
// Loads are as old as the last renewal of a lease, up to 3 s, so in a storm "the emptiest node" would send everybody
// to the same one. As goim does, nodes are drawn at random instead, each as likely as it is free:
//
//     free = weight × (connections per weight on average × 1.25 + 100) − connections, at least a twentieth of the first
//
// A node that is behind its share is drawn more often until it has caught up, one that is ahead seldom, and never
// a node that is full or draining. 1.25 makes a node that is a quarter above its share all but closed; the 100
// keeps small numbers from deciding anything while everything is nearly empty.

/// Where a client should connect, best first, and how long to wait before it asks again.
public struct NodeAdvice: Hashable, Sendable {
    public var nodes: [NodeProfile]
    /// Whether a region was asked for and the first node is of another one.
    public var isFallback: Bool
    /// When to ask again if none of the nodes takes the client: drawn from a window that grows with the load.
    public var retryAfter: Duration

    public init(nodes: [NodeProfile], isFallback: Bool, retryAfter: Duration) {
        self.nodes = nodes
        self.isFallback = isFallback
        self.retryAfter = retryAfter
    }
}

/// Why there is no node to go to, and when to ask again.
public struct NoNode: Error, Hashable, Sendable {
    public enum Reason: Hashable, Sendable {
        /// No node's lease is live.
        case noneLive
        /// Those that live are about to stop.
        case allDraining
        /// Those that take clients have as many as they may.
        case allFull
    }

    public var reason: Reason
    public var retryAfter: Duration

    public init(reason: Reason, retryAfter: Duration) {
        self.reason = reason
        self.retryAfter = retryAfter
    }
}

/// The weighted choice of a node.
public enum NodeChoice {
    /// The least and the greatest window of the back-off.
    static let windows = (least: 1.0, greatest: 30.0)

    /// Draws nodes for a client.
    ///
    /// - Parameters:
    ///   - records: the nodes whose leases are live.
    ///   - region: where the client is; nodes of it come first, others only fill up what it lacks.
    ///   - count: how many nodes to name; at least 1.
    ///   - dice: what the draw is made with.
    /// - Returns: at least one node; fewer than `count` when there are not so many.
    /// - Throws: `NoNode` when no node takes clients.
    public static func choose(
        from records: [NodeRecord],
        region: String?,
        count: Int,
        using dice: inout some RandomNumberGenerator
    ) throws(NoNode) -> NodeAdvice {
        let open = records.filter { $0.state == .live }
        let draws = open.filter { !$0.isFull }
        guard !draws.isEmpty else {
            let reason: NoNode.Reason = records.isEmpty ? .noneLive : open.isEmpty ? .allDraining : .allFull
            throw NoNode(reason: reason, retryAfter: wait(pressure: 0.3, using: &dice))
        }
        let near = draws.filter { region == nil || $0.profile.region == region }
        let far = draws.filter { region != nil && $0.profile.region != region }
        var nodes = draw(count, from: near, using: &dice)
        nodes += draw(count - nodes.count, from: far, using: &dice)
        return NodeAdvice(
            nodes: nodes,
            isFallback: near.isEmpty,
            retryAfter: wait(pressure: pressure(records), using: &dice)
        )
    }

    /// How free each node is beside the others.
    static func free(_ records: [NodeRecord]) -> [Double] {
        let connections = records.reduce(0) { $0 + $1.load.connections }
        let weights = records.reduce(0) { $0 + max(1, $1.profile.weight) }
        let level = Double(connections) / Double(max(1, weights)) * 1.25 + 100
        return records.map { record in
            let share = Double(max(1, record.profile.weight)) * level
            let free = max(share / 20, share - Double(record.load.connections))
            guard record.profile.capacity > 0 else { return free }
            return min(free, Double(record.profile.capacity - record.load.connections))
        }
    }

    /// Draws without putting back.
    private static func draw(
        _ count: Int,
        from records: [NodeRecord],
        using dice: inout some RandomNumberGenerator
    ) -> [NodeProfile] {
        var left = Array(zip(records, free(records)))
        var drawn: [NodeProfile] = []
        while drawn.count < count, let last = left.indices.last {
            let sum = left.reduce(0) { $0 + $1.1 }
            var point = Double.random(in: 0..<max(sum, .leastNormalMagnitude), using: &dice)
            let index = left.firstIndex { entry in
                point -= entry.1
                return point < 0
            }
            drawn.append(left.remove(at: index ?? last).0.profile)
        }
        return drawn
    }

    /// From 0 to 1: how much the nodes that are left will have to bear. That is the part of all connections whose
    /// nodes are draining, for those come back at once; and how full the others are beyond one half.
    static func pressure(_ records: [NodeRecord]) -> Double {
        let all = records.reduce(0) { $0 + $1.load.connections }
        let leaving = records.reduce(0) { $0 + ($1.state == .draining ? $1.load.connections : 0) }
        let bounded = records.filter { $0.state == .live && $0.profile.capacity > 0 }
        let capacity = bounded.reduce(0) { $0 + $1.profile.capacity }
        let held = bounded.reduce(0) { $0 + $1.load.connections }
        let fill = Double(held) / Double(max(1, capacity))
        return min(1, max(Double(leaving) / Double(max(1, all)), 2 * fill - 1, 0))
    }

    /// The later half of the window: a client that waits next to nothing is no back-off.
    private static func wait(pressure: Double, using dice: inout some RandomNumberGenerator) -> Duration {
        let window = windows.least + (windows.greatest - windows.least) * pressure
        return .milliseconds(Int64(Double.random(in: window / 2...window, using: &dice) * 1000))
    }
}

extension NodeRecord {
    fileprivate var isFull: Bool { profile.capacity > 0 && load.connections >= profile.capacity }
}
