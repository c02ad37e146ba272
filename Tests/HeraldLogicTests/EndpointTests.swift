import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldLogic

struct EndpointTests {
    private let fleet = Fleet()

    @Test func `POST v1 push answers a verdict for each target and delivers`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.serving { port in
                let body = #"{"users":["alice","bob"],"event":"hi","data":{"n":1}}"#
                let response = try await RawClient.request("POST", "/v1/push", body: body, to: port)
                #expect(response.status == 200)
                #expect(response.headers["content-type"] == "application/json")
                #expect(response.headers["server"] == nil)
                #expect(response.body.hasPrefix(#"{"id":""#))
                #expect(
                    response.body.hasSuffix(
                        #"","verdicts":[{"user":"alice","verdict":"routed","nodes":["cloud-1"]},"#
                            + #"{"user":"bob","verdict":"offline"}]}"#
                    )
                )
            }
        }
        let delivery = try #require(fleet.inbox("cloud-1").first?.deliveries.first)
        #expect(delivery.message == Message(event: "hi", payload: .json(Array(#"{"n":1}"#.utf8))))
        #expect(try delivery.targets == [.user("alice")])
    }

    @Test(arguments: [
        "application/x-www-form-urlencoded", "text/plain", "application/json; charset=utf-8", "",
    ])
    func `any content type is read as JSON`(type: String) async throws {
        try await fleet.serving { port in
            let response = try await RawClient.request(
                "POST",
                "/v1/push",
                headers: type.isEmpty ? [] : ["Content-Type: \(type)"],
                body: #"{"users":["alice"]}"#,
                to: port
            )
            #expect(response.status == 200)
        }
    }

    @Test func `a body in chunks and in many reads is one body`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send(
                    "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                for piece in [#"{"us"#, #"ers":["#, #""alice"]}"#] {
                    try await connection.send("\(String(piece.utf8.count, radix: 16))\r\n\(piece)\r\n")
                }
                try await connection.send("0\r\n\r\n")
                let response = try await connection.response()
                #expect(response.status == 200)
                #expect(response.body.contains(#""user":"alice","verdict":"offline""#))
            }
        }
    }

    @Test func `requests on one connection are answered in order`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                let host = "Host: 127.0.0.1\r\n\r\n"
                try await connection.send(
                    "GET /healthz HTTP/1.1\r\n\(host)GET /v1/nodes HTTP/1.1\r\n\(host)GET /none HTTP/1.1\r\n\(host)"
                )
                #expect(try await connection.response().body == #"{"alive":true}"#)
                #expect(try await connection.response().body == #"{"nodes":[]}"#)
                #expect(try await connection.response().status == 404)
            }
        }
    }

    @Test func `GET v1 users shows the connections`() async throws {
        let lease = try await fleet.register("cloud-1")
        let route = try await fleet.bind("alice/phone", on: lease, counter: 42)
        try await fleet.serving { port in
            let online = try await RawClient.request("GET", "/v1/users/alice", to: port)
            #expect(
                online.body
                    == #"{"user":"alice","online":true,"connections":[{"key":"phone","node":"cloud-1","#
                    + #""session":"cloud-1#1.42","since":\#(route.epoch),"expires":\#(route.expires)}]}"#
            )
            let offline = try await RawClient.request("GET", "/v1/users/bob", to: port)
            #expect(offline.status == 200)
            #expect(offline.body == #"{"user":"bob","online":false,"connections":[]}"#)
        }
    }

    @Test(arguments: [
        ("a%2Fb", "a/b"), ("100%25", "100%"), ("%C3%A9", "é"), ("a+b", "a+b"), ("%2e%2E", ".."),
    ])
    func `an id in a path is decoded exactly`(encoded: String, user: String) async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("\(user)/phone", on: lease)
        try await fleet.serving { port in
            let response = try await RawClient.request("GET", "/v1/users/\(encoded)", to: port)
            #expect(response.body.hasPrefix(#"{"user":"\#(user)","online":true"#))
        }
    }

    @Test func `DELETE of a connection orders its node to close that session`() async throws {
        let lease = try await fleet.register("cloud-1")
        let route = try await fleet.bind("a/b/phone", on: lease, counter: 7)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.serving { port in
                let response = try await RawClient.request(
                    "DELETE",
                    "/v1/users/a%2Fb/connections/phone",
                    to: port
                )
                #expect(response.status == 200)
                #expect(
                    response.body == #"{"closed":{"user":"a/b","key":"phone","node":"cloud-1","#
                        + #""session":"cloud-1#1.7","code":4500}}"#
                )
                let none = try await RawClient.request(
                    "DELETE",
                    "/v1/users/a%2Fb/connections/tablet",
                    to: port
                )
                #expect(none.status == 404)
                #expect(none.body.contains(#""code":"no_connection""#))
            }
        }
        #expect(
            try fleet.inbox("cloud-1").map(\.closes) == [
                [CloseOrder(name: UserKey("a/b/phone"), session: route.session, code: .kicked)]
            ]
        )
    }

    @Test func `DELETE says when the node or Redis does not take the order`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.serving { port in
            let path = "/v1/users/alice/connections/phone"
            let deaf = try await RawClient.request("DELETE", path, to: port)
            #expect(deaf.status == 503)
            #expect(deaf.headers["retry-after"] == "1")
            #expect(deaf.body.contains(#""code":"unreachable""#))
            fleet.bus.isUnavailable = true
            let away = try await RawClient.request("DELETE", path, to: port)
            #expect(away.status == 503)
            #expect(away.body.contains("may have been closed"))
        }
    }

    @Test func `rooms, nodes and totals are as the table says`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        let room = try RoomID("news")
        try await fleet.table.share([room: 2], of: first, for: .seconds(60))
        try await fleet.table.share([room: 3], of: second, for: .seconds(60))
        let profile = NodeProfile(id: second.node, url: "ws://b", region: "eu", weight: 2, version: "1.0")
        let load = NodeLoad(connections: 30, users: 20, rooms: 10)
        let renewed = try #require(
            await fleet.table.renew(second, profile: profile, load: load, state: .draining, for: .seconds(10))
        )
        try await fleet.serving { port in
            let rooms = try await RawClient.request("GET", "/v1/rooms/news", to: port)
            #expect(
                rooms.body == #"{"room":"news","members":5,"nodes":[{"node":"cloud-1","members":2},"#
                    + #"{"node":"cloud-2","members":3}]}"#
            )
            let nodes = try await RawClient.request("GET", "/v1/nodes", to: port)
            #expect(
                nodes.body.hasSuffix(
                    #",{"node":"cloud-2","incarnation":2,"state":"draining","url":"ws://b","region":"eu","#
                        + #""weight":2,"capacity":0,"version":"1.0","connections":30,"users":20,"rooms":10,"#
                        + #""started":\#(fleet.table.now),"lease_expires":\#(renewed.deadline)}]}"#
                )
            )
            let online = try await RawClient.request("GET", "/v1/online", to: port)
            #expect(
                online.body == #"{"connections":30,"users":20,"rooms":10,"nodes":2,"#
                    + #""users_least":20,"rooms_least":10}"#
            )
        }
    }

    @Test func `readyz follows the table and healthz does not`() async throws {
        let clock = ManualClock()
        try await fleet.serving(clock: clock) { port in
            #expect(try await RawClient.request("GET", "/readyz", to: port).body == #"{"ready":true}"#)
            fleet.table.isUnavailable = true
            clock.advance(by: .seconds(1))
            await clock.waitUntilSleeping(2)
            let away = try await RawClient.request("GET", "/readyz", to: port)
            #expect(away.status == 503)
            #expect(away.headers["content-type"] == "application/problem+json")
            #expect(away.headers["retry-after"] == "1")
            #expect(away.body.contains(#""code":"not_ready","detail":"Redis does not answer""#))
            #expect(try await RawClient.request("GET", "/healthz", to: port).status == 200)
            fleet.table.isUnavailable = false
            clock.advance(by: .seconds(1))
            await clock.waitUntilSleeping(2)
            #expect(try await RawClient.request("GET", "/readyz", to: port).status == 200)
        }
    }

    @Test func `HEAD is GET without the body`() async throws {
        try await fleet.serving { port in
            let response = try await RawClient.request("HEAD", "/healthz", to: port)
            #expect(response.status == 200)
            #expect(response.headers["content-length"] == "14")
            #expect(response.body == "")
        }
    }

    @Test func `metrics count what happened`() async throws {
        try await fleet.serving { port in
            _ = try await RawClient.request("POST", "/v1/push", body: #"{"users":["a","b"]}"#, to: port)
            _ = try await RawClient.request("POST", "/v1/push", body: "{}", to: port)
            let metrics = try await RawClient.request("GET", "/metrics", to: port)
            #expect(metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            let lines = metrics.body.split(separator: "\n").map(String.init)
            for line in [
                "herald_logic_pushes_accepted_total 1", "herald_logic_pushes_answered_total 1",
                #"herald_logic_targets_total{verdict="offline"} 2"#, "herald_logic_turns_total 1",
                #"herald_logic_http_problems_total{code="no_target"} 1"#,
                #"herald_logic_http_answers_total{status="2xx"} 1"#,
                #"herald_logic_http_answers_total{status="4xx"} 1"#, "herald_logic_pushes_waiting 0",
                "herald_logic_push_duration_seconds_count 1",
                #"herald_logic_push_duration_seconds_bucket{le="+Inf"} 1"#,
            ] {
                #expect(lines.contains(line), "\(line)")
            }
        }
    }

    @Test func `a push that is under way is answered before the process stops`() async throws {
        fleet.table.lookupGate.close()
        let (ports, signal) = AsyncStream<Int>.makeStream()
        try await withThrowingTaskGroup(of: Void.self) { clients in
            clients.addTask { [fleet] in
                for await port in ports {
                    try await withThrowingTaskGroup(of: RawClient.Response.self) { client in
                        client.addTask {
                            try await RawClient.request("POST", "/v1/push", body: #"{"all":true}"#, to: port)
                        }
                        await fleet.table.lookupGate.waitUntilWaiting()
                        signal.finish()
                        // Refused connections show that the process is stopping.
                        while (try? await RawClient.request("GET", "/healthz", to: port)) != nil {}
                        fleet.table.lookupGate.open()
                        let response = try await client.next()
                        #expect(response?.status == 200)
                    }
                }
            }
            try await fleet.serving { port in
                signal.yield(port)
                await fleet.table.lookupGate.waitUntilWaiting()
            }
            try await clients.waitForAll()
        }
    }
}
