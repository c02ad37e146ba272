import Testing

@testable import HeraldSockets

@Suite struct ProxyTests {
    // MARK: Addresses

    @Test(arguments: [
        ("10.1.2.3", "10.1.2.3"), ("::1", "::1"), ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:DB8:0:0::1", "2001:db8::1"),
    ])
    func `an address has one spelling, and IPv4 within IPv6 is IPv4`(text: String, spelling: String) throws {
        #expect(try #require(IPAddress(text)).description == spelling)
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.0.1", true), ("10.0.0.0/8", "11.0.0.1", false), ("10.0.0.1", "10.0.0.1", true),
        ("10.0.0.1", "10.0.0.2", false), ("0.0.0.0/0", "255.1.1.1", true), ("0.0.0.0/0", "2001::1", false),
        ("::/0", "1.2.3.4", true), ("fd00::/8", "fdff::1", true), ("fd00::/8", "fe00::1", false),
        ("10.1.0.0/16", "::ffff:10.1.9.9", true), ("10.1.2.3/31", "10.1.2.2", true),
    ])
    func `a network holds what begins like it`(network: String, address: String, isIn: Bool) throws {
        let (network, address) = (try #require(IPNetwork(network)), try #require(IPAddress(address)))
        #expect(network.contains(address) == isIn)
    }

    @Test(arguments: [
        "", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "::/129", "localhost",
    ])
    func `what is no network is refused, by the setting's name`(text: String) {
        var settings = ProxySettings()
        settings.forwardedForPeers = [text]
        let error = #expect(throws: SocketEngineError.self) { try TrustedProxies(settings) }
        #expect(error?.description.contains("forwardedForPeers") == true)
    }

    // MARK: X-Forwarded-For

    @Test(arguments: [
        ("9.9.9.9", ["1.1.1.1"], "9.9.9.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6, 1.1.1.1 , 10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["6.6.6.6", "1.1.1.1,10.0.0.2"], "1.1.1.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["1.1.1.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["1.1.1.1:4711"], "1.1.1.1"),
        ("10.0.0.1", ["[2001:db8::1]:80"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
    ])
    func `the client is the last one that is not believed`(
        peer: String,
        values: [String],
        client: String
    ) throws {
        var settings = ProxySettings()
        settings.forwardedForPeers = ["10.0.0.0/8"]
        let proxies = try TrustedProxies(settings)
        let found = proxies.client(peer: PeerAddress(host: peer, port: 7), forwardedFor: values)
        #expect(found == PeerAddress(host: client, port: client == peer ? 7 : 0))
    }

    // MARK: PROXY headers

    static let signature: [UInt8] = [13, 10, 13, 10, 0, 13, 10, 0x51, 0x55, 0x49, 0x54, 10]

    /// From 1.2.3.4:258 to 5.6.7.8:443.
    static let header = header(command: 0x21, family: 0x11, [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 1, 187])

    static func header(command: UInt8, family: UInt8, _ body: [UInt8]) -> [UInt8] {
        signature + [command, family, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
    }

    @Test func `a header says who the client is, and how much of it is missing`() {
        let client = PeerAddress(host: "1.2.3.4", port: 258)
        for count in 0..<16 { #expect(ProxyHeader.parse(Array(Self.header[..<count])) == .needs(16)) }
        for count in 16..<28 { #expect(ProxyHeader.parse(Array(Self.header[..<count])) == .needs(28)) }
        #expect(ProxyHeader.parse(Self.header) == .whole(client))
        let additions = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 1, 187] + [UInt8](repeating: 4, count: 300)
        #expect(ProxyHeader.parse(Self.header(command: 0x21, family: 0x11, additions)) == .whole(client))
        let v6 = [UInt8](repeating: 0, count: 15) + [1] + [UInt8](repeating: 9, count: 16) + [0, 80, 1, 187]
        #expect(
            ProxyHeader.parse(Self.header(command: 0x21, family: 0x21, v6))
                == .whole(PeerAddress(host: "::1", port: 80))
        )
    }

    @Test func `a proxy may speak for itself, or not know`() {
        #expect(ProxyHeader.parse(Self.header(command: 0x20, family: 0x00, [])) == .whole(nil))
        #expect(ProxyHeader.parse(Self.header(command: 0x20, family: 0x11, [1, 2, 3])) == .whole(nil))
        #expect(ProxyHeader.parse(Self.header(command: 0x21, family: 0x00, [])) == .whole(nil))
        #expect(ProxyHeader.parse(Self.header(command: 0x21, family: 0x31, [1])) == .whole(nil))
    }

    @Test(arguments: [
        Array("GET / HTTP".utf8), Array("PROXY TCP4 ".utf8), [13, 10, 13, 11],
        header(command: 0x11, family: 0x11, []), header(command: 0x22, family: 0x11, []),
        header(command: 0x21, family: 0x11, [1, 2, 3, 4]), header(command: 0x21, family: 0x41, []),
        header(command: 0x21, family: 0x21, [UInt8](repeating: 1, count: 35)),
        signature + [0x21, 0x11, 0xFF, 0xFF],
    ])
    func `what is no such header is refused as soon as it shows`(bytes: [UInt8]) {
        #expect(ProxyHeader.parse(bytes) == .malformed)
    }
}

/// The same over real sockets.
@Suite(.serialized, .timeLimit(.minutes(2))) struct SocketEngineProxyTests {
    private func settings(header: [String] = [], forwarded: [String] = []) -> ProxySettings {
        var settings = ProxySettings()
        (settings.proxyProtocolPeers, settings.forwardedForPeers) = (header, forwarded)
        return settings
    }

    @Test func `a believed proxy's header names the client, however it is cut`() async throws {
        try await Harness.run(proxies: settings(header: ["127.0.0.0/8"])) { harness in
            for pieces in [1, 7, 16, 28] {
                let client = try TestClient(port: harness.port)
                client.sendsAtOnce()
                for start in stride(from: 0, to: 28, by: pieces) {
                    try client.send(Array(ProxyTests.header[start..<min(start + pieces, 28)]))
                }
                try client.upgrade("GET /client HTTP/1.1")
                #expect(try client.frame().text == "1.2.3.4:258")
            }
        }
    }

    @Test func `the header comes before TLS, and before X-Forwarded-For`() async throws {
        let certificates = try TestCertificates()
        let proxies = settings(header: ["127.0.0.1"], forwarded: ["1.2.3.4"])
        try await Harness.run(tls: try certificates.settings("a"), proxies: proxies) { harness in
            let client = try TLSTestClient(tls: harness.port)
            client.sendPlain(ProxyTests.header)
            try client.shakeHands()
            let fields = ["X-Forwarded-For: 6.6.6.6, 7.7.7.7"]
            try client.send(RequestHeadTests.upgrade(line: "GET /client HTTP/1.1", adding: fields))
            _ = try client.head()
            #expect(try client.frame().text == "7.7.7.7:0")
        }
    }

    @Test func `a proxy that must send a header and does not is ended, in time`() async throws {
        let limit: (inout SocketLimits) -> Void = { $0.upgradeDeadline = .milliseconds(100) }
        try await Harness.run(proxies: settings(header: ["127.0.0.1"]), limits: limit) { harness in
            let without = try TestClient(port: harness.port)
            try without.send(RequestHeadTests.upgrade())
            // What was not read makes the kernel end it with a reset, and either is an end.
            #expect((try? without.rest().isEmpty) != false)
            let halfway = try TestClient(port: harness.port)
            try halfway.send(Array(ProxyTests.header[..<20]))
            #expect(try halfway.isEnded())
            await harness.engine.stop()
            #expect(harness.engine.counters.refusedRequest == 1)
            #expect(harness.engine.counters.refusedTooSlow == 1)
        }
    }

    @Test func `nobody else can say that it is somebody`() async throws {
        try await Harness.run(proxies: settings(header: ["10.0.0.0/8"], forwarded: ["10.0.0.0/8"])) {
            harness in
            let liar = try TestClient(port: harness.port)
            try liar.send(ProxyTests.header)
            #expect(try liar.head().hasPrefix("HTTP/1.1 400"))
            let other = try TestClient(port: harness.port)
            let fields = ["X-Forwarded-For: 7.7.7.7"]
            try other.send(RequestHeadTests.upgrade(line: "GET /client HTTP/1.1", adding: fields))
            _ = try other.head()
            #expect(try other.frame().text.hasPrefix("127.0.0.1:"))
        }
    }
}
