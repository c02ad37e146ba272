import Testing

@testable import HeraldSockets

/// permessage-deflate over real sockets.
@Suite(.serialized, .timeLimit(.minutes(2))) struct SocketEngineDeflateTests {
    private static let long = String(repeating: "herald ", count: 1000)

    private func connect(_ port: Int, offer: String = "permessage-deflate") throws -> (TestClient, String) {
        let client = try TestClient(port: port)
        try client.send(RequestHeadTests.upgrade(adding: ["Sec-WebSocket-Extensions: \(offer)"]))
        return (client, try client.head())
    }

    private func inflated(_ frame: TestClient.Frame) -> String {
        var inflater = Inflater(windowBits: 15)
        var buffer = DeflateBuffer()
        let outcome = frame.payload.withUnsafeBytes { inflater.inflate($0, into: &buffer, bytesMax: 1 << 20) }
        return outcome == .whole ? String(decoding: buffer.bytes, as: UTF8.self) : "\(outcome)"
    }

    @Test func `an engine without compression refuses it, and so does one for an offer it cannot take`()
        async throws
    {
        try await Harness.run { harness in
            let (_, head) = try connect(harness.port)
            #expect(!head.contains("Extensions"))
        }
        try await Harness.run(deflate: .init()) { harness in
            let (client, head) = try connect(harness.port, offer: "permessage-deflate; what")
            #expect(head.hasPrefix("HTTP/1.1 101") && !head.contains("Extensions"))
            try client.send(ClientFrame.frame(first: 0xC1, DeflateTests.hello))
            #expect(try client.frame().code == 1002)
            let (_, refusal) = try connect(harness.port, offer: "permessage-deflate;;")
            #expect(refusal.hasPrefix("HTTP/1.1 400"))
        }
    }

    @Test func `large messages come compressed, small ones do not, compressed ones are read`() async throws {
        try await Harness.run(deflate: .init()) { harness in
            let (client, head) = try connect(harness.port)
            #expect(
                head.contains(
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n"
                )
            )
            try client.send(ClientFrame.frame(first: 0xC1, DeflateTests.hello) + ClientFrame.text(Self.long))
            #expect(try client.frame() == .init(opcode: .text, payload: Array("Hello".utf8)))
            let frame = try client.frame()
            #expect(frame.isDeflated && frame.payload.count < 100 && inflated(frame) == Self.long)
            await harness.engine.stop()
            let counters = harness.engine.counters
            #expect(
                counters.messagesInflated == 1 && counters.framesDeflated == 1 && counters.messagesIn == 2
            )
        }
    }

    @Test func `sockets that agreed on different things get the same message, each its way`() async throws {
        try await Harness.run(loops: 2, deflate: .init()) { harness in
            let offers = ["permessage-deflate", "permessage-deflate; server_max_window_bits=9", "none"]
            let clients = try (0..<12).map { try connect(harness.port, offer: offers[$0 % 3]).0 }
            for _ in clients { _ = try await harness.log.opened() }
            for port in harness.engine.ports { #expect(port.post([.broadcast(Self.long)])) }
            for (number, client) in clients.enumerated() {
                let frame = try client.frame()
                #expect(frame.isDeflated == (number % 3 != 2))
                #expect((frame.isDeflated ? inflated(frame) : frame.text) == Self.long)
            }
        }
    }

    @Test(arguments: [
        (ClientFrame.frame(first: 0xC1, [0x06]), 1007),
        // "Ã" alone: bad UTF-8 that shows only when it is inflated.
        (ClientFrame.frame(first: 0xC1, [0x00, 0x01, 0x00, 0xFE, 0xFF, 0xC3, 0x00]), 1007),
        (ClientFrame.frame(first: 0xC9, []), 1002),
        (ClientFrame.frame(first: 0x41, [0xF2]) + ClientFrame.frame(first: 0xC0, []), 1002),
    ])
    func `what is wrong with a compressed message is answered, after the good ones`(
        bytes: [UInt8],
        code: Int
    ) async throws {
        try await Harness.run(deflate: .init()) { harness in
            let (client, _) = try connect(harness.port)
            try client.send(ClientFrame.frame(first: 0xC1, DeflateTests.hello) + bytes)
            #expect(try client.frame().text == "Hello")
            #expect(try client.frame().code == code)
            #expect(try client.isEnded())
        }
    }

    @Test func `a bomb is too big, and the next client's message is not touched by it`() async throws {
        try await Harness.run(deflate: .init()) { harness in
            var bomb = DeflateBuffer()
            [UInt8](repeating: 0, count: 4 << 20).withUnsafeBytes {
                Deflater(windowBits: 15, level: 9).deflate($0, into: &bomb)
            }
            let (bomber, _) = try connect(harness.port)
            try bomber.send(ClientFrame.frame(first: 0xC2, Array(bomb.bytes)))
            #expect(try bomber.frame().code == 1009)
            let (client, _) = try connect(harness.port)
            try client.send(ClientFrame.frame(first: 0xC1, DeflateTests.hello))
            #expect(try client.frame().text == "Hello")
        }
    }

    @Test func `many messages that inflate to much are a flood, however small each is`() async throws {
        try await Harness.run(deflate: .init()) { harness in
            var zeros = DeflateBuffer()
            [UInt8](repeating: 0, count: 60_000).withUnsafeBytes {
                Deflater(windowBits: 15, level: 9).deflate($0, into: &zeros)
            }
            let frame = ClientFrame.frame(first: 0xC2, Array(zeros.bytes))
            let (client, _) = try connect(harness.port)
            try client.send((0..<100).flatMap { _ in frame })
            var echoes = 0
            var last = try client.frame()
            while last.opcode == .binary {
                echoes += 1
                last = try client.frame()
            }
            // 69 of 60,000 bytes are 4 MiB.
            #expect(last.code == 1008 && echoes == 69)
            #expect(try await harness.log.closed() == .violation(code: 1008))
        }
    }

    @Test func `contexts are taken over when both say so, and each connection has its own`() async throws {
        var settings = DeflateSettings()
        (settings.serverTakesOverContext, settings.clientTakesOverContext) = (true, true)
        settings.payloadBytesMin = 0
        try await Harness.run(deflate: settings) { harness in
            for _ in 0..<2 {
                let (client, head) = try connect(harness.port)
                #expect(head.contains("Extensions: permessage-deflate\r\n"))
                // The second says "the same as before" (RFC 7692, 7.2.3.2).
                let again: [UInt8] = [0xF2, 0x00, 0x11, 0x00, 0x00]
                try client.send(ClientFrame.frame(first: 0xC1, DeflateTests.hello))
                let first = try client.frame()
                #expect(inflated(first) == "Hello")
                try client.send(ClientFrame.frame(first: 0xC1, again))
                let second = try client.frame()
                #expect(second.isDeflated && second.payload.count < first.payload.count)
                try client.send(ClientFrame.close())
                #expect(try client.frame().opcode == .close)
            }
        }
    }
}
