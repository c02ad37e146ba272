/// What became of a push for one target.
///
/// A struct over a hidden enum: levels that come later break no caller's `switch`.
public struct Verdict: Hashable, Sendable, CustomStringConvertible {
    private enum Value: String, Sendable {
        case routed, written, acked, stored, offline, unreachable, dropped
    }
    private let value: Value

    /// Handed to the channel of every node that holds the target, and each had its subscriber.
    public static let routed = Self(value: .routed)
    /// At least one connection's socket took every byte. Told where the push asked for it.
    public static let written = Self(value: .written)
    /// At least one client said that it has it. Told where the push asked for it.
    public static let acked = Self(value: .acked)
    /// Nobody could be told now, and the message is kept: whoever follows the inbox is shown it.
    public static let stored = Self(value: .stored)
    /// Nobody is connected under that name, and nothing was kept.
    public static let offline = Self(value: .offline)
    /// There is a route, but a node it names did not take the message, or did not say in time what became of it.
    /// Trying again may help; the client may have it all the same, and drops repeats by the push's id.
    public static let unreachable = Self(value: .unreachable)
    /// The connections are there, and none is shown it: they read too slowly, or a newer push with the same collapse
    /// key took its place before it was sent.
    public static let dropped = Self(value: .dropped)

    public var description: String { value.rawValue }

    /// Reads what `description` says; nil for anything else.
    public init?(_ text: String) {
        guard let value = Value(rawValue: text) else { return nil }
        self.init(value: value)
    }

    private init(value: Value) { self.value = value }
}

/// A target's verdict, and the nodes it rests on.
public struct TargetVerdict: Sendable, Equatable {
    public var target: Target
    public var verdict: Verdict
    /// The nodes that took the message for this target, in the order of the look-up.
    public var nodes: [NodeID]
    /// The nodes that should have and did not. With `nodes` not empty the target was reached in part.
    public var missed: [NodeID]
    /// How many connections it came to; nil for a push that is only `routed`.
    public var reach: Reach?
    /// Where the message stands in the target's inbox; nil: it is not kept.
    public var position: InboxPosition?
    /// Where the verdict is not what the push asked for: why, for a person.
    public var reason: String?

    public init(
        target: Target,
        verdict: Verdict,
        nodes: [NodeID] = [],
        missed: [NodeID] = [],
        reach: Reach? = nil,
        position: InboxPosition? = nil,
        reason: String? = nil
    ) {
        self.target = target
        self.verdict = verdict
        self.nodes = nodes
        self.missed = missed
        self.reach = reach
        self.position = position
        self.reason = reason
    }
}

/// How many connections a push came to. Of one target on one node, or of all nodes together.
public struct Reach: Hashable, Sendable {
    /// That were there, the excluded ones left out.
    public var connections: Int
    /// Whose sockets took every byte.
    public var written: Int
    /// Whose clients said that they have it.
    public var acked: Int
    /// That will not be shown it: their queues had no room for it, or it was replaced there.
    public var dropped: Int
    /// Of the dropped: where a newer push with the same collapse key took its place.
    public var collapsed: Int

    public init(
        connections: Int = 0,
        written: Int = 0,
        acked: Int = 0,
        dropped: Int = 0,
        collapsed: Int = 0
    ) {
        self.connections = connections
        self.written = written
        self.acked = acked
        self.dropped = dropped
        self.collapsed = collapsed
    }

    public static func + (left: Self, right: Self) -> Self {
        Self(
            connections: left.connections + right.connections,
            written: left.written + right.written,
            acked: left.acked + right.acked,
            dropped: left.dropped + right.dropped,
            collapsed: left.collapsed + right.collapsed
        )
    }
}

/// The answer to a push: one verdict for each target, in the order of the targets.
public struct PushAnswer: Sendable, Equatable {
    public var id: PushID
    public var verdicts: [TargetVerdict]

    public init(id: PushID, verdicts: [TargetVerdict]) {
        self.id = id
        self.verdicts = verdicts
    }
}
