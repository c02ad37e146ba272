public import HeraldCore
import HeraldWire

/// What arrives on a connection, in order. `closed` is the last and always comes.
public enum ConnectionEvent: Sendable, Equatable {
    case push(ReceivedPush)
    /// Messages of the user's inbox are lost to this client, which goes on from there: it should load its state anew.
    case reset(InboxPosition)
    /// The node refused something that was not a request with an id, or tells of a trouble.
    case error(code: String, message: String)
    case closed(ConnectionEnd)
}

/// A push as it reached this connection.
public struct ReceivedPush: Sendable, Equatable {
    public var id: PushID
    public var message: Message
    /// The room that it came by, if it was aimed at one.
    public var room: RoomID?
    /// Whether the backend waits for `acknowledge`.
    public var wantsAck: Bool
    /// Where it stands in the inbox of its room, or of the user where there is no room; nil: it is not kept.
    public var position: InboxPosition?

    public init(
        id: PushID,
        message: Message,
        room: RoomID? = nil,
        wantsAck: Bool = false,
        position: InboxPosition? = nil
    ) {
        self.id = id
        self.message = message
        self.room = room
        self.wantsAck = wantsAck
        self.position = position
    }

    init(_ frame: PushFrame) {
        self.init(
            id: frame.id,
            message: frame.message,
            room: frame.room,
            wantsAck: frame.wantsAck,
            position: frame.position
        )
    }
}

/// Who the node says this connection is.
public struct ConnectionIdentity: Sendable, Hashable {
    public var user: UserID
    public var key: ConnectionKey
    public var node: NodeID
    /// Where it stands in its user's inbox; nil when it does not follow it.
    public var inbox: InboxStart?

    public init(user: UserID, key: ConnectionKey, node: NodeID, inbox: InboxStart? = nil) {
        self.user = user
        self.key = key
        self.node = node
        self.inbox = inbox
    }
}

/// How a connection ended.
public struct ConnectionEnd: Sendable, Equatable, CustomStringConvertible {
    public enum Cause: Sendable, Equatable {
        /// The node closed it with this code.
        case closed(CloseCode)
        /// This side closed it.
        case closedHere(CloseCode)
        /// It broke without a close frame: the network, a crash.
        case disconnected(String)
        /// Nothing came for longer than `ClientLimits.silenceMax`.
        case silent
        /// The other side sent what is not of the protocol.
        case violation(String)
    }

    public var cause: Cause
    /// The rooms it was in, for the connection that comes after it.
    public var rooms: [RoomID]

    public init(cause: Cause, rooms: [RoomID] = []) {
        self.cause = cause
        self.rooms = rooms
    }

    /// What the node closed it with; nil when it did not.
    public var code: CloseCode? {
        if case .closed(let code) = cause { code } else { nil }
    }

    /// Whether connecting again can go better (`CloseCode.invitesBack`).
    public var invitesBack: Bool {
        switch cause {
        case .closed(let code): code.invitesBack
        case .disconnected, .silent: true
        case .closedHere, .violation: false
        }
    }

    public var description: String {
        switch cause {
        case .closed(let code): "the node closed the connection: \(code)"
        case .closedHere(let code): "closed here: \(code)"
        case .disconnected(let reason): "the connection broke: \(reason)"
        case .silent: "nothing came for too long"
        case .violation(let reason): "the other side does not keep to the protocol: \(reason)"
        }
    }
}
