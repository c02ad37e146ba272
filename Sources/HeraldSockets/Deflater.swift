import CZlib

/// zlib's deflate for the messages of RFC 7692.
///
/// Owns the stream, at one address for life: zlib remembers it.
struct Deflater: ~Copyable {
    private let stream: UnsafeMutablePointer<z_stream>

    /// Four bytes that end each flush and are left away (RFC 7692, 7.2.1).
    private static let tailBytes = 4
    /// Of 2^(memory level + 9) bytes for what is being encoded; 8 is zlib's default.
    private static let memoryLevel: Int32 = 8

    /// - Parameters:
    ///   - windowBits: 8 to 15. zlib has no raw window of 8 bits: deflateInit2 takes 9 without a word, and a strict
    ///     peer then meets distances beyond what was agreed on. So 8 looks back by one byte only (Z_RLE).
    ///   - level: 1 to 9.
    init(windowBits: Int, level: Int) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let strategy = windowBits == 8 ? Z_RLE : Z_DEFAULT_STRATEGY
        let bits = Int32(max(windowBits, 9))
        let result = czlib_deflate_init(stream, Int32(level), bits, Self.memoryLevel, strategy)
        precondition(result == Z_OK, "no memory for a deflater")
    }

    deinit {
        deflateEnd(stream)
        stream.deallocate()
    }

    /// Forgets the messages before.
    func reset() {
        deflateReset(stream)
    }

    /// Puts one whole message, compressed, at the beginning of `output`.
    func deflate(_ message: UnsafeRawBufferPointer, into output: inout DeflateBuffer) {
        output.count = 0
        let bound = Int(deflateBound(stream, UInt(message.count))) + 2 * Self.tailBytes
        output.reserve(bound)
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: message.baseAddress?.assumingMemoryBound(to: UInt8.self)
        )
        stream.pointee.avail_in = UInt32(message.count)
        repeat {
            if output.count == output.capacity { output.grow(upTo: output.capacity * 2) }
            let room = output.capacity - output.count
            stream.pointee.next_out = (output.base + output.count).assumingMemoryBound(to: UInt8.self)
            stream.pointee.avail_out = UInt32(clamping: room)
            let result = CZlib.deflate(stream, Z_SYNC_FLUSH)
            // Z_BUF_ERROR: nothing new since the last flush, so nothing comes.
            precondition(result == Z_OK || result == Z_BUF_ERROR, "deflate takes any bytes")
            output.count += room - Int(stream.pointee.avail_out)
        } while stream.pointee.avail_out == 0
        // An empty message after another one flushes nothing; it is a block of nothing without its tail (7.2.3.6).
        guard output.count > Self.tailBytes else {
            output.base.storeBytes(of: 0, as: UInt8.self)
            output.count = 1
            return
        }
        output.count -= Self.tailBytes
    }
}
