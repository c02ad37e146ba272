import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldLogic

/// `POST /v1/push/batch`, in front of the HTTP server and behind it.
@Suite struct PushBatchTests {
    private let fleet = Fleet()

    private func lines(_ pushes: [String]) -> String { pushes.joined(separator: "\n") }

    @Test(arguments: [true, false])
    func `a batch is one look-up and one envelope for each node, in its order`(isLean: Bool) async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        for number in 0..<200 {
            let node = number % 2 == 0 ? first : second
            try await fleet.bind("u\(number)/phone", on: node, counter: UInt64(number))
        }
        try await fleet.listening(["cloud-1", "cloud-2"]) {
            try await fleet.serving(isLean: isLean) { port in
                let body = lines((0..<200).map { #"{"users":["u\#($0)"],"event":"e\#($0)","data":\#($0)}"# })
                let response = try await RawClient.request("POST", "/v1/push/batch", body: body, to: port)
                #expect(response.status == 200)
                #expect(response.headers["content-type"] == "application/json")
                #expect(response.body.hasPrefix(#"{"failed":0,"answers":[{"id":""#))
                let users = response.body.matches(of: /"user":"u(\d+)","verdict":"routed"/).map { $0.1 }
                #expect(users.map { Int($0) } == Array(0..<200))
            }
        }
        #expect(fleet.table.lookups.map(\.users.count) == [200])
        #expect(fleet.bus.published.map(\.count) == [2])
        #expect(try fleet.events("cloud-1") == stride(from: 0, to: 200, by: 2).map { "e\($0)" })
        let payloads = try fleet.inbox("cloud-2").flatMap(\.deliveries).map(\.message.payload)
        #expect(payloads == stride(from: 1, to: 200, by: 2).map { .json(Array("\($0)".utf8)) })
    }

    @Test(arguments: [true, false])
    func `each push has its own options and its own fate`(isLean: Bool) async throws {
        try await fleet.serving(isLean: isLean) { port in
            let body = lines([
                #"{"users":["alice"],"durable":true,"data":1}"#, #"{"users":["a b"]}"#, "nonsense",
                #"{"users":["bob"],"confirm":"acked","deadline_ms":50}"#,
                #"{"users":["bob"],"mode":"queued"}"#,
            ])
            let response = try await RawClient.request("POST", "/v1/push/batch", body: body, to: port)
            #expect(response.status == 200)
            for part in [
                #"{"failed":3,"answers":["#, #"{"user":"alice","verdict":"stored","stored":{"epoch":""#,
                #"{"error":{"status":400,"code":"bad_id","#, #","field":"users[0]"}}"#,
                #"{"error":{"status":400,"code":"wrong_type","#, #"{"user":"bob","verdict":"offline"}"#,
                #"{"error":{"status":400,"code":"unsupported","detail":"mode "#,
            ] {
                #expect(response.body.contains(part), "\(part) in \(response.body)")
            }
            let metrics = try await RawClient.request("GET", "/metrics", to: port).body
            #expect(metrics.contains("herald_logic_pushes_accepted_total 2\n"))
            #expect(metrics.contains("herald_logic_http_problems_total{code=\"bad_id\"} 1\n"))
        }
    }

    @Test(arguments: [true, false])
    func `what cannot wait or be looked up is refused push by push`(isLean: Bool) async throws {
        var limits = Limits.standard
        limits.pushesWaitingMax = 2
        fleet.table.isUnavailable = true
        try await fleet.serving(limits: limits, isLean: isLean) { port in
            let body = lines(Array(repeating: #"{"users":["alice"]}"#, count: 3))
            let response = try await RawClient.request("POST", "/v1/push/batch", body: body, to: port)
            #expect(response.status == 200)
            #expect(response.body.hasPrefix(#"{"failed":3,"answers":["#))
            let codes = response.body.matches(of: /"status":503,"code":"(\w+)"/).map { String($0.1) }
            #expect(codes == ["redis_unavailable", "redis_unavailable", "overloaded"])
            #expect(response.body.hasSuffix(#""retry_after":1}}]}"#))
        }
    }

    @Test(arguments: [true, false])
    func `a batch that cannot be read is refused as a whole`(isLean: Bool) async throws {
        try await fleet.serving(isLean: isLean) { port in
            let path = "/v1/push/batch"
            let good = #"{"users":["alice"]}"#
            let many = Array(repeating: good, count: 1001)
            for (body, headers, status, code) in [
                ("", [], 400, "bad_json"), ("[\(good)", [], 400, "bad_json"), ("[]", [], 400, "no_target"),
                (lines(many), [], 400, "too_many"), ("[\(many.joined(separator: ","))]", [], 400, "too_many"),
                (good, ["Idempotency-Key: k"], 400, "unsupported"),
                (good, ["Origin: http://evil"], 403, "strange_origin"),
                (String(repeating: "\n", count: 2 * 1024 * 1024 + 1), [], 413, "too_large"),
            ] as [(String, [String], Int, String)] {
                let response = try await RawClient.request(
                    "POST",
                    path,
                    headers: headers,
                    body: body,
                    to: port
                )
                #expect(response.status == status, "\(code)")
                #expect(response.body.contains(#""code":"\#(code)""#), "\(code)")
            }
            let wrong = try await RawClient.request("GET", path, to: port)
            #expect(wrong.status == 405)
        }
        #expect(fleet.table.lookups.isEmpty)
    }
}
