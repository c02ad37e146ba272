/// What the engine calls: one value per loop, used by one thread at a time: the loop's, or one that takes a turn in its
/// place while it sleeps (`LoopPort.post`).
///
/// The calls of one turn of the loop come in this order: requests, messages and closings as the kernel
/// reports them, then commands, deadlines, and `continueWork` once. Everything sent meanwhile leaves at the
/// end of the turn, in one write per socket. No call may block: the loop's other sockets wait for it.
public protocol SocketHandler: ~Copyable, SendableMetatype {
    /// What other threads post to a loop through its `LoopPort`.
    associatedtype Command: Sendable

    /// A whole and well-formed request head arrived. Requests that ask for no upgrade come too (health
    /// checks): `request.isUpgrade` is false, and accepting one answers 426.
    mutating func requestReceived(_ request: borrowing HTTPRequestHead) -> RequestDecision

    /// The request was accepted: from here on the socket takes messages. What is sent now travels with the
    /// answer to the upgrade.
    mutating func socketOpened(
        _ id: SocketID,
        request: borrowing HTTPRequestHead,
        sockets: inout SocketTable
    )

    /// A whole message. A text has already been checked to be UTF-8. The bytes are lent for this call.
    mutating func messageReceived(
        _ message: RawSpan,
        kind: MessageKind,
        from id: SocketID,
        sockets: inout SocketTable
    )

    /// The time set with `SocketTable.setDeadline` has come. The deadline is then unset.
    mutating func deadlinePassed(_ id: SocketID, sockets: inout SocketTable)

    /// The socket takes no more messages, and brings no more: exactly once for each `socketOpened`, in the
    /// turn in which closing began. The close handshake goes on without the handler. The slot number
    /// is not given to another socket before this call has returned.
    mutating func socketClosed(_ id: SocketID, cause: CloseCause, sockets: inout SocketTable)

    /// The kernel has taken so many more of the frames that were sent to this socket followed, in their order. Called
    /// at the end of the turn, and before `socketClosed`; those that never come up before that were not written.
    mutating func framesWritten(_ count: Int, to id: SocketID, sockets: inout SocketTable)

    /// What other threads posted, in the order in which they did.
    mutating func commandsArrived(_ commands: [Command], sockets: inout SocketTable)

    /// Called once per turn, after everything else: the next slice of a large fan-out. While it answers true
    /// the loop does not wait for events; it still serves those that are there between two slices.
    mutating func continueWork(sockets: inout SocketTable) -> Bool
}

extension SocketHandler where Self: ~Copyable {
    /// For handlers that follow no frames.
    public mutating func framesWritten(_ count: Int, to id: SocketID, sockets: inout SocketTable) {}
}

/// Which of the two kinds of WebSocket message it is.
public enum MessageKind: Sendable, Hashable {
    case text, binary
}

/// What becomes of a request.
public enum RequestDecision: Sendable {
    /// Upgrade to WebSocket; the subprotocol, if any, must be one of `request.subprotocols`.
    case accept(subprotocol: String?)
    /// Answer it as HTTP and close.
    case respond(HTTPAnswer)
}

/// What became of a frame given to `SocketTable.send`.
public enum SendOutcome: Sendable, Hashable {
    /// It waits for the end of the turn.
    case queued
    /// The socket's queue had no room: the frame was dropped and the socket is being closed with
    /// `SocketLimits.overflowCode`.
    case overflowed
    /// There is no such socket (any more), or it is closing.
    case gone
}

/// Why a socket ended.
public enum CloseCause: Sendable, Hashable {
    /// The peer sent a close frame; nil when the frame had no code.
    case peer(code: UInt16?)
    /// The handler called `SocketTable.close`.
    case handler(code: UInt16)
    /// The peer broke the protocol or a limit of it, and was told so with this code.
    case violation(code: UInt16)
    /// Its send queue was full.
    case overflow
    /// Its queue was among the largest when all queues together passed the node's budget.
    case shed
    /// It did not answer a ping in time.
    case pingTimeout
    /// The connection ended without a close frame, or broke.
    case disconnected
    /// The engine was stopped.
    case stopped(code: UInt16)
}
