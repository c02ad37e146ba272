import HeraldCore
import HeraldSockets

/// What other threads ask of a loop's sessions.
enum SessionCommand: Sendable {
    /// Frames for whoever of their targets is on this loop.
    case deliver(DeliveryBatch)
    /// The socket's session has its key.
    case bound(SocketID)
    case close(SocketID, CloseCode)
    /// Pushes to the room reach this node.
    case joined(SocketID, RoomID)
    case joinRefused(SocketID, RoomID)
    /// A page of the inbox that the socket's session follows; nil when it could not be read.
    case inboxRead(SocketID, InboxPage?)
    /// One turn of several: the inboxes of this share of the sessions are to be looked at.
    case doubtInboxes(turn: Int, of: Int)
    /// The node is stopping: close so many of this loop's sessions.
    case closeSome(Int, CloseCode)
}
