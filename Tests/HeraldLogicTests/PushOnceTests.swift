import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldLogic

/// Idempotency keys over HTTP.
@Suite(.timeLimit(.minutes(1)))
struct PushOnceTests {
    private let fleet = Fleet()
    private let table = MemoryOnceTable()
    private let body = #"{"users":["alice"],"event":"hi","deadline_ms":20}"#

    @Test func `a repeat gets the same answer, and nothing is sent twice`() async throws {
        try await serving { port in
            let first = try await push(port)
            #expect(first.status == 200)
            #expect(first.headers["idempotent-replayed"] == nil)
            let second = try await push(port)
            #expect(second.status == 200)
            #expect(second.body == first.body)
            #expect(second.headers["idempotent-replayed"] == "true")
            // The field is as good as the header; another request has another digest.
            let field = #"{"users":["alice"],"idempotency_key":"order-8"}"#
            #expect(try await push(port, key: nil, field).status == 200)
            #expect(try await push(port, key: nil, field).headers["idempotent-replayed"] == "true")
            #expect(try await push(port, key: "order-8", field).headers["idempotent-replayed"] == "true")
        }
        #expect(try fleet.events("cloud-1") == ["hi", ""])
    }

    @Test func `the same key with another body is refused`() async throws {
        try await serving { port in
            _ = try await push(port)
            let other = try await push(port, key: "order-7", #"{"users":["bob"]}"#)
            #expect(other.status == 422)
            #expect(other.body.contains(#""code":"idempotency_mismatch""#))
        }
        #expect(try fleet.events("cloud-1") == ["hi"])
    }

    @Test func `while the first one is under way the others are told when to ask again`() async throws {
        try await serving { port in
            let claim = try claim("p1")
            _ = try await table.claim(claim)
            let busy = try await push(port)
            #expect(busy.status == 409)
            #expect(busy.body.contains(#""code":"in_progress""#))
            #expect(busy.headers["retry-after"] == "5")
            try await table.complete(claim, answer: Array(#"{"id":"p1","verdicts":[]}"#.utf8))
            #expect(try await push(port).body == #"{"id":"p1","verdicts":[]}"#)
        }
        #expect(try fleet.events("cloud-1") == [])
    }

    @Test func `a repeat waits for the first one's answer`() async throws {
        let clock = ManualClock()
        try await serving(clock: clock) { port in
            let claim = try claim("p1", body: #"{"users":["alice"]}"#)
            _ = try await table.claim(claim)
            async let waiting = push(port, key: "order-7", #"{"users":["alice"]}"#)
            try await eventually("it asked") { table.claims.count == 2 }
            try await table.complete(claim, answer: Array("{}".utf8))
            try await eventually("it asked again") {
                clock.advance(by: .milliseconds(25))
                return table.claims.count > 2
            }
            #expect(try await waiting.body == "{}")
        }
    }

    @Test func `what a process that died had begun is sent again under the same id`() async throws {
        try await serving { port in
            _ = try await table.claim(try claim("p1"))
            table.advance(by: .seconds(6))
            let answer = try await push(port)
            #expect(answer.body.hasPrefix(#"{"id":"p1","#))
            #expect(try await push(port).body == answer.body)
        }
        #expect(try fleet.inbox("cloud-1").flatMap(\.deliveries).map(\.push.description) == ["p1"])
    }

    @Test func `a push that was refused may be sent by the next one at once, under its id`() async throws {
        try await serving { port in
            fleet.bus.isUnavailable = true
            let refused = try await push(port)
            #expect(refused.status == 503)
            fleet.bus.isUnavailable = false
            let second = try await push(port)
            #expect(second.status == 200)
        }
        guard case .claimed(let first, isRepeat: false) = table.claims[0] else {
            Issue.record("the first claim was not granted")
            return
        }
        #expect(table.claims[1] == .claimed(first, isRepeat: true))
    }

    @Test func `without the memory nothing is sent`() async throws {
        try await serving { port in
            table.isUnavailable = true
            let refused = try await push(port)
            #expect(refused.status == 503)
            #expect(refused.body.contains(#""code":"redis_unavailable""#))
        }
        #expect(try fleet.events("cloud-1") == [])
        try await fleet.serving { port in
            let refused = try await push(port)
            #expect(refused.status == 400)
            #expect(refused.body.contains(#""field":"idempotency_key""#))
        }
    }

    @Test(arguments: [
        ("order 7", #"{"users":["alice"]}"#, "bad_id"),
        ("order-7", #"{"users":["alice"],"idempotency_key":"order-8"}"#, "conflicting_fields"),
        ("order-7", #"{"users":["alice"],"mode":"queued"}"#, "conflicting_fields"),
    ])
    func `a key that is none, or another one's, is refused`(
        key: String,
        body: String,
        code: String
    ) async throws {
        try await serving { port in
            let refused = try await push(port, key: key, body)
            #expect(refused.status == 400)
            #expect(refused.body.contains(#""code":"\#(code)""#))
        }
    }

    private func serving(
        clock: ManualClock = ManualClock(),
        _ body: @Sendable (_ port: Int) async throws -> Void
    ) async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.serving(clock: clock, once: table, body)
        }
    }

    private func push(
        _ port: Int,
        key: String? = "order-7",
        _ body: String? = nil
    ) async throws -> RawClient.Response {
        let headers = key.map { ["Idempotency-Key: \($0)"] } ?? []
        return try await RawClient.request(
            "POST",
            "/v1/push",
            headers: headers,
            body: body ?? self.body,
            to: port
        )
    }

    /// What another process would have claimed for the same request.
    private func claim(_ push: String, body: String? = nil) throws -> OnceClaim {
        let digest = SHA256.digest((body ?? self.body).utf8).reduce(into: "") { text, byte in
            text += String(byte >> 4, radix: 16) + String(byte & 15, radix: 16)
        }
        return OnceClaim(
            key: try IdempotencyKey("order-7"),
            digest: digest,
            push: try PushID(push),
            holder: 1,
            lease: .seconds(5),
            memory: .seconds(300)
        )
    }
}
