import Testing

@testable import HeraldSockets

/// What one client says to an echo server, and everything it must be told before the connection ends.
struct EchoCase: Sendable, CustomTestStringConvertible {
    enum Told: Sendable, Equatable {
        case text(String)
        case binary([UInt8])
        case pong(String)
        /// The close frame; nil when it has no code.
        case close(Int?)
    }

    var name: String
    var says: [UInt8]
    var told: [Told]

    var testDescription: String { name }

    init(_ name: String, _ says: [UInt8]..., told: Told...) {
        self.name = name
        self.says = says.flatMap(\.self)
        self.told = told
    }
}

/// The chapters of the well-known public suite (Autobahn) as cases of ours, over real sockets: each is sent in
/// one piece, in two at every kind of place, and byte by byte.
@Suite(.serialized, .timeLimit(.minutes(3))) struct ConformanceTests {
    // 1 Framing.
    static let framing = [
        EchoCase("1.1 empty text", ClientFrame.text(""), bye, told: .text(""), .close(1000)),
        EchoCase(
            "1.1 lengths round 125",
            ClientFrame.text(stars(125)),
            ClientFrame.text(stars(126)),
            ClientFrame.text(stars(127)),
            bye,
            told: .text(stars(125)),
            .text(stars(126)),
            .text(stars(127)),
            .close(1000)
        ),
        EchoCase("1.2 binary", ClientFrame.binary([0xFE, 0]), bye, told: .binary([0xFE, 0]), .close(1000)),
        EchoCase(
            "1.3 a length that is not minimal",
            ClientFrame.text("a"),
            [0x82, 0xFE, 0, 1] + ClientFrame.mask + ClientFrame.masked([7]),
            told: .text("a"),
            .close(1002)
        ),
        EchoCase(
            "1.3 a length with its top bit set",
            ClientFrame.text("a"),
            [0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 1] + ClientFrame.mask,
            told: .text("a"),
            .close(1002)
        ),
        EchoCase("1.3 no mask", [0x81, 1, 0x41], told: .close(1002)),
    ]

    // 2 Pings and pongs.
    static let pings = [
        EchoCase("2.1 without payload", ClientFrame.ping(), bye, told: .pong(""), .close(1000)),
        EchoCase(
            "2.4 with 125 bytes",
            ClientFrame.ping(stars(125)),
            bye,
            told: .pong(stars(125)),
            .close(1000)
        ),
        EchoCase(
            "2.5 with 126 bytes",
            ClientFrame.frame(first: 0x89, Array(stars(126).utf8)),
            told: .close(1002)
        ),
        EchoCase("2.7 unasked pongs", ClientFrame.pong(), ClientFrame.pong("x"), bye, told: .close(1000)),
        EchoCase(
            "2.9 a pong, then a ping",
            ClientFrame.pong("x"),
            ClientFrame.ping("y"),
            bye,
            told: .pong("y"),
            .close(1000)
        ),
    ]

    // 3 Reserved bits and 4 opcodes: nothing before the bad frame is lost.
    static let reserved = [UInt8(0x90), 0xA0, 0xB0, 0xC0, 0xD0, 0xE0, 0xF0].map { bits in
        EchoCase(
            "3 bits \(String(bits & 0x70, radix: 2))",
            ClientFrame.text("before"),
            ClientFrame.frame(first: bits | 0x1, [0x41]),
            ClientFrame.ping(),
            told: .text("before"),
            .close(1002)
        )
    }
    static let opcodes = [UInt8(0x3), 0x4, 0x5, 0x6, 0x7, 0xB, 0xC, 0xD, 0xE, 0xF].map { opcode in
        EchoCase(
            "4 opcode \(opcode)",
            ClientFrame.text("before"),
            ClientFrame.frame(first: 0x80 | opcode, [0x41]),
            ClientFrame.ping(),
            told: .text("before"),
            .close(1002)
        )
    }

    // 5 Fragments.
    static let fragments = [
        EchoCase("5.1 a ping in two", ClientFrame.frame(first: 0x09, []), told: .close(1002)),
        EchoCase("5.2 a pong in two", ClientFrame.frame(first: 0x0A, []), told: .close(1002)),
        EchoCase("5.3 two", part("a"), last("b"), bye, told: .text("ab"), .close(1000)),
        EchoCase(
            "5.6 a ping in between",
            part("a"),
            ClientFrame.ping("p"),
            last("b"),
            bye,
            told: .pong("p"),
            .text("ab"),
            .close(1000)
        ),
        EchoCase("5.9 an end without a start", last("x"), ClientFrame.text("y"), told: .close(1002)),
        EchoCase("5.14 a middle without a start", more("x"), told: .close(1002)),
        EchoCase("5.18 text within text", part("a"), ClientFrame.text("b"), told: .close(1002)),
        EchoCase(
            "5.19 five, pings between them",
            part("1"),
            more("2"),
            ClientFrame.ping("p"),
            more("3"),
            more("4"),
            ClientFrame.ping("q"),
            last("5"),
            bye,
            told: .pong("p"),
            .pong("q"),
            .text("12345"),
            .close(1000)
        ),
        EchoCase(
            "5 empty ones",
            part(""),
            more(""),
            more("x"),
            more(""),
            last(""),
            bye,
            told: .text("x"),
            .close(1000)
        ),
    ]

    // 6 UTF-8.
    static let characters = [
        EchoCase(
            "6.2 a character in three fragments",
            ClientFrame.frame(first: 0x01, [0xE2]),
            ClientFrame.more([0x82], isFinal: false),
            ClientFrame.more([0xAC], isFinal: true),
            bye,
            told: .text("€"),
            .close(1000)
        ),
        EchoCase(
            "6.3 bad, after a good echo",
            ClientFrame.text("ok"),
            ClientFrame.frame(first: 0x81, [0xCE, 0xBA, 0xED, 0xA0, 0x80, 0x41]),
            told: .text("ok"),
            .close(1007)
        ),
        EchoCase(
            "6.4 bad in a fragment that is not the last",
            ClientFrame.frame(first: 0x01, [0x41, 0xF4, 0x90]),
            told: .close(1007)
        ),
        EchoCase(
            "6.4 bad in a frame that is not whole",
            Array(
                ClientFrame.frame(first: 0x81, [0x41, 0xFF] + [UInt8](repeating: 0x41, count: 99)).prefix(8)
            ),
            told: .close(1007)
        ),
        EchoCase("6.6 cut at the end", ClientFrame.frame(first: 0x81, [0xCE]), told: .close(1007)),
        EchoCase(
            "6.22 the last code point, and a non-character",
            ClientFrame.text("\u{10FFFF}\u{FFFE}"),
            bye,
            told: .text("\u{10FFFF}\u{FFFE}"),
            .close(1000)
        ),
        EchoCase(
            "6 binary is not judged",
            ClientFrame.binary([0xFF]),
            bye,
            told: .binary([0xFF]),
            .close(1000)
        ),
    ]

    // 7 Closing.
    static let closing = [
        EchoCase("7.1 echoes come first", ClientFrame.text("a"), bye, told: .text("a"), .close(1000)),
        EchoCase("7.1 nothing counts after it", bye, ClientFrame.text("late"), told: .close(1000)),
        EchoCase("7.1 inside a message", part("a"), bye, last("b"), told: .close(1000)),
        EchoCase("7.3 without code", ClientFrame.close(), told: .close(nil)),
        EchoCase("7.3 one byte", ClientFrame.close(nil, [3]), told: .close(1002)),
        EchoCase(
            "7.3 the longest reason",
            ClientFrame.close(1000, Array(stars(123).utf8)),
            told: .close(1000)
        ),
        EchoCase(
            "7.3 a reason too long",
            ClientFrame.frame(first: 0x88, [3, 232] + Array(stars(124).utf8)),
            told: .close(1002)
        ),
        EchoCase("7.5 a reason that is not UTF-8", ClientFrame.close(1000, [0xCE]), told: .close(1007)),
    ]
    static let codes =
        [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999].map {
            EchoCase("7.7 \($0)", ClientFrame.close(UInt16($0)), told: .close($0))
        }
        + [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535].map {
            EchoCase("7.9 \($0)", ClientFrame.close(UInt16($0)), told: .close(1002))
        }

    @Test(arguments: framing + pings + reserved + opcodes + fragments + characters + closing + codes)
    func `everything is answered strictly, however it is cut`(_ echo: EchoCase) async throws {
        try await Harness.run { harness in
            let count = echo.says.count
            for pieces in [count, 1, 2, 7, (count + 1) / 2] where pieces > 0 {
                let client = try TestClient.open(harness.port)
                client.sendsAtOnce()
                var sent = 0
                while sent < count {
                    let end = min(sent + pieces, count)
                    // A server that has seen enough may close while the rest is still to be said.
                    guard (try? client.send(Array(echo.says[sent..<end]))) != nil else { break }
                    sent = end
                }
                for told in echo.told {
                    #expect(try Self.told(client.frame()) == told, "pieces of \(pieces)")
                }
                #expect(try client.isEnded())
            }
        }
    }

    // 9 Limits. The sizes in between and 16 MiB in fragments are websockets_client.py's.
    @Test(arguments: [65_536, 1 << 20, 16 << 20])
    func `messages are echoed up to the limit, and not beyond`(bytes: Int) async throws {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.messageBytesMax = bytes
            limits.sendQueueBytesMax = 64 << 20
        }
        try await Harness.run(limits: limit) { harness in
            let client = try TestClient.open(harness.port)
            try client.send(ClientFrame.zeros(count: bytes, first: 0x82))
            let echo = try client.frame()
            #expect(echo.opcode == .binary && echo.payload == [UInt8](repeating: 0, count: bytes))
            try client.send(
                ClientFrame.zeros(count: bytes, first: 0x02) + ClientFrame.more([1], isFinal: true)
            )
            #expect(try client.frame().code == 1009)
        }
    }

    @Test func `a large echo is not lost to the bad frame behind it`() async throws {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.messageBytesMax = 8 << 20
            limits.sendQueueBytesMax = 64 << 20
            limits.closeTimeout = .seconds(60)
        }
        try await Harness.run(limits: limit) { harness in
            let client = try TestClient(
                port: harness.port,
                upgrade: "GET / HTTP/1.1",
                receiveBufferBytes: 4096
            )
            try client.send(
                ClientFrame.zeros(count: 8 << 20, first: 0x82) + ClientFrame.frame(first: 0x83, [])
            )
            #expect(try await harness.log.closed() == .violation(code: 1002))
            #expect(try client.frame().payload.count == 8 << 20)
            #expect(try client.frame().code == 1002)
            #expect(try client.isEnded())
        }
    }

    @Test(arguments: [(ClientFrame.frame(first: 0x83, []), 1002), (ClientFrame.close(1000), 1000)])
    func `nothing is lost when the peer ends its side behind its last frame and reads on`(
        last: [UInt8],
        code: Int
    ) async throws {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.messageBytesMax = 8 << 20
            limits.sendQueueBytesMax = 64 << 20
            limits.closeTimeout = .seconds(60)
        }
        try await Harness.run(limits: limit) { harness in
            let client = try TestClient(
                port: harness.port,
                upgrade: "GET / HTTP/1.1",
                receiveBufferBytes: 4096
            )
            try client.send(ClientFrame.zeros(count: 8 << 20, first: 0x82) + last)
            client.finishSending()
            _ = try await harness.log.closed()
            // A round trip on another socket: the loop has seen the end of the first by then.
            let other = try TestClient.open(harness.port)
            try other.send(ClientFrame.text("round trip"))
            #expect(try other.frame().text == "round trip")
            #expect(try client.frame().payload.count == 8 << 20)
            #expect(try client.frame().code == code)
            #expect(try client.isEnded())
        }
    }

    private static let bye = ClientFrame.close(1000)
    private static func stars(_ count: Int) -> String { String(repeating: "*", count: count) }
    private static func part(_ text: String) -> [UInt8] { ClientFrame.text(text, isFinal: false) }
    private static func more(_ text: String) -> [UInt8] { ClientFrame.more(text, isFinal: false) }
    private static func last(_ text: String) -> [UInt8] { ClientFrame.more(text, isFinal: true) }

    private static func told(_ frame: TestClient.Frame) -> EchoCase.Told? {
        switch frame.opcode {
        case .text: .text(frame.text)
        case .binary: .binary(frame.payload)
        case .pong: .pong(frame.text)
        case .close: .close(frame.payload.isEmpty ? nil : frame.code)
        case .continuation, .ping: nil
        }
    }
}
