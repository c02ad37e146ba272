/// How one direction of a connection is treated just now.
public struct FaultProxyFlow: Equatable, Sendable {
    public var isHeld: Bool
    public var delay: Duration
    /// So many bytes may still pass; nil: all.
    public var bytesLeft: Int?

    /// By default everything passes at once.
    public init(isHeld: Bool = false, delay: Duration = .zero, bytesLeft: Int? = nil) {
        self.isHeld = isHeld
        self.delay = delay
        self.bytesLeft = bytesLeft
    }
}

/// What one side of a connection sent and the other has not been given yet, in order. Decides what may pass
/// when; it does no I/O and reads no clock.
///
/// The end of the stream waits its turn behind the bytes: what was sent before a side gave up still arrives, as
/// it may on a real network.
public struct FaultProxyPipe: Sendable {
    public enum Passage: Equatable, Sendable {
        case bytes(ArraySlice<UInt8>)
        /// Everything has passed, and the sender has ended.
        case end
        /// Nothing now; at this moment at the earliest, or not before something changes.
        case nothing(until: ContinuousClock.Instant?)
    }

    private struct Chunk: Sendable {
        var bytes: ArraySlice<UInt8>
        var arrived: ContinuousClock.Instant
    }

    private var chunks: [Chunk] = []
    private var ended: ContinuousClock.Instant?
    /// Bytes that have not passed yet.
    public private(set) var bytesWaiting = 0
    public init() {}

    /// The sender has said its last.
    public var hasEnded: Bool { ended != nil }

    /// The sender sent this.
    public mutating func arrived(_ bytes: ArraySlice<UInt8>, at now: ContinuousClock.Instant) {
        chunks.append(Chunk(bytes: bytes, arrived: now))
        bytesWaiting += bytes.count
    }

    /// The sender ended; said twice, the first counts.
    public mutating func senderEnded(at now: ContinuousClock.Instant) {
        if ended == nil { ended = now }
    }

    /// What may pass now: the front, as far as it is due.
    public func next(_ flow: FaultProxyFlow, at now: ContinuousClock.Instant) -> Passage {
        guard let arrived = chunks.first?.arrived ?? ended, !flow.isHeld else { return .nothing(until: nil) }
        guard arrived + flow.delay <= now else { return .nothing(until: arrived + flow.delay) }
        guard let chunk = chunks.first else { return .end }
        return flow.bytesLeft == 0
            ? .nothing(until: nil) : .bytes(chunk.bytes.prefix(flow.bytesLeft ?? chunk.bytes.count))
    }

    /// So many bytes of the chunk that `next` showed were passed on.
    public mutating func passed(_ count: Int) {
        precondition(count <= chunks.first?.bytes.count ?? 0, "no more can pass than was shown")
        bytesWaiting -= count
        chunks[0].bytes = chunks[0].bytes.dropFirst(count)
        if chunks[0].bytes.isEmpty { chunks.removeFirst() }
    }
}
