import Synchronization

/// Owns the bytes of a frame: allocated here, filled by whoever made it, freed with the last reference.
///
/// A message that goes to sockets that compress has twins: the same message compressed, one for each window its
/// sockets agreed on. They are made when first asked for, by whichever loop is first, hang on the plain frame as a
/// chain of eight at most, and live as long as it does. A frame that nobody wants compressed pays a null reference.
///
// Safe because all but the chain is constant, and the bytes are written only by the function that made the
// object, before it hands it on. The chain grows at its end only, by an atomic store.
final class FrameBytes: @unchecked Sendable {
    let base: UnsafeMutableRawPointer
    private let size: UInt32
    /// Of a twin: the window for which it was compressed. 0 for a plain frame.
    private let windowBits: UInt8
    let isDroppable: Bool
    private let hasCollapse: Bool
    private let next = AtomicLazyReference<FrameBytes>()

    init(capacity: Int, windowBits: Int = 0, policy: FramePolicy = .wait) {
        precondition(capacity <= Int(UInt32.max), "a frame stays below 4 GiB")
        let tail = policy.collapse == nil ? 0 : MemoryLayout<UInt64>.size
        base = .allocate(byteCount: max(capacity + tail, 1), alignment: 1)
        size = UInt32(capacity)
        self.windowBits = UInt8(windowBits)
        isDroppable = policy.isDroppable
        hasCollapse = policy.collapse != nil
        if let collapse = policy.collapse {
            (base + capacity).storeBytes(of: collapse.rawValue, as: UInt64.self)
        }
    }

    deinit {
        base.deallocate()
    }

    var count: Int { Int(size) }

    /// The collapse id, which stands behind the frame, so that others pay nothing for it; 0 when there is none.
    var collapse: UInt64 { hasCollapse ? base.loadUnaligned(fromByteOffset: count, as: UInt64.self) : 0 }
    var hasPolicy: Bool { hasCollapse || isDroppable }
    var policy: FramePolicy {
        FramePolicy(collapse: CollapseID(rawValue: collapse), isDroppable: isDroppable)
    }

    /// What stands in the first byte; of a whole frame only.
    var opcode: Opcode { Opcode(rawValue: base.load(as: UInt8.self) & 0x0F) ?? .binary }

    /// What follows the header; of a whole frame only.
    var payload: UnsafeRawBufferPointer {
        let header =
            switch base.load(fromByteOffset: 1, as: UInt8.self) {
            case 126: 4
            case 127: 10
            default: 2
            }
        return UnsafeRawBufferPointer(start: base + header, count: count - header)
    }

    /// This message for sockets with that window: its twin, or itself when its twin is empty, which says that
    /// compressing gains nothing.
    ///
    /// - Parameters:
    ///   - windowBits: 8 to 15.
    ///   - make: called when there is no such twin yet. Two loops may both call theirs; one result is dropped.
    /// - Returns: what to send.
    func twin(windowBits: Int, _ make: (FrameBytes) -> FrameBytes) -> FrameBytes {
        var last = self
        while let twin = last.next.load() {
            if Int(twin.windowBits) == windowBits { return twin.count == 0 ? self : twin }
            last = twin
        }
        let made = make(self)
        while true {
            let twin = last.next.storeIfNil(made)
            if Int(twin.windowBits) == windowBits { return twin.count == 0 ? self : twin }
            last = twin
        }
    }
}
