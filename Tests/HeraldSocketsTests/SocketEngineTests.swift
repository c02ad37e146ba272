import Glibc
import Testing

@testable import HeraldSockets

/// The engine over real loopback sockets, driven by a blocking client.
@Suite(.serialized, .timeLimit(.minutes(2))) struct SocketEngineTests {
    // MARK: Handshake

    @Test func `a handshake, an echo and a close`() async throws {
        try await Harness.run { harness in
            let client = try TestClient(port: harness.port)
            try client.send(RequestHeadTests.upgrade())
            let head = try client.head()
            #expect(head.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
            try client.send(ClientFrame.text("hällo"))
            #expect(try client.frame() == .init(opcode: .text, payload: Array("hällo".utf8)))
            try client.send(ClientFrame.close(1000, Array("bye".utf8)))
            #expect(try client.frame().code == 1000)
            #expect(try client.isEnded())
            #expect(try await harness.log.closed() == .peer(code: 1000))
        }
    }

    @Test func `frames that come with the request are read, and what is sent on opening follows the answer`()
        async throws
    {
        try await Harness.run { harness in
            let client = try TestClient(
                port: harness.port,
                upgrade: "GET /greet HTTP/1.1",
                and: ClientFrame.text("a") + ClientFrame.text("b")
            )
            #expect(try (0..<3).map { _ in try client.frame().text } == ["welcome", "a", "b"])
        }
    }

    @Test func `a request and its frames may come byte by byte`() async throws {
        try await Harness.run { harness in
            let client = try TestClient(port: harness.port)
            client.sendsAtOnce()
            for byte in RequestHeadTests.upgrade() { try client.send([byte]) }
            #expect(try client.head().hasPrefix("HTTP/1.1 101"))
            for byte in ClientFrame.text("slowly") { try client.send([byte]) }
            #expect(try client.frame().text == "slowly")
        }
    }

    @Test(arguments: [
        ("GET /health HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n", "fine\n"),
        ("HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 200 OK\r\n", ""),
        ("GET /secret HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 401 Unauthorized\r\n", "who are you\n"),
        (
            "GET /ws HTTP/1.1\r\nHost: h\r\n\r\n", "HTTP/1.1 426 Upgrade Required\r\n",
            "WebSocket version 13 only\n"
        ),
        ("nonsense\r\n\r\n", "HTTP/1.1 400 Bad Request\r\n", "malformed request\n"),
    ])
    func `what is no upgrade is answered and ended`(
        request: String,
        status: String,
        body: String
    ) async throws {
        try await Harness.run { harness in
            let client = try TestClient(port: harness.port)
            try client.send(Array(request.utf8))
            let head = try client.head()
            #expect(head.hasPrefix(status))
            #expect(head.contains("\r\nConnection: close\r\n"))
            #expect(String(decoding: try client.rest(), as: UTF8.self) == body)
        }
    }

    @Test func `a subprotocol is agreed on only when it was offered`() async throws {
        try await Harness.run { harness in
            let client = try TestClient(port: harness.port)
            try client.send(
                RequestHeadTests.upgrade(line: "GET /chat HTTP/1.1", adding: ["Sec-WebSocket-Protocol: x, y"])
            )
            #expect(try client.head().contains("\r\nSec-WebSocket-Protocol: x\r\n"))
        }
    }

    @Test func `silence and slowness before the upgrade are ended`() async throws {
        try await Harness.run(limits: { $0.upgradeDeadline = .milliseconds(100) }) { harness in
            let silent = try TestClient(port: harness.port)
            let slow = try TestClient(port: harness.port)
            try slow.send(Array("GET / HTTP/1.1\r\nHost:".utf8))
            #expect(try silent.isEnded())
            #expect(try slow.head().hasPrefix("HTTP/1.1 408 "))
            await harness.engine.stop()
            #expect(harness.engine.counters.refusedTooSlow == 2)
        }
    }

    @Test func `one too many is told when to come back`() async throws {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.socketsMaxPerLoop = 2
            limits.retryAfterSeconds = 7
        }
        try await Harness.run(limits: limit) { harness in
            let first = try TestClient.open(harness.port)
            let second = try TestClient.open(harness.port)
            let third = try TestClient(port: harness.port)
            try third.send(RequestHeadTests.upgrade())
            let head = try third.head()
            #expect(head.hasPrefix("HTTP/1.1 503 ") && head.contains("\r\nRetry-After: 7\r\n"))
            try first.send(ClientFrame.close())
            #expect(try first.rest() == [0x88, 0])
            let fourth = try TestClient.open(harness.port)
            for client in [second, fourth] {
                try client.send(ClientFrame.text("here"))
                #expect(try client.frame().text == "here")
            }
        }
    }

    // MARK: Messages

    @Test func `fragments with control frames between them are one message`() async throws {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            try client.send(ClientFrame.text("one ", isFinal: false))
            try client.send(
                ClientFrame.ping("p1") + ClientFrame.more("two ", isFinal: false) + ClientFrame.pong()
            )
            try client.send(ClientFrame.ping("p2") + ClientFrame.more("three", isFinal: true))
            #expect(try client.frame() == .init(opcode: .pong, payload: Array("p1".utf8)))
            #expect(try client.frame() == .init(opcode: .pong, payload: Array("p2".utf8)))
            #expect(try client.frame().text == "one two three")
        }
    }

    @Test func `a message larger than the read buffer is put together`() async throws {
        try await Harness.run(limits: { $0.readBufferBytes = 1024 }) { harness in
            let client = try TestClient.open(harness.port)
            let payload = (0..<60_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try client.send(ClientFrame.binary(payload))
            #expect(try client.frame() == .init(opcode: .binary, payload: payload))
        }
    }

    @Test(arguments: [
        (ClientFrame.frame(first: 0xC1, [1]), 1002), (ClientFrame.close(999), 1002),
        (ClientFrame.more("x", isFinal: true), 1002),
        (ClientFrame.frame(first: 0x81, [0xFF]), 1007), (ClientFrame.close(1000, [0xFF]), 1007),
        (Array(ClientFrame.binary([UInt8](repeating: 0, count: 70_000)).prefix(14)), 1009),
    ])
    func `a broken rule is answered with its code, after the good messages before it`(
        bytes: [UInt8],
        code: Int
    ) async throws {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            try client.send(ClientFrame.text("good") + ClientFrame.ping() + bytes + ClientFrame.text("bad"))
            #expect(try client.frame().text == "good")
            #expect(try client.frame().opcode == .pong)
            let close = try client.frame()
            #expect(close.opcode == .close && close.code == code)
            #expect(try client.isEnded())
            #expect(try await harness.log.closed() == .violation(code: UInt16(code)))
        }
    }

    @Test func `pings beyond the allowance close the socket`() async throws {
        try await Harness.run(limits: { $0.overheadBytesMax = 1024 }) { harness in
            let client = try TestClient.open(harness.port)
            try client.send((0..<200).flatMap { _ in ClientFrame.ping() })
            var last = try client.frame()
            while last.opcode == .pong { last = try client.frame() }
            #expect(last.code == 1008)
            #expect(try await harness.log.closed() == .violation(code: 1008))
        }
    }

    // MARK: Closing

    @Test func `the handler closes, after what is queued, and what comes later is dropped`() async throws {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            try client.send(
                ClientFrame.text("before") + ClientFrame.text("!close") + ClientFrame.text("after")
            )
            #expect(try client.frame().text == "before")
            let close = try client.frame()
            #expect(close.code == 4002 && close.text.hasSuffix("as you wish"))
            #expect(try await harness.log.closed() == .handler(code: 4002))
            try client.send(ClientFrame.close(4002))
            #expect(try client.isEnded())
        }
    }

    @Test func `a peer that does not answer a close is not waited for`() async throws {
        try await Harness.run(limits: { $0.closeTimeout = .milliseconds(100) }) { harness in
            let client = try TestClient.open(harness.port)
            try client.send(ClientFrame.text("!close"))
            #expect(try client.frame().code == 4002)
            #expect(try client.isEnded())
            await harness.engine.stop()
            #expect(harness.engine.counters.closeTimeouts == 1)
        }
    }

    @Test func `a connection that just ends is reported once`() async throws {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            let id = try await harness.log.opened()
            client.finishSending()
            let event = try await harness.log.first { if case .closed = $0 { $0 } else { nil } }
            #expect(event == .closed(id, .disconnected))
            #expect(try client.isEnded())
        }
    }

    @Test func `a reset takes down nobody else`() async throws {
        try await Harness.run { harness in
            let other = try TestClient.open(harness.port)
            do {
                let client = try TestClient.open(harness.port)
                var abrupt = linger(l_onoff: 1, l_linger: 0)
                setsockopt(
                    client.descriptor,
                    SOL_SOCKET,
                    SO_LINGER,
                    &abrupt,
                    socklen_t(MemoryLayout<linger>.size)
                )
            }
            #expect(try await harness.log.closed() == .disconnected)
            try other.send(ClientFrame.text("still here"))
            #expect(try other.frame().text == "still here")
        }
    }

    @Test func `a slot is used again, and the old id names nothing`() async throws {
        try await Harness.run { harness in
            let first = try TestClient.open(harness.port)
            let old = try await harness.log.opened()
            try first.send(ClientFrame.close())
            _ = try first.rest()
            let second = try TestClient.open(harness.port)
            let new = try await harness.log.opened()
            #expect(old.slot == new.slot && old != new)
            #expect(
                harness.engine.ports[0].post([
                    .send(old, "for the dead"), .close(old, 1000), .send(new, "for the living"),
                ])
            )
            #expect(try second.frame().text == "for the living")
        }
    }

    // MARK: Time

    @Test func `a deadline comes, and one that was unset does not`() async throws {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            let other = try TestClient.open(harness.port)
            try other.send(ClientFrame.text("!cancel"))
            _ = try await harness.log.message()
            try client.send(ClientFrame.text("!deadline"))
            #expect(try client.frame().text == "deadline")
            try other.send(ClientFrame.text("nothing came"))
            #expect(try other.frame().text == "nothing came")
        }
    }

    @Test func `pings are sent, and who does not answer is dropped`() async throws {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.pingInterval = .milliseconds(100)
            limits.pongTimeout = .milliseconds(100)
        }
        try await Harness.run(limits: limit) { harness in
            let client = try TestClient.open(harness.port)
            for _ in 0..<5 {
                #expect(try client.frame().opcode == .ping)
                try client.send(ClientFrame.pong())
            }
            #expect(try client.frame().opcode == .ping)
            #expect(try await harness.log.closed() == .pingTimeout)
            _ = try client.rest()
            await harness.engine.stop()
            #expect(harness.engine.counters.pingTimeouts == 1)
        }
    }
}
