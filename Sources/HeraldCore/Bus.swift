/// Carries envelopes from who sends them to the channel of one node each.
///
/// Order: two messages that one sender published to one node, the second after the first call was made, arrive
/// in that order. Delivery is at most once; what a subscriber missed while it was cut off is not repeated here.
public protocol Bus: Sendable {
    /// Publishes one message to the channel of each node named, all in one turn on the wire.
    ///
    /// - Returns: how many subscribers each channel had, in order. Zero is evidence, not proof, that the node is
    ///   gone; more than zero is a hint, not a receipt.
    func publish(_ messages: [BusMessage]) async throws(BusError) -> [Int]

    /// Listens on a node's channel, through every reconnect, until the task is cancelled.
    ///
    /// - Parameters:
    ///   - node: whose channel.
    ///   - receive: called in order, one call at a time, on a thread of the bus: it may only hand over.
    /// - Throws: `CancellationError`, or what the bus cannot recover from by itself (a wrong password).
    func listen(to node: NodeID, _ receive: @escaping @Sendable (BusEvent) -> Void) async throws
}

public struct BusMessage: Sendable, Equatable {
    public var node: NodeID
    public var bytes: [UInt8]

    public init(node: NodeID, bytes: [UInt8]) {
        self.node = node
        self.bytes = bytes
    }
}

public enum BusEvent: Sendable, Equatable {
    /// Messages that are published from now on arrive.
    case subscribed
    /// All that one read brought, oldest first.
    case messages([[UInt8]])
    /// Messages may be missing from now on until the next `subscribed`.
    case lost(String)
}

/// The bus is out of reach or too slow. What was published may or may not have gone out.
public struct BusError: Error, Equatable, CustomStringConvertible {
    public let reason: String

    public init(_ reason: String) { self.reason = reason }

    public var description: String { "the bus is out of reach: \(reason)" }
}
