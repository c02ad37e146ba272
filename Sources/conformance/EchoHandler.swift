import HeraldSockets

/// Sends every message back to where it came from, as the kind that it was.
struct EchoHandler: SocketHandler {
    typealias Command = Never

    mutating func requestReceived(_ request: borrowing HTTPRequestHead) -> RequestDecision {
        .accept(subprotocol: nil)
    }

    mutating func socketOpened(
        _ id: SocketID,
        request: borrowing HTTPRequestHead,
        sockets: inout SocketTable
    ) {}

    mutating func messageReceived(
        _ message: RawSpan,
        kind: MessageKind,
        from id: SocketID,
        sockets: inout SocketTable
    ) {
        let frame = OutboundFrame.message(kind, payloadBytes: message.byteCount) { payload in
            payload.withUnsafeMutableBytes { target in
                message.withUnsafeBytes { target.copyMemory(from: $0) }
            }
        }
        _ = sockets.send(frame, to: id)
    }

    mutating func deadlinePassed(_ id: SocketID, sockets: inout SocketTable) {}

    mutating func socketClosed(_ id: SocketID, cause: CloseCause, sockets: inout SocketTable) {}

    mutating func commandsArrived(_ commands: [Never], sockets: inout SocketTable) {}

    mutating func continueWork(sockets: inout SocketTable) -> Bool { false }
}
