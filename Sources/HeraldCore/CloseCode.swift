/// Why a socket was closed, as the client sees it: one table for node, clients and README.
///
/// 1000 to 1999 mean what RFC 6455 §7.4 says. 4000 to 4499 say "come back" (after a pause with jitter);
/// 4500 to 4999 say "stop": coming back with the same request would end the same way.
public struct CloseCode: Hashable, Sendable, CustomStringConvertible {
    public let number: UInt16
    public let reason: String

    /// Whether a client should connect again.
    public var invitesBack: Bool {
        switch number {
        case 1000, 1002, 1003, 1007, 1008, 1009, 1010: false
        case 4500...4999: false
        default: true
        }
    }

    public var description: String { "\(number) \(reason)" }

    public static let normal = Self(number: 1000, reason: "normal")
    public static let goingAway = Self(number: 1001, reason: "server is stopping")
    /// The client asks for more than one client may.
    public static let flood = Self(number: 1008, reason: "too many frames")
    public static let messageTooBig = Self(number: 1009, reason: "message too big")
    /// The node could not write the route; nothing is wrong with the client.
    public static let routeUnavailable = Self(number: 4000, reason: "route table unavailable")
    /// The client read too slowly and its queue is full.
    public static let slowConsumer = Self(number: 4001, reason: "slow consumer")
    /// The client did not say `connect` in time.
    public static let connectTimeout = Self(number: 4002, reason: "connect was not sent in time")
    /// An operator or the backend closed this connection.
    public static let kicked = Self(number: 4500, reason: "closed by the backend")
    /// A newer connection took the key.
    public static let replaced = Self(number: 4501, reason: "replaced by a newer connection")
    /// A frame was not of the protocol.
    public static let badFrame = Self(number: 4502, reason: "not a frame of the protocol")
    /// The client may not connect like this.
    public static let unauthorized = Self(number: 4503, reason: "unauthorized")

    /// The user has as many connections as one may have.
    public static let tooManyConnections = Self(number: 4504, reason: "too many connections of this user")

    /// All that Herald may send, in the order of their numbers; `unauthorized` waits for authentication.
    public static let table: [CloseCode] = [
        .normal, .goingAway, .flood, .messageTooBig, .routeUnavailable, .slowConsumer, .connectTimeout,
        .kicked, .replaced, .badFrame, .unauthorized, .tooManyConnections,
    ]

    /// The table's entry for a number, or one without a reason.
    public init(number: UInt16) {
        self = Self.table.first { $0.number == number } ?? Self(number: number, reason: "")
    }

    init(number: UInt16, reason: String) {
        self.number = number
        self.reason = reason
    }
}
