import CZlib

/// zlib's inflate for the messages of RFC 7692, with a bound on what comes out.
///
/// Owns the stream, at one address for life: zlib remembers it.
struct Inflater: ~Copyable {
    private let stream: UnsafeMutablePointer<z_stream>
    /// A final block was read, and nothing after it.
    private var hasEnded = false

    /// What became of a message.
    enum Outcome: Equatable {
        /// All of it is in the buffer.
        case whole
        /// It is no deflate data, or it ends inside a block.
        case invalid
        /// It is larger than allowed: no more than one byte beyond that was inflated.
        case tooBig
    }

    /// What the sender leaves away at the end of each message (RFC 7692, 7.2.1): an empty block without its first
    /// three bits.
    private static let tail: [UInt8] = [0x00, 0x00, 0xFF, 0xFF]

    /// - Parameter windowBits: 8 to 15, at least what the sender uses.
    init(windowBits: Int) {
        stream = .allocate(capacity: 1)
        stream.initialize(to: z_stream())
        let result = czlib_inflate_init(stream, Int32(windowBits))
        precondition(result == Z_OK, "no memory for an inflater")
    }

    deinit {
        inflateEnd(stream)
        stream.deallocate()
    }

    /// Forgets the messages before.
    mutating func reset() {
        inflateReset(stream)
        hasEnded = false
    }

    /// Inflates one whole message to the beginning of `output`. After any other outcome than `whole` the inflater is
    /// spent until it is reset.
    mutating func inflate(
        _ message: UnsafeRawBufferPointer,
        into output: inout DeflateBuffer,
        bytesMax: Int
    ) -> Outcome {
        output.count = 0
        if let failure = feed(message, Z_SYNC_FLUSH, &output, bytesMax) { return failure }
        // A sender may end with a final block (7.2.3.4), and with nothing after it: no block is to be completed.
        if hasEnded { return .whole }
        let failure = Self.tail.withUnsafeBytes { feed($0, Z_BLOCK, &output, bytesMax) }
        if let failure { return failure }
        return hasEnded || isBetweenBlocks ? .whole : .invalid
    }

    /// zlib says so in the data type when it has stopped for Z_BLOCK (zlib.h, inflate).
    private var isBetweenBlocks: Bool { stream.pointee.data_type & 128 != 0 }

    /// Uses up all of `input`.
    ///
    /// - Returns: nil when there was nothing wrong with it.
    private mutating func feed(
        _ input: UnsafeRawBufferPointer,
        _ flush: Int32,
        _ output: inout DeflateBuffer,
        _ bytesMax: Int
    ) -> Outcome? {
        // zlib's interface is from before const; it does not write there.
        stream.pointee.next_in = UnsafeMutablePointer(
            mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        )
        stream.pointee.avail_in = UInt32(input.count)
        while true {
            if hasEnded {
                guard stream.pointee.avail_in > 0 else { return nil }
                // What follows a final block is a new stream with the old window. Each takes at least a byte.
                inflateResetKeep(stream)
                hasEnded = false
            }
            if output.count == output.capacity { output.grow(upTo: bytesMax + 1) }
            let room = min(output.capacity, bytesMax + 1) - output.count
            stream.pointee.next_out = (output.base + output.count).assumingMemoryBound(to: UInt8.self)
            stream.pointee.avail_out = UInt32(room)
            let result = CZlib.inflate(stream, flush)
            output.count += room - Int(stream.pointee.avail_out)
            guard output.count <= bytesMax else { return .tooBig }
            switch result {
            case Z_STREAM_END: hasEnded = true
            case Z_OK, Z_BUF_ERROR:
                // With room left it has stopped for want of input, or at the block's end that was asked for.
                if stream.pointee.avail_in == 0,
                    stream.pointee.avail_out > 0 || (flush == Z_BLOCK && isBetweenBlocks)
                {
                    return nil
                }
                if result == Z_BUF_ERROR, stream.pointee.avail_out > 0 { return .invalid }
            default: return .invalid
            }
        }
    }
}
