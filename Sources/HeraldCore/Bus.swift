/// Carries envelopes to the channels of nodes, and nodes' replies to those who sent them.
///
/// Order: two messages that one sender published to one address, the second after the first call was made, arrive
/// in that order. Delivery is at most once; what a subscriber missed while it was cut off is not repeated here.
public protocol Bus: Sendable {
    /// Publishes each message to the channel of its address, all in one turn on the wire.
    ///
    /// - Returns: how many subscribers each channel had, in order. Zero is evidence, not proof, that the node is
    ///   gone; more than zero is a hint, not a receipt.
    func publish(_ messages: [BusMessage]) async throws(BusError) -> [Int]

    /// Listens on a channel, through every reconnect, until the task is cancelled.
    ///
    /// - Parameters:
    ///   - address: whose channel.
    ///   - receive: called in order, one call at a time, on a thread of the bus: it may only hand over.
    /// - Throws: `CancellationError`, or what the bus cannot recover from by itself (a wrong password).
    func listen(to address: BusAddress, _ receive: @escaping @Sendable (BusEvent) -> Void) async throws
}

/// Who listens on a channel.
public enum BusAddress: Hashable, Sendable, CustomStringConvertible {
    /// A cloud node: envelopes.
    case node(NodeID)
    /// A process that sends envelopes, by the name that it gives in them: replies.
    case sender(String)

    public var description: String {
        switch self {
        case .node(let node): node.description
        case .sender(let name): name
        }
    }
}

public struct BusMessage: Sendable, Equatable {
    public var address: BusAddress
    public var bytes: [UInt8]

    public init(to address: BusAddress, bytes: [UInt8]) {
        self.address = address
        self.bytes = bytes
    }

    public init(node: NodeID, bytes: [UInt8]) { self.init(to: .node(node), bytes: bytes) }
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
