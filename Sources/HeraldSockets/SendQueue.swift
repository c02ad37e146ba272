import Glibc

/// What waits to be sent to one socket: references to frames, in order, and how far the first has gone.
///
/// The first frame has a place of its own and the rest a ring, so the usual single frame of a turn
/// allocates nothing and a socket that waits for nothing holds nothing.
struct SendQueue: ~Copyable {
    /// Wire bytes not yet given to the kernel.
    private(set) var byteCount = 0
    private var first: OutboundFrame?
    private var ring = FrameRing()
    private var firstSent: UInt32 = 0

    /// What a waiting frame holds besides its bytes: object (32), heap header and rounding (16), reference (8 to 16).
    /// Counted, so that a queue of tiny frames is bounded too.
    static let frameOverheadBytes = 64

    init() {}

    var isEmpty: Bool { first == nil }
    var count: Int { first == nil ? 0 : 1 + ring.count }

    /// The memory that waits here; what the limits are about. A frame is held whole until its last byte is sent: at
    /// 1,000 sockets that stand still in the midst of 8 KB each, the half that is sent is 4 MB.
    var heldBytes: Int { byteCount + Int(firstSent) + count * Self.frameOverheadBytes }

    mutating func append(_ frame: OutboundFrame) {
        byteCount += frame.byteCount
        guard first != nil else {
            first = frame
            return
        }
        ring.append(frame)
    }

    /// Names the unsent bytes of the first frames.
    ///
    /// - Returns: how many elements of `vectors` were filled, and the bytes they name.
    func gather(into vectors: UnsafeMutableBufferPointer<iovec>) -> (vectors: Int, bytes: Int) {
        guard let first, !vectors.isEmpty else { return (0, 0) }
        let sent = Int(firstSent)
        vectors[0] = iovec(iov_base: first.bytes.base + sent, iov_len: first.bytes.count - sent)
        var bytes = first.bytes.count - sent
        let more = min(ring.count, vectors.count - 1)
        for offset in 0..<more {
            let frame = ring.frame(offset)
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
        // Not the frame itself: to hold it would cost a reference count each.
        while let frameBytes = first?.byteCount, left >= frameBytes {
            left -= frameBytes
            if frameBytes == 0 { receipts += 1 }
            first = ring.popFirst()
        }
        firstSent = UInt32(left)
        return receipts
    }

    /// Drops every frame of which the peer has seen nothing yet; the stream stays well-formed.
    ///
    /// - Parameter keptBytes: so many of the unsent bytes are as good as sent: every frame with any of them stays.
    mutating func removeUnstarted(keeping keptBytes: Int = 0) {
        while !ring.isEmpty {
            let lastBytes = ring.frame(ring.count - 1).pointee.byteCount
            guard byteCount - lastBytes >= keptBytes else { return }
            _ = ring.popLast()
            byteCount -= lastBytes
        }
        if let frame = first, firstSent == 0, keptBytes == 0 {
            byteCount -= frame.byteCount
            first = nil
        }
    }

    mutating func removeAll() {
        first = nil
        firstSent = 0
        byteCount = 0
        ring = FrameRing()
    }

    /// Where the last frame with a collapse id stands that may still be taken out.
    ///
    /// - Parameters:
    ///   - collapse: the id.
    ///   - keptBytes: as in `removeUnstarted`.
    /// - Returns: its place, the first being 0; nil when there is none.
    func place(of collapse: CollapseID, keeping keptBytes: Int = 0) -> Int? {
        var firstFree = 0
        var before = (first?.byteCount ?? 0) - Int(firstSent)
        while before < keptBytes, firstFree < ring.count {
            before += ring.frame(firstFree).pointee.byteCount
            firstFree += 1
        }
        if let offset = ring.lastOffset(of: collapse.rawValue, from: firstFree) { return 1 + offset }
        guard firstSent == 0, keptBytes == 0, first?.bytes.collapse == collapse.rawValue else { return nil }
        return 0
    }

    /// The memory that `remove` would free.
    func heldBytes(at place: Int) -> Int {
        let bytes = frame(place).byteCount + Self.frameOverheadBytes
        return isFollowed(place) ? bytes + Self.frameOverheadBytes : bytes
    }

    /// Takes a frame out of the queue, and its receipt with it.
    ///
    /// - Parameter place: what `place(of:keeping:)` answered, with nothing done to the queue in between.
    /// - Returns: whether it was followed, and by how many followed ones behind it.
    mutating func remove(at place: Int) -> OfferOutcome.Replacement {
        let isFollowed = isFollowed(place)
        take(place)
        guard isFollowed else { return .unfollowed }
        take(place)
        return .followed(behind: (place..<max(place, count)).count { frame($0).isReceipt })
    }

    /// A receipt stands right behind the frame it is about.
    private func isFollowed(_ place: Int) -> Bool { place + 1 < count && frame(place + 1).isReceipt }

    private func frame(_ place: Int) -> OutboundFrame {
        if place == 0, let first { first } else { ring.frame(place - 1).pointee }
    }

    private mutating func take(_ place: Int) {
        guard place > 0 else {
            byteCount -= first?.byteCount ?? 0
            first = ring.popFirst()
            return
        }
        byteCount -= ring.remove(place - 1)?.byteCount ?? 0
    }
}
