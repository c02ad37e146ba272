import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldLogic

/// Whatever is sent, the lane and the ordinary path answer the same, byte for byte but for the date and the ids.
struct LeanDifferentialTests {
    @Test func `the lane answers as the ordinary path does`() async throws {
        var scripts: [Script] = []
        var random = SeededRandom(seed: 20_261_121)
        for _ in 0..<150 { scripts.append(Script(&random)) }
        for last in Script.lasts { scripts.append(Script(requests: [Script.plain[0]], last: last, &random)) }
        let lean = try await answers(to: scripts, isLean: true)
        let ordinary = try await answers(to: scripts, isLean: false)
        for (index, script) in scripts.enumerated() {
            #expect(!ordinary[index].isEmpty)
            #expect(
                lean[index] == ordinary[index],
                "\(script.pieces.map { String(decoding: $0, as: UTF8.self) })"
            )
        }
    }

    private func answers(to scripts: [Script], isLean: Bool) async throws -> [[String]] {
        let fleet = Fleet()
        let lines = Mutexed<[[String]]>([])
        try await fleet.serving(isLean: isLean) { port in
            for script in scripts {
                var text: String?
                // A server that has refused a request listens for a second more: on a machine under load the rest
                // may come too late, and the answer is lost with the connection.
                try await eventually("the script is answered", within: .seconds(30)) {
                    text = try? await RawClient.connected(to: port) { connection in
                        for piece in script.pieces { try await connection.send(piece) }
                        return try await connection.rest()
                    }
                    return text != nil
                }
                lines.change { [text] in $0.append(Self.normal(text ?? "")) }
            }
        }
        return lines.value
    }

    /// Its lines without the date, and without what an id's length decides.
    private static func normal(_ text: String) -> [String] {
        text.split(separator: "\r\n", omittingEmptySubsequences: false).compactMap { line -> String? in
            if line.hasPrefix("Date: ") { return nil }
            // A push's answer: its id is a counter.
            if line.hasPrefix("Content-Length: ") { return "Content-Length" }
            let named = line.replacing(/"id":"[0-9a-v]+"/, with: "id")
            return String(named.replacing(/"offset":\d+/, with: "offset"))
        }
    }
}

/// What one connection sends; it ends with something that makes the server close.
private struct Script {
    var pieces: [[UInt8]]

    init(_ random: inout SeededRandom) {
        let count = Int.random(in: 0...5, using: &random)
        let all = Self.plain + Self.ordinary
        let requests = (0..<count).map { _ in all.randomElement(using: &random) ?? "" }
        self.init(requests: requests, last: Self.lasts.randomElement(using: &random) ?? "", &random)
    }

    init(requests: [String], last: String, _ random: inout SeededRandom) {
        var rest = Array((requests + [last]).joined().utf8)[...]
        pieces = []
        while !rest.isEmpty {
            // Soon the rest at once: a server that has answered listens for a second more only.
            let isWhole = pieces.count >= 10 || Int.random(in: 0..<4, using: &random) == 0
            let count = isWhole ? rest.count : Int.random(in: 1...200, using: &random)
            pieces.append(Array(rest.prefix(count)))
            rest = rest.dropFirst(count)
        }
    }

    private static func push(_ body: String, _ fields: String..., path: String = "/v1/push") -> String {
        let head = ["POST \(path) HTTP/1.1", "Host: 127.0.0.1:8080"] + fields
        return head.joined(separator: "\r\n") + "\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private static let good = #"{"users":["alice"]}"#

    /// Requests that the lane answers.
    static let plain =
        [
            push(good), push(good, "Connection: keep-alive", "Accept: */*", "User-Agent: x"),
            push(good, "Content-Type: application/x-www-form-urlencoded"), push(good, "X-Y:z", "x-empty:"),
            push(good, "Origin: http://127.0.0.1:8080"), push(good, "Origin: http://evil.example"),
            push(good, "Authorization: Bearer anything"), push(""),
            push(good).replacing("127.0.0.1", with: "evil.example"),
            push(#"{"users":["a","b"],"keys":["a/b"],"rooms":["c"],"all":true,"data":{"x":[1,2,"é"]}}"#),
            push(#"{"users":["a"],"durable":true,"data":1}"#),
            push(#"{"users":["a"],"confirm":"written","deadline_ms":5}"#),
            push("[\(good),{\"users\":[]},\(good)]", path: "/v1/push/batch"),
            push("\(good)\n\nnonsense\n\(good)\n", path: "/v1/push/batch"),
            push("[]", path: "/v1/push/batch"),
            push("[1", path: "/v1/push/batch"),
        ]
        + BadInput.bodies.compactMap { input in
            // What is too large ends the connection: it comes last.
            input.status == 413 ? nil : input.body.map { push($0) }
        }

    /// Requests that the lane passes on, and behind which it goes on.
    private static let ordinary = [
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        "GET /v1/nodes HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "HEAD /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "PUT /v1/push HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /nothing HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 3\r\n\r\nabc",
        push(good, "Idempotency-Key: k"), push(#"{"users":["a"],"idempotency_key":"k"}"#),
        push(#"{"users":["a"],"mode":"queued"}"#), push(good, path: "/v1/push/"),
        push(#"{"users":["alice"]}"#, path: "/v1/presence"),
        push("[\(good)]", "Idempotency-Key: k", path: "/v1/push/batch"),
    ]

    /// Requests behind which the connection is closed, or has no certain end.
    static let lasts = [
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
        push(good, "Connection: close"), "nonsense\r\n\r\n", "GET /healthz\r\n\r\n",
        push(String(repeating: " ", count: 262_145)), closing(good, "Transfer-Encoding: chunked"),
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\nConnection: close\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: 2 2\r\nConnection: close\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\nConnection: close\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\nHost: 127.0.0.1\nContent-Length: 2\nConnection: close\n\n{}",
        "POST /v1/push HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nX(: y\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \u{1}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX: \(String(repeating: "x", count: 20_000))\r\n\r\n",
        "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\n\(String(repeating: "X: y\r\n", count: 200))\r\n",
        "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\(String(repeating: "X: y\r\n", count: 60))"
            + "Content-Length: 2\r\n\r\n{}",
    ]

    private static func closing(_ body: String, _ field: String) -> String {
        "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\(field)\r\n\r\n"
            + "\(String(body.utf8.count, radix: 16))\r\n\(body)\r\n0\r\n\r\n"
    }
}

/// SplitMix64: the same script for the same seed.
private struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
