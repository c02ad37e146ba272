/// What travels on a node's channel: everything that one turn of a sender has for that node.
public struct Envelope: Sendable, Equatable {
    /// The process that sent it, such as `logic-1`; its replies go to `BusAddress.sender` of this name.
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
    /// Where the message stands in the inbox of each target, in their order; empty when it stands in none.
    public var positions: [InboxPosition?]
    public var exclude: [UserKey]
    /// What becomes of it where a connection reads too slowly. Without meaning for what stands in an inbox.
    public var queuePolicy: QueuePolicy
    /// What its sender wants to know; nil: nothing.
    public var query: ReceiptQuery?

    public init(
        push: PushID,
        message: Message,
        targets: [Target],
        positions: [InboxPosition?] = [],
        exclude: [UserKey] = [],
        queuePolicy: QueuePolicy = .standard,
        query: ReceiptQuery? = nil
    ) {
        self.push = push
        self.message = message
        self.targets = targets
        self.positions = positions
        self.exclude = exclude
        self.queuePolicy = queuePolicy
        self.query = query
    }

    /// Where the message stands in the inbox of the target at a place of `targets`; nil: it is not kept there.
    public func position(at place: Int) -> InboxPosition? {
        positions.indices.contains(place) ? positions[place] : nil
    }
}

/// What the sender of a delivery wants to know of it.
///
/// `routed` asks for the targets that are not on the node, and for nothing else: so a route that was stale is
/// followed at no cost where it was not. The other levels ask for every target.
public struct ReceiptQuery: Hashable, Sendable {
    /// The sender's own name for the delivery; comes back in the receipts.
    public var ticket: UInt64
    public var confirm: ConfirmLevel
    /// After this the sender does not wait any more. Between 1 ms and `Limits.confirmDeadlineMax`.
    public var patience: Duration

    public init(ticket: UInt64, confirm: ConfirmLevel, patience: Duration) {
        self.ticket = ticket
        self.confirm = confirm
        self.patience = patience
    }
}

/// What a node tells a sender: what became of deliveries, gathered over a turn.
public struct Reply: Sendable, Equatable {
    public var node: NodeID
    public var receipts: [Receipt]

    public init(node: NodeID, receipts: [Receipt]) {
        self.node = node
        self.receipts = receipts
    }
}

/// What became of one target of a delivery on one node, as far as it is known. A later one replaces an earlier one.
public struct Receipt: Hashable, Sendable {
    public var ticket: UInt64
    /// The target's place in the delivery.
    public var target: Int
    /// Nil: nobody of the target is on the node. Without connections: all that are there were excluded.
    public var reach: Reach?
    /// Whether no further receipt comes: all is known, or the patience is over.
    public var isFinal: Bool

    public init(ticket: UInt64, target: Int, reach: Reach?, isFinal: Bool) {
        self.ticket = ticket
        self.target = target
        self.reach = reach
        self.isFinal = isFinal
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
