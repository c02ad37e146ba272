/// What travels on a node's channel: everything that one turn of a sender has for that node.
public struct Envelope: Sendable, Equatable {
    /// The process that sent it, such as `logic-1`.
    public var sender: String
    public var deliveries: [Delivery]
    public var closes: [CloseOrder]

    public init(sender: String, deliveries: [Delivery] = [], closes: [CloseOrder] = []) {
        self.sender = sender
        self.deliveries = deliveries
        self.closes = closes
    }
}

/// One push's part for one node. A connection that several of its targets name gets it once.
public struct Delivery: Sendable, Equatable {
    public var push: PushID
    public var message: Message
    public var targets: [Target]
    public var exclude: [UserKey]

    public init(push: PushID, message: Message, targets: [Target], exclude: [UserKey] = []) {
        self.push = push
        self.message = message
        self.targets = targets
        self.exclude = exclude
    }
}

/// Asks a node to close one connection.
public struct CloseOrder: Sendable, Equatable {
    public var name: UserKey
    /// Only this session, or whichever holds the key.
    public var session: SessionID?
    public var code: CloseCode

    public init(name: UserKey, session: SessionID? = nil, code: CloseCode) {
        self.name = name
        self.session = session
        self.code = code
    }
}
