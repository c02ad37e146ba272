/// All of zlib that one loop holds: shared by its sockets wherever they do not take over their context.
///
/// There is none in an engine that does not compress, and nothing of zlib in it before a socket needs it. Owns
/// everything in it; freed with the loop, a connection's own context with the connection.
struct LoopDeflate: ~Copyable {
    let settings: DeflateSettings
    /// What the last `inflate` made.
    private(set) var inflated = DeflateBuffer()
    /// What has been inflated of the present read.
    var inflatedBytesOfRead = 0
    private var deflated = DeflateBuffer()
    private var inflater: Inflater?
    /// By window bits.
    private var deflaters: [Int: SharedDeflater] = [:]
    /// By slot: only connections with a context of their own are in it.
    private var contexts: [Int: Context] = [:]

    /// A deflater in a dictionary, which takes no noncopyable values.
    private final class SharedDeflater {
        let deflater: Deflater

        init(windowBits: Int, level: Int) {
            deflater = Deflater(windowBits: windowBits, level: level)
        }
    }

    /// What one connection's messages leave behind for the next.
    private final class Context {
        var inflater: Inflater?
        var deflater: Deflater?
    }

    init(settings: DeflateSettings) {
        self.settings = settings
    }

    /// Inflates a message of a client's into `inflated`.
    mutating func inflate(
        _ message: UnsafeRawBufferPointer,
        slot: Int,
        _ agreement: DeflateAgreement,
        bytesMax: Int
    ) -> Inflater.Outcome {
        defer { inflatedBytesOfRead += inflated.count }
        if agreement.clientTakesOver {
            let context = context(slot)
            if context.inflater == nil { context.inflater = Inflater(windowBits: agreement.clientWindowBits) }
            return context.inflater?.inflate(message, into: &inflated, bytesMax: bytesMax) ?? .invalid
        }
        // One for all windows: the largest reads what any smaller one wrote.
        if inflater == nil { inflater = Inflater(windowBits: 15) }
        inflater?.reset()
        return inflater?.inflate(message, into: &inflated, bytesMax: bytesMax) ?? .invalid
    }

    /// The message has been handed on.
    mutating func trim() {
        inflated.trim()
    }

    /// The frame as it goes to this socket.
    mutating func frame(
        _ plain: borrowing OutboundFrame,
        slot: Int,
        _ agreement: DeflateAgreement
    ) -> OutboundFrame {
        if agreement.serverTakesOver {
            let context = context(slot)
            if context.deflater == nil {
                context.deflater = Deflater(windowBits: agreement.serverWindowBits, level: settings.level)
            }
            context.deflater?.deflate(plain.bytes.payload, into: &deflated)
            return OutboundFrame(bytes: finish(plain.bytes, windowBits: agreement.serverWindowBits))
        }
        let bits = agreement.serverWindowBits
        return OutboundFrame(bytes: plain.bytes.twin(windowBits: bits) { compress($0, windowBits: bits) })
    }

    /// The connection is over.
    mutating func forget(slot: Int) {
        contexts[slot] = nil
    }

    /// - Returns: the compressed frame, or an empty one when compressing does not make it smaller.
    private mutating func compress(_ plain: FrameBytes, windowBits: Int) -> FrameBytes {
        let shared = deflaters[windowBits] ?? SharedDeflater(windowBits: windowBits, level: settings.level)
        deflaters[windowBits] = shared
        shared.deflater.deflate(plain.payload, into: &deflated)
        shared.deflater.reset()
        if deflated.count >= plain.payload.count { deflated.count = 0 }
        return finish(plain, windowBits: windowBits)
    }

    private mutating func finish(_ plain: FrameBytes, windowBits: Int) -> FrameBytes {
        defer { deflated.trim() }
        guard deflated.count > 0 else { return .make(count: 0, windowBits: windowBits) }
        let header = FrameHeader.outboundBytes(payloadBytes: deflated.count)
        let bytes = FrameBytes.make(
            count: header + deflated.count,
            windowBits: windowBits,
            policy: plain.policy
        )
        FrameHeader.write(
            opcode: plain.opcode,
            payloadBytes: deflated.count,
            isDeflated: true,
            to: bytes.base
        )
        (bytes.base + header).copyMemory(from: deflated.base, byteCount: deflated.count)
        return bytes
    }

    private mutating func context(_ slot: Int) -> Context {
        if let context = contexts[slot] { return context }
        let context = Context()
        contexts[slot] = context
        return context
    }
}
