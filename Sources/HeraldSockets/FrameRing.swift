/// The frames of a queue behind its first: a growing ring in one block on the heap, which is freed when it is empty.
///
/// Once a frame with a collapse id was put in, the ring also holds each frame's mark, in an array of its own: to
/// find an id among thousands of frames is then a walk over 8 bytes each instead of an access to each frame. A ring
/// that never sees such a frame has no marks. Considered: an index by id; it has to be mended whenever a frame is
/// taken out of the middle, and the walk over 5,000 marks takes 1.4 µs, a replacement among them 3 to 4.
///
/// Owns the block, the marks and its references to the frames.
struct FrameRing: ~Copyable {
    private struct Header {
        var marks: UnsafeMutablePointer<UInt64>?
        var head: UInt32 = 0
        var count: UInt32 = 0
        var capacity: UInt32
    }

    /// nil: empty. The frames stand behind the header.
    private var header: UnsafeMutablePointer<Header>?

    init() {}

    deinit {
        guard let header else { return }
        for offset in 0..<count { frame(offset).deinitialize(count: 1) }
        header.pointee.marks?.deallocate()
        UnsafeMutableRawPointer(header).deallocate()
    }

    var count: Int { Int(header?.pointee.count ?? 0) }
    var isEmpty: Bool { header == nil }

    /// Where a frame lies, until the ring is changed; `offset` counts from the oldest.
    func frame(_ offset: Int) -> UnsafeMutablePointer<OutboundFrame> {
        guard let header else { preconditionFailure("an empty ring has no frames") }
        return frames(header) + index(offset, header)
    }

    mutating func append(_ frame: OutboundFrame) {
        let mark = frame.bytes.collapse
        if header == nil || header?.pointee.count == header?.pointee.capacity { grow() }
        guard let header else { return }
        if mark != 0, header.pointee.marks == nil { makeMarks(header) }
        let place = index(Int(header.pointee.count), header)
        if let marks = header.pointee.marks { marks[place] = mark }
        (frames(header) + place).initialize(to: frame)
        header.pointee.count += 1
    }

    mutating func popFirst() -> OutboundFrame? {
        guard let header else { return nil }
        let frame = (frames(header) + Int(header.pointee.head)).move()
        header.pointee.head = (header.pointee.head + 1) & (header.pointee.capacity - 1)
        shrink(header)
        return frame
    }

    mutating func popLast() -> OutboundFrame? {
        guard let header else { return nil }
        let frame = frame(count - 1).move()
        shrink(header)
        return frame
    }

    /// Takes a frame out of the middle; those behind it move up.
    mutating func remove(_ offset: Int) -> OutboundFrame? {
        guard let header, offset < count else { return nil }
        let removed = frame(offset).move()
        for later in (offset + 1)..<max(count, offset + 1) {
            frame(later - 1).moveInitialize(from: frame(later), count: 1)
            if let marks = header.pointee.marks {
                marks[index(later - 1, header)] = marks[index(later, header)]
            }
        }
        shrink(header)
        return removed
    }

    /// The last frame with that collapse id, if it is not before `first`.
    func lastOffset(of collapse: UInt64, from first: Int) -> Int? {
        guard let header, let marks = header.pointee.marks else { return nil }
        let mask = header.pointee.capacity - 1
        var offset = header.pointee.count
        while offset > UInt32(first) {
            offset -= 1
            if marks[Int((header.pointee.head &+ offset) & mask)] == collapse { return Int(offset) }
        }
        return nil
    }

    private func frames(_ header: UnsafeMutablePointer<Header>) -> UnsafeMutablePointer<OutboundFrame> {
        (UnsafeMutableRawPointer(header) + MemoryLayout<Header>.stride)
            .assumingMemoryBound(to: OutboundFrame.self)
    }

    private func index(_ offset: Int, _ header: UnsafeMutablePointer<Header>) -> Int {
        Int((header.pointee.head &+ UInt32(truncatingIfNeeded: offset)) & (header.pointee.capacity - 1))
    }

    private mutating func shrink(_ header: UnsafeMutablePointer<Header>) {
        header.pointee.count -= 1
        guard header.pointee.count == 0 else { return }
        header.pointee.marks?.deallocate()
        UnsafeMutableRawPointer(header).deallocate()
        self.header = nil
    }

    private mutating func grow() {
        let capacity = max(4, (header?.pointee.capacity ?? 0) * 2)
        let grown = UnsafeMutableRawPointer.allocate(
            byteCount: MemoryLayout<Header>.stride + Int(capacity) * MemoryLayout<OutboundFrame>.stride,
            alignment: MemoryLayout<Header>.alignment
        ).bindMemory(to: Header.self, capacity: 1)
        grown.initialize(to: Header(capacity: capacity))
        defer { header = grown }
        guard let header else { return }
        let count = Int(header.pointee.count)
        for offset in 0..<count {
            (frames(grown) + offset).moveInitialize(from: frame(offset), count: 1)
        }
        grown.pointee.count = UInt32(count)
        if let marks = header.pointee.marks {
            let moved = UnsafeMutablePointer<UInt64>.allocate(capacity: Int(capacity))
            for offset in 0..<count { (moved + offset).initialize(to: marks[index(offset, header)]) }
            grown.pointee.marks = moved
            marks.deallocate()
        }
        UnsafeMutableRawPointer(header).deallocate()
    }

    /// Frames that came before have no id.
    private func makeMarks(_ header: UnsafeMutablePointer<Header>) {
        let marks = UnsafeMutablePointer<UInt64>.allocate(capacity: Int(header.pointee.capacity))
        marks.initialize(repeating: 0, count: Int(header.pointee.capacity))
        header.pointee.marks = marks
    }
}
