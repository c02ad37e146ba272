// What is promised depends on the address.
//
// A node's messages are kept for a while beside the channel, in its hop. A listener that was cut off, or is starved
// on a connection that looks well, gets from there what it missed, each message once and in order; when the hop
// does not reach back so far it is told `gap`. So between two calls of `receive` nothing is lost unsaid. What an
// asynchronous failover of Redis loses before anybody saw it is the exception: nothing is left that could tell.
//
// A message that was published when nobody listened is in the hop as well, and arrives when the same listener is
// back. So a push that was told `unreachable` can still be delivered later, for as long as the hop reaches back:
// `unreachable` says that nobody took the message in time, not that nobody ever will. When the second try of such a
// push reaches the same node, or the client has moved and the first message finds it by then, the client may get
// the push twice and drops the repeat by its push id. A node that was restarted is another listener and gets
// nothing of its earlier life.
//
// A call whose answer is lost, because it timed out or the link broke, was carried out once or not at all. The bus
// never repeats a message by itself: who calls again publishes again, and the listener gets two messages.
//
// Replies to a sender are kept nowhere: at most once, and a `lost` says when some may be missing.

/// Carries envelopes to the channels of nodes, and nodes' replies to those who sent them.
///
/// Order: two messages that one sender published to one address, the second after the first call was made, arrive
/// in that order, also when some of them come late from the hop.
public protocol Bus: Sendable {
    /// Publishes each message to the channel of its address, all in one turn on the wire.
    ///
    /// - Returns: how many subscribers each channel had, in order. Zero is evidence, not proof, that the node is
    ///   gone, and a listener that returns still gets the message; more than zero is a hint, not a receipt.
    /// - Throws: what was published may or may not have gone out, but none of it twice.
    func publish(_ messages: [BusMessage]) async throws(BusError) -> [Int]

    /// Listens on a channel, through every reconnect, until the task is cancelled.
    ///
    /// - Parameters:
    ///   - address: whose channel.
    ///   - receive: called in order, one call at a time, on a thread of the bus: it must not block, nor take longer
    ///     than the bus does to bring the next.
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
    /// Messages that are published from now on arrive. For a node, all that was missed since `lost` has come or a
    /// `gap` was told.
    case subscribed
    /// All that one read brought, oldest first. Between `lost` and `subscribed` it is what was missed, and only
    /// for a node.
    case messages([[UInt8]])
    /// Messages do not come from now on until the next `subscribed`. The text is for logs.
    case lost(String)
    /// Messages to this node may be missing for good in this place of the order. The text says why, for logs.
    case gap(String)
}

/// The bus is out of reach or too slow. What was published may or may not have gone out, unless `isUnsent` says more.
public struct BusError: Error, Equatable, CustomStringConvertible {
    public let reason: String
    /// It is certain that nothing went out.
    public let isUnsent: Bool

    public init(_ reason: String, isUnsent: Bool = false) {
        self.reason = reason
        self.isUnsent = isUnsent
    }

    public var description: String { "the bus is out of reach: \(reason)" }
}
