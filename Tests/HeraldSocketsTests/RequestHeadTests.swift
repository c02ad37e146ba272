import Testing

@testable import HeraldSockets

@Suite struct RequestHeadTests {
    static let key = "dGhlIHNhbXBsZSBub25jZQ=="

    static func upgrade(
        line: String = "GET /ws?user=a HTTP/1.1",
        without: String = "",
        adding: [String] = []
    ) -> [UInt8] {
        var fields = [
            "Host: example.com", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: \(key)",
            "Sec-WebSocket-Version: 13",
        ]
        fields.removeAll { !without.isEmpty && $0.hasPrefix(without) }
        return Array(([line] + fields + adding + ["", ""]).joined(separator: "\r\n").utf8)
    }

    private func read(
        _ pieces: [[UInt8]],
        limits: SocketLimits = SocketLimits()
    ) -> Result<HTTPRequestHead, RequestRefusal>? {
        var reader = RequestHeadReader()
        for piece in pieces {
            switch reader.next(piece.span.bytes, limits: limits) {
            case .needsMore: continue
            case .refused(let refusal): return .failure(refusal)
            case .head(let bytes, _): return RequestHeadParser.parse(bytes)
            }
        }
        return nil
    }

    private func refusal(_ bytes: [UInt8], limits: SocketLimits = SocketLimits()) -> RequestRefusal? {
        guard case .failure(let refusal) = read([bytes], limits: limits) else { return nil }
        return refusal
    }

    // MARK: What is allowed

    @Test func `an upgrade is read, wherever it is cut`() throws {
        let bytes = Self.upgrade(adding: [
            "Sec-WebSocket-Protocol: a, b ,,c", "Sec-WebSocket-Protocol: d", "X-Empty:",
        ])
        for cut in 0...bytes.count {
            let head = try #require(try read([Array(bytes[..<cut]), Array(bytes[cut...])])?.get())
            #expect(head.isUpgrade)
            #expect(head.method == "GET" && head.path == "/ws" && head.rawQuery == "user=a")
            #expect(head["HOST"] == "example.com")
            #expect(head["x-empty"] == "")
            #expect(head["absent"] == nil)
            #expect(head.subprotocols == ["a", "b", "c", "d"])
        }
        #expect(try #require(try read(bytes.map { [$0] })?.get()).isUpgrade)
    }

    @Test func `what follows the head is not part of it`() {
        var reader = RequestHeadReader()
        let bytes = Self.upgrade()
        let more = bytes + [1, 2, 3]
        let outcome = reader.next(more.span.bytes, limits: SocketLimits())
        #expect(outcome == .head(bytes, used: bytes.count))
    }

    @Test(arguments: [
        ["Connection: keep-alive, uPGRADE", "Upgrade: WebSocket"],
        ["Connection: x", "Connection: upgrade", "Upgrade: h2c, websocket"],
    ])
    func `tokens are found in lists, in any case`(fields: [String]) throws {
        let bytes =
            ["GET / HTTP/1.1", "Host: h"] + fields + [
                "Sec-WebSocket-Key: \(Self.key)", "Sec-WebSocket-Version: 13", "", "",
            ]
        #expect(try #require(try read([Array(bytes.joined(separator: "\r\n").utf8)])?.get()).isUpgrade)
    }

    @Test(arguments: [
        "GET /health HTTP/1.1\r\nHost: h\r\n\r\n", "GET /health HTTP/1.0\r\n\r\n",
        "HEAD /health?x HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "POST /health HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
        "GET http://h:1/health HTTP/1.1\r\nHost: h:1\r\n\r\n",
    ])
    func `ordinary HTTP is let through`(text: String) throws {
        let head = try #require(try read([Array(text.utf8)])?.get())
        #expect(!head.isUpgrade)
        #expect(head.path == "/health")
    }

    // MARK: What is not

    static let bad: [(String, RequestRefusal)] = [
        ("GET / HTTP/1.1\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\n\tfolded: x\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\n: nameless\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\nB(d: x\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{0}\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: \u{7F}\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\nHost: a\n\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n", .malformed),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r", .malformed),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", .malformed),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", .malformed),
        ("GET / x HTTP/1.1\r\nHost: a\r\n\r\n", .malformed),
        ("GET /\r\nHost: a\r\n\r\n", .malformed),
        ("G@T / HTTP/1.1\r\nHost: a\r\n\r\n", .malformed),
        (" GET / HTTP/1.1\r\nHost: a\r\n\r\n", .malformed),
        ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", .malformed),
        ("GET /#f HTTP/1.1\r\nHost: a\r\n\r\n", .malformed),
        ("GET /ü HTTP/1.1\r\nHost: a\r\n\r\n", .malformed),
        ("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", .malformed),
        ("GET / http/1.1\r\nHost: a\r\n\r\n", .malformed),
        ("GET / HTTP/1.10\r\nHost: a\r\n\r\n", .malformed),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", .versionNotSupported),
        ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", .versionNotSupported),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", .hasBody),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", .hasBody),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\n", .malformed),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", .malformed),
        ("\u{16}\u{3}\u{1}\u{2}", .malformed),
    ]

    @Test(arguments: bad)
    func `what could be read in two ways is refused`(text: String, expected: RequestRefusal) {
        // "\r" at the very end leaves the reader waiting; one more byte settles it.
        #expect(refusal(Array(text.utf8) + (text.hasSuffix("\n") ? [] : Array("x".utf8))) == expected)
    }

    @Test func `an upgrade without one of its parts is refused`() {
        #expect(refusal(Self.upgrade(without: "Host")) == .malformed)
        #expect(refusal(Self.upgrade(without: "Connection")) == .badUpgrade)
        #expect(refusal(Self.upgrade(without: "Upgrade")) == .badUpgrade)
        #expect(refusal(Self.upgrade(without: "Sec-WebSocket-Key")) == .badUpgrade)
        #expect(refusal(Self.upgrade(without: "Sec-WebSocket-Version")) == .webSocketVersion)
        #expect(refusal(Self.upgrade(line: "POST / HTTP/1.1")) == .methodNotAllowed)
        #expect(refusal(Self.upgrade(line: "GET / HTTP/1.0")) == .versionNotSupported)
        #expect(refusal(Self.upgrade(adding: ["Sec-WebSocket-Key: \(Self.key)"])) == .malformed)
        let version8 = Self.upgrade(without: "Sec-WebSocket-Version", adding: ["Sec-WebSocket-Version: 8"])
        #expect(refusal(version8) == .webSocketVersion)
    }

    @Test(arguments: [
        "", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ!=",
        "dGhlIHNhbXBsZQ==", "dGhlIHNhbXBsZSBub25jZTEy",
    ])
    func `a key is the base64 of sixteen bytes`(key: String) {
        #expect(
            refusal(Self.upgrade(without: "Sec-WebSocket-Key", adding: ["Sec-WebSocket-Key: \(key)"]))
                == .badUpgrade
        )
    }

    @Test func `what is too long is refused before it is whole`() {
        var limits = SocketLimits()
        limits.requestHeadBytesMax = 300
        limits.requestLineBytesMax = 50
        limits.requestFieldsMax = 6
        let start = "GET /\(String(repeating: "a", count: 50))"
        #expect(refusal(Array(start.utf8), limits: limits) == .lineTooLong)
        let long = "GET / HTTP/1.1\r\nHost: a\r\nX: " + String(repeating: "a", count: 300)
        #expect(refusal(Array(long.utf8), limits: limits) == .headTooLarge)
        let many = "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: y\r\n", count: 6)
        #expect(refusal(Array(many.utf8), limits: limits) == .headTooLarge)
        let enough = "GET / HTTP/1.1\r\nHost: a\r\n" + String(repeating: "X: y\r\n", count: 5) + "\r\n"
        #expect(refusal(Array(enough.utf8), limits: limits) == nil)
    }

    // MARK: Queries

    private func query(_ query: String) throws -> [HTTPRequestHead.QueryItem] {
        let bytes = Array("GET /?\(query) HTTP/1.1\r\nHost: a\r\n\r\n".utf8)
        return try #require(try read([bytes])?.get()).query()
    }

    @Test func `a query is decoded as forms are`() throws {
        let items = try query("a=b%20c&d=%C3%A9+x&&e&=f&g=h=i")
        #expect(items.map(\.name) == ["a", "d", "e", "", "g"])
        #expect(items.map(\.value) == ["b c", "é x", "", "f", "h=i"])
    }

    @Test(arguments: [
        ("a=%", HTTPRequestHead.QueryError.badEscape), ("a=%4", .badEscape), ("%4g=a", .badEscape),
        ("a=%C3", .notUTF8),
        ("a=%00", .controlCharacter), ("a=%0d%0a", .controlCharacter), ("a=%7F", .controlCharacter),
    ])
    func `a bad escape is refused`(text: String, expected: HTTPRequestHead.QueryError) {
        #expect(throws: expected) { try query(text) }
    }

    // MARK: Answers

    @Test func `the answer proves that the key was read`() throws {
        let head = try #require(try read([Self.upgrade()])?.get())
        let answer = String(decoding: UpgradeRequest.answer(head, subprotocol: "chat"), as: UTF8.self)
        #expect(answer.hasPrefix("HTTP/1.1 101 "))
        #expect(answer.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        #expect(answer.contains("\r\nSec-WebSocket-Protocol: chat\r\n"))
        #expect(answer.hasSuffix("\r\n\r\n"))
    }

    @Test func `an answer cannot be split by a header's value`() {
        let answer = HTTPAnswer(status: 200, fields: [.init("X", "a\r\nSet-Cookie: b"), .init("Y", "ok")])
        let text = String(decoding: answer.encoded(), as: UTF8.self)
        #expect(text == "HTTP/1.1 200 OK\r\nY: ok\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    }
}

@Suite struct DigestTests {
    private func hex(_ bytes: [UInt8]) -> String {
        bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    @Test(arguments: [
        ("", "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
        ("abc", "a9993e364706816aba3e25717850c26c9cd0d89d"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1"
        ),
    ])
    func `SHA-1 gives the digests of the standard`(message: String, digest: String) {
        #expect(hex(SHA1.digest(Array(message.utf8))) == digest)
    }

    @Test(arguments: [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")])
    func `base64 gives the strings of RFC 4648`(plain: String, encoded: String) {
        #expect(Base64.encoded(Array(plain.utf8)) == encoded)
    }
}
