import Testing

@testable import HeraldLogic

struct LeanReaderTests {
    private let reader = LeanReader(headBytesMax: 300, fieldsMax: 6, pushBytesMax: 1000, batchBytesMax: 2000)

    private func read(_ text: String) -> LeanReading { read(Array(text.utf8)) }

    private func read(_ bytes: [UInt8]) -> LeanReading { bytes.withUnsafeBytes(reader.read) }

    private func head(_ lines: String..., line: String = "POST /v1/push HTTP/1.1") -> String {
        ([line] + lines).joined(separator: "\r\n") + "\r\n\r\n"
    }

    @Test func `a plain push is the lane's`() throws {
        let text = head(
            "Host: logic:8080",
            "content-length:  12\t",
            "AUTHORIZATION: Bearer x",
            "Origin: http://a",
            "Connection: Keep-Alive",
            "X-Anything: at all"
        )
        guard case .lean(let request) = read(text + "{\"all\":true}") else {
            Issue.record("\(read(text))")
            return
        }
        #expect(request.kind == .push)
        #expect(request.headBytes == text.utf8.count)
        #expect(request.bodyBytes == 12)
        func value(_ range: Range<Int>?) throws -> String {
            String(decoding: Array(text.utf8)[try #require(range)], as: UTF8.self)
        }
        #expect(try value(request.access.host) == "logic:8080")
        #expect(try value(request.access.authorization) == "Bearer x")
        #expect(try value(request.access.origin) == "http://a")
    }

    @Test func `a batch is told from a push, and may be larger`() {
        let batch = head("Host: a", "Content-Length: 1500", line: "POST /v1/push/batch HTTP/1.1")
        guard case .lean(let request) = read(batch) else {
            Issue.record("\(read(batch))")
            return
        }
        #expect(request.kind == .batch)
        let push = head("Host: a", "Content-Length: 1500")
        #expect(read(push) == .ordinary(bytes: push.utf8.count + 1500))
    }

    @Test(arguments: [
        ("GET /v1/nodes HTTP/1.1", "X: y", 0), ("POST /v1/push/ HTTP/1.1", "Content-Length: 7", 7),
        ("POST /v1/push?x=1 HTTP/1.1", "Content-Length: 7", 7), ("POST /v1/push HTTP/1.1", "X: y", 0),
        ("POST /v1/push HTTP/1.1", "Idempotency-Key: 7\r\nContent-Length: 7", 7),
        ("DELETE /v1/users/a/connections/b HTTP/1.1", "Content-Length: 0", 0),
    ])
    func `what is not the lane's ends for certain`(line: String, field: String, body: Int) {
        let text = head("Host: a", field, line: line)
        #expect(read(text) == .ordinary(bytes: text.utf8.count + body))
    }

    @Test(arguments: [
        "POST /v1/push HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}",
        "POST  /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push  HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "post /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "POST http://a/v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "CONNECT /v1/push HTTP/1.1\r\nHost: a\r\n\r\n", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /v1/push HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\n Content-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\rContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nX: \u{0}\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nX: é\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\n: y\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nX(: y\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nno colon\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, TE\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nTrailer: x\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nOrigin: a\r\nOrigin: b\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nA: a\r\nB: b\r\nC: c\r\nD: d\r\nE: e\r\nHost: f\r\nContent-Length: 2\r\n\r\n{}",
    ])
    func `what could be read in two ways is strange`(text: String) {
        #expect(read(text) == .strange)
    }

    @Test func `a head without end is strange once it is too long`() {
        let endless = "POST /v1/push HTTP/1.1\r\nX: " + String(repeating: "x", count: 400)
        #expect(read(endless) == .strange)
        #expect(read("GET /" + String(repeating: "x", count: 400)) == .strange)
        let long = head("Host: a", "Content-Length: 2", "X: " + String(repeating: "x", count: 300))
        #expect(read(long) == .strange)
    }

    @Test func `HTTP 1 0 is known as such`() {
        #expect(read("POST /v1/push HTTP/1.0\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}") == .old)
        #expect(read("GET / HTTP/1.0\r\n\r\n") == .old)
        #expect(read("GET / HTTP/1.") == .partial)
        #expect(read("GET / HTTP/1.2\r\n\r\n") == .strange)
    }

    @Test func `every beginning of a good head is partial`() {
        let text = head("Host: a", "Content-Length: 2", "Connection: keep-alive")
        for count in 0..<text.utf8.count {
            #expect(read(Array(text.utf8.prefix(count))) == .partial, "\(count)")
        }
        let other = head("Host: a", line: "GET /healthz HTTP/1.1")
        for count in 0..<other.utf8.count {
            #expect(read(Array(other.utf8.prefix(count))) == .partial, "\(count)")
        }
    }
}
