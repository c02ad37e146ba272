import HeraldSockets

/// A client's frames through the engine: 64 of them in one write, so in one turn of the loop, and a last one that is
/// answered.
enum ReadFrame {
    private static let burst = 64

    static func run(_ count: Int) throws {
        var limits = SocketLimits()
        limits.upgradeDeadline = .seconds(3600)
        limits.pingInterval = .seconds(3600)
        let configuration = SocketEngineConfiguration(host: "127.0.0.1", port: 0, limits: limits)
        let engine = SocketEngine(configuration) { _ in LastEcho() }
        try engine.start()
        let client = try RawSocket(port: engine.port, target: "/")
        try client.receive(until: Array("\r\n\r\n".utf8))
        let text = Array(#"{"ack":{"id":"4h1k9q2v00000123"}}"#.utf8)
        var bytes: [UInt8] = []
        for _ in 1..<burst { bytes += RawSocket.frame(opcode: 1, text) }
        bytes += RawSocket.frame(opcode: 2, text)
        for _ in 0..<count / burst {
            try client.send(bytes)
            try client.receive(until: text)
        }
    }
}

/// Answers binary messages, and lets the others go.
private struct LastEcho: SocketHandler {
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
        guard kind == .binary else { return }
        let frame = message.withUnsafeBytes { OutboundFrame.binary($0) }
        _ = sockets.send(frame, to: id)
    }

    mutating func deadlinePassed(_ id: SocketID, sockets: inout SocketTable) {}
    mutating func socketClosed(_ id: SocketID, cause: CloseCause, sockets: inout SocketTable) {}
    mutating func commandsArrived(_ commands: [Never], sockets: inout SocketTable) {}
    mutating func continueWork(sockets: inout SocketTable) -> Bool { false }
}
