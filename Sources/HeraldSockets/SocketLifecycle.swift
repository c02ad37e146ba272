/// Where a connection stands between accept and close; decisions only.
///
/// - `handshake`: the request head is being read. Leads to `open`, or to `draining` with an HTTP answer.
/// - `open`: messages flow. Leads to `closing` when we close, to `ending` when the peer does, to
///   `draining` when the peer breaks the protocol.
/// - `closing`: our close frame is queued or gone, the peer's is awaited; its other frames are read and
///   dropped. Leads to `ending` with the peer's close frame.
/// - `draining`: what is queued still goes out, what comes is thrown away unread. Leads to `halfClosed`.
/// - `halfClosed`: we have said all (FIN), the peer may still be sending; ending now would make the kernel
///   answer that with a reset, which may overtake our last words.
/// - `ending`: both close frames are there; when the queue is empty, it is over.
/// - `ended`: the descriptor is closed, the slot is not free yet.
///
/// The peer's end of stream, an error and the close timeout lead from anywhere to `ended`.
enum SocketLifecycle: UInt8 {
    case free, handshake, open, closing, draining, halfClosed, ending, ended

    /// What an empty send queue asks for.
    enum AfterFlush: Equatable {
        case nothing, shutDownWriting, end
    }

    /// Whether incoming bytes are parsed rather than thrown away.
    var isParsing: Bool { self == .handshake || self == .open || self == .closing }

    /// Whether there is a descriptor.
    var isConnected: Bool { self != .free && self != .ended }

    /// The handler, or the engine on its own account, closes.
    mutating func closeStarted() -> Bool {
        guard self == .open else { return false }
        self = .closing
        return true
    }

    /// - Returns: whether our own close frame is still to be sent.
    mutating func closeReceived() -> Bool {
        let answers = self == .open
        guard self == .open || self == .closing else { return false }
        self = .ending
        return answers
    }

    /// Nothing more that comes from the peer makes sense, or matters.
    ///
    /// - Returns: whether our own close frame is still to be sent.
    mutating func violated() -> Bool {
        let answers = self == .open
        guard self == .open || self == .closing else { return false }
        self = .draining
        return answers
    }

    mutating func answered() {
        guard self == .handshake else { return }
        self = .draining
    }

    mutating func flushed() -> AfterFlush {
        switch self {
        case .draining:
            self = .halfClosed
            return .shutDownWriting
        case .ending:
            return .end
        case .free, .handshake, .open, .closing, .halfClosed, .ended:
            return .nothing
        }
    }
}
