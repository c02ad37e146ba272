import COpenSSL
import Testing

@testable import HeraldSockets

/// TLS over real sockets, with OpenSSL's client side.
@Suite(.serialized, .timeLimit(.minutes(2))) struct SocketEngineTLSTests {
    private let certificates: TestCertificates

    init() throws {
        certificates = try TestCertificates()
    }

    @Test(arguments: [TLS1_2_VERSION, TLS1_3_VERSION])
    func `a handshake, echoes of all sizes, and a close that is told`(version: Int32) async throws {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.messageBytesMax = 4 << 20
            limits.sendQueueBytesMax = 16 << 20
        }
        try await Harness.run(tls: try certificates.settings("a"), limits: limit) { harness in
            let client = try TLSTestClient.open(tls: harness.port, offer: .init(version: version))
            #expect(client.version == version && client.chosenProtocol == "http/1.1")
            for bytes in [0, 1, 16_384, 16_385, 70_000, 4 << 20] {
                try client.send(ClientFrame.frame(first: 0x82, [UInt8](repeating: 7, count: bytes)))
                #expect(try client.frame().payload == [UInt8](repeating: 7, count: bytes))
            }
            try client.send((0..<500).flatMap { ClientFrame.text("\($0)") })
            for number in 0..<500 { #expect(try client.frame().text == "\(number)") }
            try client.send(ClientFrame.close(1000))
            #expect(try client.frame().code == 1000)
            #expect(try client.isEnded())
            #expect(client.wasToldTheEnd)
            await harness.engine.stop()
            let counters = harness.engine.counters
            #expect(counters.tlsHandshakes == 1 && counters.tlsHandshakeFailures == 0)
        }
    }

    @Test func `a read buffer smaller than a record leaves nothing behind`() async throws {
        let limit: (inout SocketLimits) -> Void = { $0.readBufferBytes = 1024 }
        try await Harness.run(tls: try certificates.settings("a"), limits: limit) { harness in
            let client = try TLSTestClient.open(tls: harness.port)
            try client.send(ClientFrame.binary([UInt8](repeating: 7, count: 15_000)))
            #expect(try client.frame().payload.count == 15_000)
        }
    }

    @Test func `key updates are taken, however many, and what follows them arrives`() async throws {
        try await Harness.run(tls: try certificates.settings("a")) { harness in
            let client = try TLSTestClient.open(tls: harness.port)
            for _ in 0..<500 { client.updateKey() }
            try client.send(ClientFrame.text("after"))
            #expect(try client.frame().text == "after")
        }
    }

    @Test func `a broken rule is answered over TLS too, and so is an ordinary request`() async throws {
        try await Harness.run(tls: try certificates.settings("a")) { harness in
            let client = try TLSTestClient.open(tls: harness.port)
            try client.send(ClientFrame.text("good") + ClientFrame.frame(first: 0x83, []))
            #expect(try client.frame().text == "good")
            #expect(try client.frame().code == 1002)
            #expect(try client.isEnded())
            #expect(client.wasToldTheEnd)
            let plain = try TLSTestClient(tls: harness.port)
            try plain.shakeHands()
            try plain.send(Array("GET /health HTTP/1.1\r\nHost: h\r\n\r\n".utf8))
            #expect(try plain.head().hasPrefix("HTTP/1.1 200"))
            #expect(try plain.rest() == Array("fine\n".utf8))
            #expect(plain.wasToldTheEnd)
        }
    }

    // MARK: Back-pressure

    @Test func `what the kernel does not take at once comes later, whole`() async throws {
        try await Harness.run(
            tls: try certificates.settings("a"),
            limits: { $0.sendQueueBytesMax = 64 << 20 }
        ) {
            harness in
            let late = try TLSTestClient.open(tls: harness.port, receiveBufferBytes: 4096)
            let id = try await harness.log.opened()
            // More is queued while a record waits for room: it is then offered again with more behind it.
            #expect(harness.engine.ports[0].post([.flood(id, frames: 100, bytes: 60_000)]))
            _ = try await harness.log.first { if case .commands = $0 { true } else { nil } }
            #expect(harness.engine.ports[0].post([.flood(id, frames: 1000, bytes: 100)]))
            for _ in 0..<100 { #expect(try late.frame().payload.count == 60_000) }
            for _ in 0..<1000 { #expect(try late.frame().payload.count == 100) }
        }
    }

    @Test(arguments: [100, 60_000])
    func `a peer that reads late gets the close frame after whole frames only`(bytes: Int) async throws {
        let limit: (inout SocketLimits) -> Void = { $0.sendQueueBytesMax = 256 * 1024 }
        try await Harness.run(tls: try certificates.settings("a"), limits: limit) { harness in
            let late = try TLSTestClient.open(tls: harness.port, receiveBufferBytes: 4096)
            let id = try await harness.log.opened()
            #expect(harness.engine.ports[0].post([.flood(id, frames: 200_000, bytes: bytes)]))
            #expect(try await harness.log.closed() == .overflow)
            var frame = try late.frame()
            while frame.opcode == .binary {
                #expect(frame.payload.count == bytes)
                frame = try late.frame()
            }
            #expect(frame.code == 4001)
        }
    }

    // MARK: Handshakes

    @Test func `who speaks no TLS, too old a version, or only other protocols, is not let in`() async throws {
        var settings = try certificates.settings("a")
        settings.versionMin = .tls13
        try await Harness.run(tls: settings, limits: { $0.closeTimeout = .milliseconds(100) }) { harness in
            let plain = try TestClient(port: harness.port)
            try plain.send(RequestHeadTests.upgrade())
            #expect(try !String(decoding: plain.rest(), as: UTF8.self).contains("HTTP"))
            for offer in [TLSTestClient.Offer(version: TLS1_2_VERSION), .init(protocols: ["h2"])] {
                let client = try TLSTestClient(tls: harness.port, offer: offer)
                #expect(throws: TestClient.Failure.self) { try client.shakeHands() }
            }
            let good = try TLSTestClient.open(tls: harness.port, offer: .init(protocols: ["h2", "http/1.1"]))
            #expect(good.chosenProtocol == "http/1.1")
            let silentAboutIt = try TLSTestClient.open(tls: harness.port, offer: .init(protocols: []))
            #expect(silentAboutIt.chosenProtocol == "")
            await harness.engine.stop()
            let counters = harness.engine.counters
            #expect(counters.tlsHandshakes == 2 && counters.tlsHandshakeFailures == 3)
        }
    }

    @Test func `a handshake that is not finished in time is ended`() async throws {
        let limit: (inout SocketLimits) -> Void = { $0.upgradeDeadline = .milliseconds(100) }
        try await Harness.run(tls: try certificates.settings("a"), limits: limit) { harness in
            let silent = try TestClient(port: harness.port)
            let halfway = try TestClient(port: harness.port)
            // The header of a record that never comes.
            try halfway.send([0x16, 0x03, 0x01, 0x02, 0x00, 0x01])
            #expect(try silent.isEnded())
            #expect(try halfway.isEnded())
            await harness.engine.stop()
            #expect(harness.engine.counters.refusedTooSlow == 2)
        }
    }

    @Test func `many handshakes at once are made a few a turn, all of them`() async throws {
        let limit: (inout SocketLimits) -> Void = { $0.handshakesPerTurnMax = 1 }
        try await Harness.run(tls: try certificates.settings("a"), limits: limit) { harness in
            let clients = try (0..<30).map { _ in try TLSTestClient(tls: harness.port) }
            for client in clients { client.beginHandshake() }
            for client in clients {
                try client.shakeHands()
                try client.upgrade()
                try client.send(ClientFrame.text("in"))
                #expect(try client.frame().text == "in")
            }
        }
    }

    // MARK: Certificates

    @Test func `a new certificate is for new connections, and the old ones stay`() async throws {
        let settings = try certificates.settings("first")
        try certificates.make("second")
        try await Harness.run(loops: 2, tls: settings) { harness in
            let old = try TLSTestClient.open(tls: harness.port)
            #expect(old.serverName == "first")
            try certificates.replace("first", by: "second")
            try harness.engine.reloadCertificate()
            let new = try TLSTestClient.open(tls: harness.port)
            #expect(new.serverName == "second")
            for client in [old, new] {
                try client.send(ClientFrame.text("still here"))
                #expect(try client.frame().text == "still here")
            }
            try certificates.write("no certificate", to: "first.pem")
            let error = #expect(throws: SocketEngineError.self) { try harness.engine.reloadCertificate() }
            #expect(error?.description.contains("tls.certificateFile") == true)
            #expect(try TLSTestClient.open(tls: harness.port).serverName == "second")
        }
    }

    @Test func `files that are wrong are named before anything listens`() async throws {
        let good = try certificates.settings("good")
        let other = try certificates.settings("other")
        try certificates.write("nonsense", to: "bad")
        let cases = [
            ("tls.certificateFile", certificates.file("absent"), good.keyFile),
            ("tls.keyFile", good.certificateFile, certificates.file("absent")),
            ("tls.certificateFile", certificates.file("bad"), good.keyFile),
            ("tls.keyFile", good.certificateFile, certificates.file("bad")),
            ("tls.keyFile", good.certificateFile, other.keyFile),
        ]
        for (name, certificateFile, keyFile) in cases {
            let log = EventLog()
            let configuration = SocketEngineConfiguration(
                host: "127.0.0.1",
                port: 0,
                tls: TLSSettings(certificateFile: certificateFile, keyFile: keyFile)
            )
            let engine = SocketEngine(configuration) { TestHandler(loop: $0.loop, log: log) }
            let error = #expect(throws: SocketEngineError.self) { try engine.start() }
            #expect(error?.description.contains(name) == true, "\(String(describing: error))")
            #expect(error?.isListenFailure == false && engine.port == 0)
        }
    }
}
