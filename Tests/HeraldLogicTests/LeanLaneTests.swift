import HeraldCore
import HeraldTesting
import NIOCore
import Testing

@testable import HeraldLogic

/// A whole logic process, and requests that its lane answers or passes on.
struct LeanLaneTests {
    private let fleet = Fleet()

    private func request(_ body: String, _ fields: String..., path: String = "/v1/push") -> String {
        let head = ["POST \(path) HTTP/1.1", "Host: 127.0.0.1"] + fields
        return head.joined(separator: "\r\n") + "\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    private let get = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"

    @Test func `pipelined requests of both ways are answered in their order`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                let good = request(#"{"users":["alice"]}"#)
                let keyed = request(#"{"users":["bob"],"idempotency_key":"k"}"#)
                try await connection.send(good + get + good + keyed + get + get + good)
                for expected in ["alice", "alive", "alice", "idempotency_key", "alive", "alive", "alice"] {
                    #expect(try await connection.response().body.contains(expected))
                }
            }
        }
    }

    @Test func `an answer that is known later holds those behind it back`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let clock = ManualClock()
        try await fleet.listening(["cloud-1"]) {
            try await fleet.serving(clock: clock) { port in
                try await RawClient.connected(to: port) { connection in
                    try await connection.send(
                        request(#"{"users":["alice"],"confirm":"acked","deadline_ms":1000}"#)
                            + request("{}") + get
                    )
                    try await eventually("the push is sent") { try !fleet.inbox("cloud-1").isEmpty }
                    await clock.waitUntilSleeping(2)
                    clock.advance(by: .seconds(1))
                    #expect(try await connection.response().body.contains("unreachable"))
                    #expect(try await connection.response().status == 400)
                    #expect(try await connection.response().body.contains("alive"))
                }
            }
        }
    }

    @Test func `more requests than may be owed an answer are all answered`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                let count = 1000
                try await connection.send(String(repeating: request(#"{"users":["alice"]}"#), count: count))
                for _ in 0..<count { #expect(try await connection.response().status == 200) }
            }
        }
    }

    @Test func `a push that comes in pieces is answered, and one that does not is given up`() async throws {
        var http = HTTPLimits()
        http.requestDeadline = .milliseconds(300)
        try await fleet.serving(http: http) { port in
            try await RawClient.connected(to: port) { connection in
                let text = request(#"{"users":["alice"]}"#)
                try await connection.send(String(text.prefix(70)))
                try await connection.send(String(text.dropFirst(70)))
                #expect(try await connection.response().status == 200)
                try await connection.send(text + String(text.dropLast(3)))
                #expect(try await connection.response().status == 200)
                let late = try await connection.response()
                #expect(late.status == 408)
                #expect(late.headers["connection"] == "close")
                #expect(try await connection.rest() == "")
            }
        }
    }

    @Test func `requests that come slowly one behind the other are each in time`() async throws {
        var http = HTTPLimits()
        http.requestDeadline = .milliseconds(1500)
        try await fleet.serving(http: http) { port in
            try await RawClient.connected(to: port) { connection in
                let text = request(#"{"users":["alice"]}"#)
                try await connection.send(String(text.dropLast(3)))
                let start = ContinuousClock.now
                try await eventually("longer than one may take", every: .milliseconds(100)) {
                    // The end of one, and the next but for its end.
                    try await connection.send(String(text.suffix(3)) + String(text.dropLast(3)))
                    let response = try await connection.response()
                    #expect(response.status == 200)
                    return response.status != 200 || ContinuousClock.now - start > .milliseconds(2500)
                }
                let late = try await connection.response()
                #expect(late.status == 408)
                #expect(try await connection.rest() == "")
            }
        }
    }

    @Test func `half a head is given up like silence`() async throws {
        var http = HTTPLimits()
        http.idleTimeout = .milliseconds(200)
        try await fleet.serving(http: http) { port in
            try await RawClient.connected(to: port) { connection in
                try? await connection.send(request(#"{"users":["alice"]}"#) + "POST /v1/push HT")
                // A machine under load may have closed it before.
                if let response = try? await connection.response() { #expect(response.status == 200) }
                let rest = (try? await connection.rest()) ?? ""
                #expect(rest == "")
            }
        }
    }

    @Test func `a connection that goes on pushing is not idle, and one that waits for its answer neither`()
        async throws
    {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        var http = HTTPLimits()
        http.idleTimeout = .milliseconds(1500)
        let (limits, clock) = (http, ManualClock())
        try await fleet.listening(["cloud-1"]) {
            try await fleet.serving(http: limits, clock: clock) { port in
                try await RawClient.connected(to: port) { connection in
                    let start = ContinuousClock.now
                    try await eventually("the idle time is over", every: .milliseconds(100)) {
                        try await connection.send(request(#"{"users":["bob"]}"#))
                        #expect(try await connection.response().status == 200)
                        return ContinuousClock.now - start > .milliseconds(2500)
                    }
                    try await connection.send(
                        request(#"{"users":["alice"],"confirm":"acked","deadline_ms":1000}"#)
                    )
                    try await eventually("the idle time is over", every: .milliseconds(100)) {
                        ContinuousClock.now - start > .milliseconds(4500)
                    }
                    await clock.waitUntilSleeping(2)
                    clock.advance(by: .seconds(1))
                    #expect(try await connection.response().body.contains("unreachable"))
                    #expect(try await connection.rest() == "")
                }
            }
        }
    }

    @Test func `a caller that has said all and listens is answered`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send(request(#"{"users":["alice"]}"#) + request("{}"))
                connection.finish()
                #expect(try await connection.response().status == 200)
                #expect(try await connection.response().status == 400)
                #expect(try await connection.rest() == "")
            }
        }
    }

    @Test func `what a caller has waiting is taken back when it is gone`() async throws {
        fleet.table.lookupGate.close()
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { first in
                try await first.send(request(#"{"users":["alice"],"event":"first"}"#))
                await fleet.table.lookupGate.waitUntilWaiting()
                try await RawClient.connected(to: port) { second in
                    try await second.send(request(#"{"users":["alice"],"event":"second"}"#))
                    var waiting = ""
                    while !waiting.contains("herald_logic_pushes_waiting 1\n") {
                        waiting = try await RawClient.request("GET", "/metrics", to: port).body
                    }
                    try await second.reset()
                }
                var metrics = ""
                while !metrics.contains(#"pushes_refused_total{code="cancelled"} 1"#) {
                    metrics = try await RawClient.request("GET", "/metrics", to: port).body
                }
                fleet.table.lookupGate.open()
                #expect(try await first.response().status == 200)
            }
        }
        #expect(fleet.table.lookups.map(\.users.count) == [1])
    }

    @Test func `with an API key each request has to show it, whatever the one before showed`() async throws {
        try await fleet.serving(apiKey: APIKey("0123456789abcdef")) { port in
            try await RawClient.connected(to: port) { connection in
                let body = #"{"users":["alice"]}"#
                let right = request(body, "Authorization: Bearer 0123456789abcdef")
                try await connection.send(
                    request(body) + right + right + request(body, "Authorization: Bearer 0123456789abcdeg")
                        + request(body) + right
                )
                for status in [401, 200, 200, 401, 401, 200] {
                    #expect(try await connection.response().status == status)
                }
            }
        }
    }

    @Test func `without one another site's page is refused, whatever came before`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                let body = #"{"users":["alice"]}"#
                try await connection.send(
                    request(body) + request(body, "Origin: http://evil") + request(body)
                        + request(body, "Origin: http://127.0.0.1")
                        + request(body, "Origin: http://evil").replacing("127.0.0.1", with: "evil")
                )
                for status in [200, 403, 200, 200, 421] {
                    #expect(try await connection.response().status == status)
                }
            }
        }
    }
}
