import CZlib
import Testing

@testable import HeraldSockets

/// zlib as it is used for messages: the RFC's own examples, what is broken, what is too large.
@Suite struct DeflateTests {
    /// Inflates the messages one after the other, with the memory of those before.
    private func inflate(_ messages: [[UInt8]], bytesMax: Int = 1000) -> [String] {
        var inflater = Inflater(windowBits: 15)
        var buffer = DeflateBuffer()
        return messages.map { message in
            switch message.withUnsafeBytes({ inflater.inflate($0, into: &buffer, bytesMax: bytesMax) }) {
            case .whole: String(decoding: buffer.bytes, as: UTF8.self)
            case .invalid: "invalid"
            case .tooBig: "too big, \(buffer.count)"
            }
        }
    }

    private func deflate(_ message: [UInt8], _ deflater: borrowing Deflater) -> [UInt8] {
        var buffer = DeflateBuffer()
        message.withUnsafeBytes { deflater.deflate($0, into: &buffer) }
        return Array(buffer.bytes)
    }

    static let hello: [UInt8] = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00]

    @Test(arguments: [
        ([hello], ["Hello"]),
        ([hello, [0xF2, 0x00, 0x11, 0x00, 0x00]], ["Hello", "Hello"]),
        ([[0x00, 0x05, 0x00, 0xFA, 0xFF, 0x48, 0x65, 0x6C, 0x6C, 0x6F, 0x00]], ["Hello"]),
        ([[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00, 0x00], hello], ["Hello", "Hello"]),
        ([[0xF2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xFF, 0xFF, 0xCA, 0xC9, 0xC9, 0x07, 0x00]], ["Hello"]),
        ([[0x00], [0x02, 0x00], [0x00]], ["", "", ""]),
        // A final block with nothing behind it, and the memory that lasts beyond it.
        (
            [[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00], [0xF2, 0x00, 0x11, 0x00, 0x00]], ["Hello", "Hello"]
        ),
        // Two streams in one message.
        ([[0xF3, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00] + hello], ["HelloHello"]),
    ])
    func `the RFC's examples are read`(messages: [[UInt8]], texts: [String]) {
        #expect(inflate(messages) == texts)
    }

    @Test(arguments: [
        // A block type that does not exist, a distance into nothing, a stored block whose lengths disagree.
        [0x06], [0xF2, 0x00, 0x11, 0x00, 0x00], [0x00, 0x05, 0x00, 0x00, 0x00],
        // Nothing at all: an empty message is a block of nothing.
        [],
        // Cut inside a block of codes, and inside a stored one.
        [0xF2, 0x48, 0xCD], [0x00, 0x50, 0x00, 0xAF, 0xFF, 0x48],
    ])
    func `what is no deflate data is invalid`(message: [UInt8]) {
        #expect(inflate([message]) == ["invalid"])
    }

    @Test func `a bomb stops one byte beyond the limit`() {
        let bomb = deflate([UInt8](repeating: 0, count: 10 << 20), Deflater(windowBits: 15, level: 9))
        #expect(bomb.count < 11_000)
        #expect(inflate([bomb], bytesMax: 65_536) == ["too big, 65537"])
        #expect(inflate([bomb], bytesMax: (10 << 20) - 1) == ["too big, \(10 << 20)"])
        #expect(inflate([bomb], bytesMax: 10 << 20)[0].utf8.count == 10 << 20)
    }

    @Test(arguments: 8...15)
    func `every window is kept to`(bits: Int) {
        // Repeats at distances inside and outside of each window.
        var generator = SystemRandomNumberGenerator()
        let piece = (0..<40).map { _ in UInt8.random(in: 0...255, using: &generator) }
        var message: [UInt8] = []
        for distance in [60, 250, 270, 500, 600, 5000, 33_000] {
            message += piece + [UInt8](repeating: 0x20, count: distance)
        }
        for level in [1, 6, 9] {
            let deflater = Deflater(windowBits: bits, level: level)
            let compressed = deflate(message, deflater) + [0, 0, 0xFF, 0xFF]
            // zlib refuses what reaches beyond the window that it was told.
            var stream = z_stream()
            #expect(czlib_inflate_init(&stream, Int32(bits)) == Z_OK)
            var input = compressed
            var output = [UInt8](repeating: 0, count: message.count + 1)
            let result = input.withUnsafeMutableBufferPointer { input in
                output.withUnsafeMutableBufferPointer { output in
                    stream.next_in = input.baseAddress
                    stream.avail_in = UInt32(input.count)
                    stream.next_out = output.baseAddress
                    stream.avail_out = UInt32(output.count)
                    return CZlib.inflate(&stream, Z_SYNC_FLUSH)
                }
            }
            inflateEnd(&stream)
            #expect(result == Z_OK && Array(output.dropLast()) == message)
        }
    }

    @Test func `messages come back, one after the other, with and without memory`() {
        let texts = ["", "", "a", "", String(repeating: "a", count: 70_000), "a"]
        let remembering = Deflater(windowBits: 15, level: 6)
        #expect(inflate(texts.map { deflate(Array($0.utf8), remembering) }, bytesMax: 70_000) == texts)
        let forgetting = Deflater(windowBits: 15, level: 6)
        for text in texts {
            let compressed = deflate(Array(text.utf8), forgetting)
            forgetting.reset()
            #expect(inflate([compressed], bytesMax: 70_000) == [text])
        }
    }

    @Test func `a large message leaves no large buffer`() {
        var buffer = DeflateBuffer()
        buffer.reserve(10 << 20)
        buffer.count = 10 << 20
        buffer.trim()
        #expect(buffer.capacity < 1 << 20 && buffer.count == 0)
    }

    // MARK: Frames

    private func twinned(_ frame: OutboundFrame, _ loop: inout LoopDeflate, bits: Int) -> OutboundFrame {
        let agreement = DeflateAgreement(
            serverWindowBits: bits,
            clientWindowBits: 15,
            serverTakesOver: false,
            clientTakesOver: false
        )
        return loop.frame(frame, slot: 0, agreement)
    }

    @Test func `a message is compressed once for each window, whoever asks`() {
        var first = LoopDeflate(settings: .init())
        var second = LoopDeflate(settings: .init())
        let frame = OutboundFrame.text(String(repeating: "hello ", count: 1000))
        let twin = twinned(frame, &first, bits: 15)
        #expect(twin.bytes !== frame.bytes && twin.byteCount < 100)
        #expect(twin.bytes.base.load(as: UInt8.self) == 0xC1)
        #expect(inflate([Array(twin.bytes.payload)], bytesMax: 6000)[0].utf8.count == 6000)
        #expect(twinned(frame, &second, bits: 15).bytes === twin.bytes)
        let other = twinned(frame, &second, bits: 9)
        #expect(other.bytes !== twin.bytes)
        #expect(twinned(frame, &first, bits: 9).bytes === other.bytes)
        #expect(twinned(frame, &first, bits: 15).bytes === twin.bytes)
    }

    @Test func `what does not get smaller goes as it is, and is not tried again`() {
        var loop = LoopDeflate(settings: .init())
        let frame = OutboundFrame.binary((0..<2000).map { _ in UInt8.random(in: 0...255) })
        for _ in 0..<2 { #expect(twinned(frame, &loop, bits: 15).bytes === frame.bytes) }
    }

    // MARK: Reading

    @Test func `a compressed message is handed out as it came, wherever it is cut`() {
        let hello = Self.hello
        let bytes =
            ClientFrame.frame(first: 0xC1, hello) + ClientFrame.frame(first: 0x41, Array(hello[..<3]))
            + ClientFrame.ping("p") + ClientFrame.more(Array(hello[3...]), isFinal: true)
            + ClientFrame.text("plain")
        let wanted: [Said] = [.deflated(hello), .ping("p"), .deflated(hello), .text("plain")]
        for cut in 0...bytes.count {
            let pieces = [Array(bytes[..<cut]), Array(bytes[cut...])]
            #expect(Said.transcript(pieces, allowsDeflate: true).said == wanted)
        }
        #expect(Said.transcript([bytes]).said == [.violation(.reservedBits)])
    }

    @Test(arguments: [UInt8(0xC8), 0xC9, 0xCA, 0xC0, 0x40, 0xA1, 0x91])
    func `only the first frame of a message may say that it is compressed`(first: UInt8) {
        let start = first & 0x0F == 0 ? ClientFrame.frame(first: 0x41, [0xF2]) : []
        let said = Said.transcript([start + ClientFrame.frame(first: first, [])], allowsDeflate: true).said
        #expect(said == [.violation(.reservedBits)])
    }

    @Test func `compressed bytes are bounded too, with room for what cannot be compressed`() {
        let header: (Int) -> [UInt8] = { Array(ClientFrame.zeros(count: $0, first: 0xC2).prefix(14)) }
        let fits = Said.transcript([header(90_064)], messageBytesMax: 80_000, allowsDeflate: true)
        #expect(fits.said.isEmpty)
        let over = Said.transcript([header(90_065)], messageBytesMax: 80_000, allowsDeflate: true)
        #expect(over.said == [.violation(.messageTooBig)])
    }
}
