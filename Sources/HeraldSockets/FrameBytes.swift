import Synchronization

/// Owns the bytes of a frame, and is one block on the heap with them: filled by whoever made it, freed with the last
/// reference. As two blocks a frame would cost an allocation and 40 bytes more.
///
/// A message that goes to sockets that compress has twins: the same message compressed, one for each window its
/// sockets agreed on. They are made when first asked for, by whichever loop is first, hang on the plain frame as a
/// chain of eight at most, and live as long as it does. A frame that nobody wants compressed pays a null reference.
///
/// The elements: the chain's next reference, the frame, the collapse id if there is one. All but the chain is
/// constant, and the frame is written only by the function that made the object, before it hands it on. The chain
/// grows at its end only, by an atomic store.
final class FrameBytes: ManagedBuffer<FrameFacts, UInt64> {
    private typealias Next = AtomicLazyReference<FrameBytes>

    /// Its bytes are still to be written.
    ///
    /// `windowBits`: of a twin, the window for which it was compressed.
    static func make(count: Int, windowBits: Int = 0, policy: FramePolicy = .wait) -> FrameBytes {
        precondition(count <= Int(UInt32.max), "a frame stays below 4 GiB")
        let word = MemoryLayout<UInt64>.size
        let words = 1 + (count + word - 1) / word + (policy.collapse == nil ? 0 : 1)
        let made = create(minimumCapacity: words) { _ in
            FrameFacts(
                count: UInt32(count),
                windowBits: UInt8(windowBits),
                isDroppable: policy.isDroppable,
                hasCollapse: policy.collapse != nil
            )
        }
        let bytes = unsafeDowncast(made, to: FrameBytes.self)
        bytes.next.initialize(to: Next())
        if let collapse = policy.collapse {
            (bytes.base + count).storeBytes(of: collapse.rawValue, as: UInt64.self)
        }
        return bytes
    }

    deinit {
        next.deinitialize(count: 1)
    }

    var base: UnsafeMutableRawPointer {
        withUnsafeMutablePointerToElements { UnsafeMutableRawPointer($0 + 1) }
    }
    var count: Int { Int(facts.count) }

    /// The collapse id, which stands behind the frame, so that others pay nothing for it; 0 when there is none.
    var collapse: UInt64 {
        facts.hasCollapse ? base.loadUnaligned(fromByteOffset: count, as: UInt64.self) : 0
    }
    var isDroppable: Bool { facts.isDroppable }
    var hasPolicy: Bool { facts.hasCollapse || facts.isDroppable }
    var policy: FramePolicy {
        FramePolicy(collapse: CollapseID(rawValue: collapse), isDroppable: isDroppable)
    }

    /// Not `header`, each access of which is checked for being exclusive.
    private var facts: FrameFacts { withUnsafeMutablePointerToHeader { $0.pointee } }
    private var next: UnsafeMutablePointer<Next> {
        withUnsafeMutablePointerToElements {
            UnsafeMutableRawPointer($0).assumingMemoryBound(to: Next.self)
        }
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
        while let twin = last.next.pointee.load() {
            if Int(twin.facts.windowBits) == windowBits { return twin.count == 0 ? self : twin }
            last = twin
        }
        let made = make(self)
        while true {
            let twin = last.next.pointee.storeIfNil(made)
            if Int(twin.facts.windowBits) == windowBits { return twin.count == 0 ? self : twin }
            last = twin
        }
    }
}

/// What is known of a frame beside its bytes.
struct FrameFacts {
    let count: UInt32
    /// 0 for a plain frame.
    let windowBits: UInt8
    let isDroppable: Bool
    let hasCollapse: Bool
}
