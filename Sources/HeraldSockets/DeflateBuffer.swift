/// Where zlib writes: memory of a loop that grows as far as it must and is used over and over.
///
/// Owns its memory. What a single large message made of it is given back by `trim`.
struct DeflateBuffer: ~Copyable {
    private(set) var base = UnsafeMutableRawPointer.allocate(byteCount: Self.startBytes, alignment: 16)
    private(set) var capacity = Self.startBytes
    var count = 0

    private static let startBytes = 16 * 1024
    /// What is kept between two messages at most: four default limits of a message.
    private static let keptBytesMax = 256 * 1024

    init() {}

    deinit {
        base.deallocate()
    }

    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }

    /// Makes room for so many bytes in all; what is there stays.
    mutating func reserve(_ total: Int) {
        guard total > capacity else { return }
        resize(to: total)
    }

    /// Doubles, up to a bound.
    mutating func grow(upTo bound: Int) {
        resize(to: min(capacity * 2, bound))
    }

    mutating func trim() {
        count = 0
        if capacity > Self.keptBytesMax { resize(to: Self.startBytes) }
    }

    private mutating func resize(to total: Int) {
        let other = UnsafeMutableRawPointer.allocate(byteCount: total, alignment: 16)
        other.copyMemory(from: base, byteCount: min(count, total))
        base.deallocate()
        base = other
        capacity = total
    }
}
