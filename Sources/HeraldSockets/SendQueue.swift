import Glibc

/// What waits to be sent to one socket: references to frames, in order, and how far the first has gone.
///
/// The first frame has a place of its own and the rest a ring, so the usual single frame of a turn
/// allocates nothing and a socket that waits for nothing holds nothing. Owns the ring.
struct SendQueue: ~Copyable {
    /// Wire bytes not yet given to the kernel.
    private(set) var byteCount = 0
    private var first: OutboundFrame?
    private var ring: UnsafeMutablePointer<OutboundFrame>?
    private var ringHead: UInt32 = 0
    private var ringCount: UInt32 = 0
    private var ringCapacity: UInt32 = 0
    private var firstSent: UInt32 = 0

    /// What a waiting frame holds besides its bytes: object (32), heap headers (16), reference (8), rounded
    /// up. Counted, so that a queue of tiny frames is bounded too.
    static let frameOverheadBytes = 64

    init() {}

    deinit {
        guard let ring else { return }
        for offset in 0..<ringCount { (ring + ringIndex(offset)).deinitialize(count: 1) }
        ring.deallocate()
    }

    var isEmpty: Bool { first == nil }
    var count: Int { first == nil ? 0 : 1 + Int(ringCount) }

    /// The memory that waits here; what the limits are about.
    var heldBytes: Int { byteCount + count * Self.frameOverheadBytes }

    mutating func append(_ frame: OutboundFrame) {
        byteCount += frame.byteCount
        guard first != nil else {
            first = frame
            return
        }
        if ringCount == ringCapacity { growRing() }
        ring?.advanced(by: ringIndex(ringCount)).initialize(to: frame)
        ringCount += 1
    }

    /// Names the unsent bytes of the first frames.
    ///
    /// - Returns: how many elements of `vectors` were filled, and the bytes they name.
    func gather(into vectors: UnsafeMutableBufferPointer<iovec>) -> (vectors: Int, bytes: Int) {
        guard let first, !vectors.isEmpty else { return (0, 0) }
        let sent = Int(firstSent)
        vectors[0] = iovec(iov_base: first.bytes.base + sent, iov_len: first.bytes.count - sent)
        var bytes = first.bytes.count - sent
        let more = min(Int(ringCount), vectors.count - 1)
        guard let ring else { return (1, bytes) }
        for offset in 0..<more {
            let frame = ring.advanced(by: ringIndex(UInt32(offset)))
            let count = frame.pointee.bytes.count
            vectors[1 + offset] = iovec(iov_base: frame.pointee.bytes.base, iov_len: count)
            bytes += count
        }
        return (1 + more, bytes)
    }

    /// The kernel took that many bytes.
    ///
    /// - Returns: how many receipts came up: all that stood before them is with the kernel.
    @discardableResult
    mutating func consume(_ bytes: Int) -> Int {
        precondition(bytes <= byteCount, "the kernel took more than it was given")
        byteCount -= bytes
        var left = bytes + Int(firstSent)
        var receipts = 0
        while let frame = first, left >= frame.byteCount {
            left -= frame.byteCount
            if frame.isReceipt { receipts += 1 }
            first = popRing()
        }
        firstSent = UInt32(left)
        if ringCount == 0 { releaseRing() }
        return receipts
    }

    /// Drops every frame of which the peer has seen nothing yet; the stream stays well-formed.
    ///
    /// - Parameter keptBytes: so many of the unsent bytes are as good as sent: every frame with any of them stays.
    mutating func removeUnstarted(keeping keptBytes: Int = 0) {
        while ringCount > 0, let ring {
            let last = ring + ringIndex(ringCount - 1)
            guard byteCount - last.pointee.byteCount >= keptBytes else { return }
            byteCount -= last.move().byteCount
            ringCount -= 1
        }
        releaseRing()
        if let frame = first, firstSent == 0, keptBytes == 0 {
            byteCount -= frame.byteCount
            first = nil
        }
    }

    mutating func removeAll() {
        first = nil
        firstSent = 0
        byteCount = 0
        releaseRing()
    }

    private func ringIndex(_ offset: UInt32) -> Int { Int((ringHead + offset) & (ringCapacity - 1)) }

    private mutating func popRing() -> OutboundFrame? {
        guard ringCount > 0, let ring else { return nil }
        let frame = ring.advanced(by: Int(ringHead)).move()
        ringHead = (ringHead + 1) & (ringCapacity - 1)
        ringCount -= 1
        return frame
    }

    private mutating func growRing() {
        let capacity = max(4, ringCapacity * 2)
        let grown = UnsafeMutablePointer<OutboundFrame>.allocate(capacity: Int(capacity))
        if let ring {
            for offset in 0..<ringCount {
                grown.advanced(by: Int(offset)).moveInitialize(from: ring + ringIndex(offset), count: 1)
            }
            ring.deallocate()
        }
        ring = grown
        ringCapacity = capacity
        ringHead = 0
    }

    private mutating func releaseRing() {
        while popRing() != nil {}
        ring?.deallocate()
        ring = nil
        ringCapacity = 0
        ringHead = 0
    }
}
