import Glibc

/// Bytes kept from one read to the next: the beginning of something unfinished.
///
/// Owns its memory, which exists only while there is something in it; 16 bytes otherwise.
struct ByteSpill: ~Copyable {
    private var base: UnsafeMutableRawPointer?
    private var used: UInt32 = 0
    private var capacity: UInt32 = 0

    init() {}

    deinit {
        free(base)
    }

    var count: Int { Int(used) }

    /// What has been kept so far.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: Int(used)) }

    /// Grows by doubling, so a peer that announces much and sends little holds little.
    mutating func append(_ more: UnsafeRawBufferPointer) {
        guard let source = more.baseAddress, !more.isEmpty else { return }
        let total = Int(used) + more.count
        if total > Int(capacity) {
            let wanted = max(total, min(Int(capacity) * 2, Int(UInt32.max)), 64)
            precondition(wanted <= Int(UInt32.max), "what is kept of one socket stays below 4 GiB")
            let grown = realloc(base, wanted)
            precondition(grown != nil, "no memory for \(wanted) bytes")
            base = grown
            capacity = UInt32(wanted)
        }
        base?.advanced(by: Int(used)).copyMemory(from: source, byteCount: more.count)
        used = UInt32(total)
    }

    /// Forgets what was appended beyond the first `count` bytes; the memory too when nothing is left.
    mutating func truncate(to count: Int) {
        precondition(count <= Int(used), "truncating does not lengthen")
        used = UInt32(count)
        if count == 0 { removeAll() }
    }

    mutating func removeAll() {
        free(base)
        base = nil
        used = 0
        capacity = 0
    }
}
