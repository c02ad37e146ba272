import HeraldCore

/// Why a cloud node does not start, or cannot go on.
public struct CloudNodeError: Error, CustomStringConvertible {
    private enum Kind { case configuration, nodeHeld, routeTable, bus }

    private let kind: Kind
    /// What is wrong and what to do, in a sentence.
    public let description: String
    /// What caused it, if anything did.
    public let cause: (any Error)?

    /// Another run holds the node's name: choose another name, or stop that run.
    public var isNodeHeld: Bool { kind == .nodeHeld }
    /// The configuration makes no sense; the same one fails again.
    public var isConfiguration: Bool { kind == .configuration }

    static func configuration(_ sentence: String) -> Self {
        Self(kind: .configuration, description: sentence, cause: nil)
    }

    static func nodeHeld(by holder: NodeLeaseStateMachine.HeldBy) -> Self {
        let description =
            "the node id is in use: incarnation \(holder.incarnation) at \(holder.url) holds its lease and "
            + "renews it; choose another id or stop that node"
        return Self(kind: .nodeHeld, description: description, cause: holder)
    }

    static func routeTable(_ error: RouteTableError) -> Self {
        Self(kind: .routeTable, description: error.description, cause: error)
    }

    static func bus(_ error: any Error) -> Self {
        Self(kind: .bus, description: "the node's channel cannot be listened to: \(error)", cause: error)
    }
}
