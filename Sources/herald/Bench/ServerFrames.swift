/// Takes apart what a server sends after the upgrade: unmasked frames, each whole (RFC 6455 §5.2).
enum ServerFrames {
    enum Opcode {
        static let text: UInt8 = 1
        static let close: UInt8 = 8
        static let ping: UInt8 = 9
    }

    /// A server's frame that this client does not take: fragmented, compressed, masked, or of 16 MiB and more.
    struct Unexpected: Error {}

    static let payloadBytesMax = 16 << 20

    /// Calls the body with each whole frame.
    ///
    /// - Returns: the bytes of whole frames; what follows them is the beginning of another.
    @inline(__always)
    static func forEach(
        in bytes: UnsafeRawBufferPointer,
        _ body: (_ opcode: UInt8, _ payload: UnsafeRawBufferPointer) -> Void
    ) throws(Unexpected) -> Int {
        var start = 0
        while start + 2 <= bytes.count {
            let (first, second) = (bytes[start], bytes[start + 1])
            guard first & 0xF0 == 0x80, second & 0x80 == 0 else { throw Unexpected() }
            var header = 2
            var count = Int(second)
            if count >= 126 {
                header = count == 126 ? 4 : 10
                guard start + header <= bytes.count else { return start }
                count = 0
                for index in start + 2..<start + header { count = count << 8 | Int(bytes[index]) }
                guard (0...payloadBytesMax).contains(count) else { throw Unexpected() }
            }
            guard start + header + count <= bytes.count else { return start }
            body(
                first & 0x0F,
                UnsafeRawBufferPointer(rebasing: bytes[start + header..<start + header + count])
            )
            start += header + count
        }
        return start
    }

    /// A pong, as clients send it: with a mask, which may be zero.
    static func pong(_ payload: UnsafeRawBufferPointer) -> [UInt8] {
        [0x8A, 0x80 | UInt8(payload.count & 0x7F), 0, 0, 0, 0] + payload
    }
}
