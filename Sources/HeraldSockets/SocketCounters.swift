/// What an engine has done, summed over its loops. Everything only grows, except the gauges at the end.
public struct SocketCounters: Sendable, Equatable {
    /// Connections taken from the kernel, refused ones included.
    public var accepted: UInt64 = 0
    /// Upgrades completed.
    public var opened: UInt64 = 0
    /// Sockets for which closing began after they were opened.
    public var closed: UInt64 = 0
    /// Requests answered as HTTP by the handler.
    public var responded: UInt64 = 0

    /// Connections refused because the loop had `socketsMaxPerLoop`.
    public var refusedFull: UInt64 = 0
    /// Connections answered 503 and closed at once because no descriptor was left.
    public var refusedNoDescriptor: UInt64 = 0
    /// Requests refused as malformed or unfit (400, 405, 413, 426, 505).
    public var refusedRequest: UInt64 = 0
    /// Requests refused as too long (414, 431).
    public var refusedTooLarge: UInt64 = 0
    /// Connections that sent no whole request in time (408).
    public var refusedTooSlow: UInt64 = 0

    /// TLS handshakes completed.
    public var tlsHandshakes: UInt64 = 0
    /// Connections that ended before theirs was: no common version, no TLS at all, gone.
    public var tlsHandshakeFailures: UInt64 = 0

    /// Control frames received.
    public var controlFramesIn: UInt64 = 0
    /// Whole messages handed to the handler.
    public var messagesIn: UInt64 = 0
    /// Messages that came compressed.
    public var messagesInflated: UInt64 = 0
    /// Bytes read, requests included.
    public var bytesIn: UInt64 = 0
    /// Frames and answers put into a send queue.
    public var framesOut: UInt64 = 0
    /// Frames that went out compressed, among `framesOut`.
    public var framesDeflated: UInt64 = 0
    /// Bytes the kernel took.
    public var bytesOut: UInt64 = 0
    /// System calls that wrote.
    public var writes: UInt64 = 0
    /// Pings sent.
    public var pingsOut: UInt64 = 0

    /// Droppable frames that were left out for sockets where too much waits.
    public var framesDropped: UInt64 = 0
    /// Waiting frames of which a newer one took the place.
    public var framesCollapsed: UInt64 = 0
    /// Sockets closed because their queue was full.
    public var overflows: UInt64 = 0
    /// Sockets closed because the node's budget was passed.
    public var shed: UInt64 = 0
    /// Sockets closed with 1002.
    public var protocolErrors: UInt64 = 0
    /// Sockets closed with 1007.
    public var badPayloads: UInt64 = 0
    /// Sockets closed with 1009.
    public var messagesTooBig: UInt64 = 0
    /// Sockets closed with 1008 for a flood of control frames or empty fragments, or for too much to inflate.
    public var floods: UInt64 = 0
    /// Pings that went unanswered because too many pongs were waiting.
    public var pongsSkipped: UInt64 = 0
    /// Sockets closed because no ping was answered in time.
    public var pingTimeouts: UInt64 = 0
    /// Sockets that ended without a close frame.
    public var disconnects: UInt64 = 0
    /// Closings cut short because the peer did not answer in time.
    public var closeTimeouts: UInt64 = 0
    /// Times `accept` found no descriptor (EMFILE, ENFILE).
    public var descriptorsExhausted: UInt64 = 0
    /// Batches that `LoopPort.post` refused.
    public var batchesRefused: UInt64 = 0

    /// Sockets open now.
    public var open = 0
    /// Connections now in any state: handshake, open, closing.
    public var connections = 0
    /// Memory waiting now for kernel buffers to drain: wire bytes, and 64 more for each frame.
    public var queuedBytes = 0

    /// All zero.
    public init() {}

    /// Field by field.
    static func += (total: inout SocketCounters, part: SocketCounters) {
        for field in fields { total[keyPath: field] += part[keyPath: field] }
        total.open += part.open
        total.connections += part.connections
        total.queuedBytes += part.queuedBytes
    }

    private static var fields: [WritableKeyPath<SocketCounters, UInt64>] {
        [
            \.accepted, \.opened, \.closed, \.responded, \.refusedFull, \.refusedNoDescriptor,
            \.refusedRequest,
            \.refusedTooLarge, \.refusedTooSlow, \.controlFramesIn, \.messagesIn, \.bytesIn, \.framesOut,
            \.tlsHandshakes, \.tlsHandshakeFailures, \.messagesInflated, \.framesDeflated, \.bytesOut,
            \.writes, \.pingsOut, \.framesDropped, \.framesCollapsed, \.overflows, \.shed,
            \.protocolErrors, \.badPayloads,
            \.messagesTooBig, \.floods, \.pongsSkipped, \.pingTimeouts, \.disconnects, \.closeTimeouts,
            \.descriptorsExhausted, \.batchesRefused,
        ]
    }
}
