/// What became of a push for one target.
///
/// A struct over a hidden enum: levels that come later break no caller's `switch`.
public struct Verdict: Hashable, Sendable, CustomStringConvertible {
    private enum Value: String, Sendable { case routed, offline, unreachable }
    private let value: Value

    /// Handed to the channel of every node that holds the target, and each had its subscriber.
    public static let routed = Self(value: .routed)
    /// Nobody is connected under that name, and nothing was kept.
    public static let offline = Self(value: .offline)
    /// There is a route, but a node it names did not take the message. Trying again may help.
    public static let unreachable = Self(value: .unreachable)

    public var description: String { value.rawValue }
}

/// A target's verdict, and the nodes it rests on.
public struct TargetVerdict: Sendable, Equatable {
    public var target: Target
    public var verdict: Verdict
    /// The nodes that took the message for this target, in the order of the look-up.
    public var nodes: [NodeID]
    /// The nodes that should have and did not. With `nodes` not empty the target was reached in part.
    public var missed: [NodeID]

    public init(target: Target, verdict: Verdict, nodes: [NodeID] = [], missed: [NodeID] = []) {
        self.target = target
        self.verdict = verdict
        self.nodes = nodes
        self.missed = missed
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
