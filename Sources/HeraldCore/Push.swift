/// What a push may be aimed at.
public enum Target: Hashable, Sendable {
    /// Every connection of a user.
    case user(UserID)
    /// One connection.
    case key(UserKey)
    /// Every connection in a room.
    case room(RoomID)
    /// Every connection there is.
    case everyone
}

/// The payload as the backend gave it: checked once at the edge, then opaque bytes all the way.
public enum Payload: Hashable, Sendable {
    /// One JSON value, already validated, verbatim.
    case json([UInt8])
    /// Any bytes; a JSON client gets them as base64.
    case binary([UInt8])

    public var bytes: [UInt8] {
        switch self {
        case .json(let bytes), .binary(let bytes): bytes
        }
    }
}

/// What a client is shown: an event's name, an operation number and the payload.
public struct Message: Hashable, Sendable {
    public var event: String?
    /// goim's operation number.
    public var op: Int32?
    public var payload: Payload?

    public init(event: String? = nil, op: Int32? = nil, payload: Payload? = nil) {
        self.event = event
        self.op = op
        self.payload = payload
    }
}

/// How far a push is followed before it is answered. Each level costs more than the one before.
public enum ConfirmLevel: String, Hashable, Sendable, CaseIterable {
    /// To the channels of the nodes that hold its targets.
    case routed
    /// Into the sockets: the kernel has taken every byte.
    case written
    /// To the client, who says so with `ack`.
    case acked
}

/// One message with everything it is aimed at.
public struct Push: Sendable, Equatable {
    public var id: PushID
    /// In the order in which the caller named them; at least one. No two are equal.
    public var targets: [Target]
    public var message: Message
    /// Connections that shall not get it, though a target names them (the sender's own, usually).
    public var exclude: Set<UserKey>
    public var confirm: ConfirmLevel
    /// How long after its acceptance it is answered at the latest; nil: `Limits.pushDeadline`.
    public var deadline: Duration?
    /// What becomes of it where a connection reads too slowly.
    public var queuePolicy: QueuePolicy
    /// Whether it is kept in the inboxes of its targets, users and rooms, before it is sent.
    public var isDurable: Bool
    /// Whether it may have been kept before: a retry, under the id of the first try.
    public var isRepeat: Bool
    /// Where it is kept; empty until it is.
    public var positions: [Target: InboxPosition] = [:]

    public init(
        id: PushID,
        targets: [Target],
        message: Message,
        exclude: Set<UserKey> = [],
        confirm: ConfirmLevel = .routed,
        deadline: Duration? = nil,
        queuePolicy: QueuePolicy = .standard,
        isDurable: Bool = false,
        isRepeat: Bool = false
    ) {
        self.id = id
        self.targets = targets
        self.message = message
        self.exclude = exclude
        self.confirm = confirm
        self.deadline = deadline
        self.queuePolicy = queuePolicy
        self.isDurable = isDurable
        self.isRepeat = isRepeat
    }
}
