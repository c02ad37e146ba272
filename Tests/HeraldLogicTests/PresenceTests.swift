import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldLogic

extension BadInput {
    /// Of presence and of the choice of node.
    static let questions: [BadInput] = [
        presence("no users", "{}", "missing_field", "users"),
        presence("nothing", "", "bad_json"),
        presence("a field misspelt", #"{"user":["alice"]}"#, "unknown_field", "user"),
        presence("a string for a list", #"{"users":"alice"}"#, "wrong_type", "users"),
        presence("an empty id", #"{"users":["a",""]}"#, "bad_id", "users[1]"),
        presence(
            "too many",
            #"{"users":[\#((0...1000).map { "\"u\($0)\"" }.joined(separator: ","))]}"#,
            "too_many",
            "users"
        ),
        get("a parameter misspelt", "/v1/rooms?tpo=3", "unknown_parameter", "tpo"),
        get("no rooms", "/v1/rooms?top=0", "bad_parameter", "top"),
        get("too many rooms", "/v1/rooms?top=101", "bad_parameter", "top"),
        get("no number", "/v1/rooms?top=many", "bad_parameter", "top"),
        get("no value", "/v1/rooms?top", "bad_parameter", "top"),
        get("a parameter twice", "/v1/rooms?top=1&top=2", "bad_parameter", "top"),
        get("half a percent sign", "/v1/nodes/best?region=%2", "bad_parameter", "region"),
        get("a bad name", "/v1/nodes/best?%ff=1", "bad_parameter"),
        get("too many nodes", "/v1/nodes/best?count=11", "bad_parameter", "count"),
        get("a page too large", "/v1/rooms/news/members?limit=1001", "bad_parameter", "limit"),
        get(
            "a cursor that is a name",
            "/v1/rooms/news/members?cursor=alice/phone",
            "bad_parameter",
            "cursor"
        ),
        get("half a cursor", "/v1/rooms/news/members?cursor=616", "bad_parameter", "cursor"),
        get("an empty cursor", "/v1/rooms/news/members?cursor=", "bad_parameter", "cursor"),
        get("a cursor without key", "/v1/rooms/news/members?cursor=61", "bad_parameter", "cursor"),
        get("a bad room", "/v1/rooms/%20/members", "bad_id", "room"),
    ]

    private static func presence(
        _ what: String,
        _ body: String,
        _ code: String,
        _ field: String? = nil
    ) -> BadInput {
        BadInput(what: what, path: "/v1/presence", body: body, status: 400, code: code, field: field)
    }

    private static func get(
        _ what: String,
        _ path: String,
        _ code: String,
        _ field: String? = nil
    ) -> BadInput {
        BadInput(what: what, method: "GET", path: path, status: 400, code: code, field: field)
    }
}

struct PresenceTests {
    private let fleet = Fleet()

    @Test func `POST v1 presence answers each user once, in the order asked`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease, counter: 1)
        try await fleet.bind("alice/laptop", on: lease, counter: 2)
        try await fleet.serving { port in
            let body = #"{"users":["bob","alice","bob"]}"#
            let response = try await RawClient.request("POST", "/v1/presence", body: body, to: port)
            #expect(response.status == 200)
            #expect(
                response.body == #"{"users":[{"user":"bob","online":false,"connections":0},"#
                    + #"{"user":"alice","online":true,"connections":2}],"online":1}"#
            )
            let none = try await RawClient.request("POST", "/v1/presence", body: #"{"users":[]}"#, to: port)
            #expect(none.body == #"{"users":[],"online":0}"#)
        }
        #expect(fleet.table.lookups.count == 2)
    }

    @Test func `GET v1 rooms lists the largest`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.table.share([RoomID("a"): 2, RoomID("b"): 3], of: first, for: .seconds(60))
        try await fleet.table.share([RoomID("a"): 2, RoomID("c"): 1], of: second, for: .seconds(60))
        try await fleet.serving { port in
            let two = try await RawClient.request("GET", "/v1/rooms?top=2", to: port)
            #expect(
                two.body == #"{"rooms":[{"room":"a","members":4,"nodes":2},"#
                    + #"{"room":"b","members":3,"nodes":1}],"exact":true}"#
            )
            let all = try await RawClient.request("GET", "/v1/rooms", to: port)
            #expect(all.body.contains(#"{"room":"c","members":1,"nodes":1}],"exact":true}"#))
        }
    }

    @Test func `GET v1 rooms members walks page by page`() async throws {
        let lease = try await fleet.register("cloud-1")
        let names = try ["é/phone", "a/b/phone", "bob/phone"].map { try UserKey($0) }
        let telling = RoomTelling(members: 4, isAnew: true, joined: names, listed: 3)
        try await fleet.table.share([RoomID("the/room"): telling], of: lease, for: .seconds(60))
        try await fleet.serving { port in
            let path = "/v1/rooms/the%2Froom/members"
            let first = try await RawClient.request("GET", "\(path)?limit=2", to: port)
            #expect(
                first.body == #"{"room":"the/room","members":[{"user":"a/b","key":"phone","node":"cloud-1"},"#
                    + #"{"user":"bob","key":"phone","node":"cloud-1"}],"total":4,"complete":false,"#
                    + #""next":"626f622f70686f6e65"}"#
            )
            let cursor = "cursor=626f622f70686f6e65"
            let second = try await RawClient.request("GET", "\(path)?\(cursor)&limit=2", to: port)
            #expect(
                second.body == #"{"room":"the/room","members":[{"user":"é","key":"phone","node":"cloud-1"}],"#
                    + #""total":4,"complete":false}"#
            )
            let unknown = try await RawClient.request("GET", "/v1/rooms/none/members", to: port)
            #expect(unknown.body == #"{"room":"none","members":[],"total":0,"complete":true}"#)
        }
    }

    @Test func `GET v1 nodes best names nodes that take clients, those of the region first`() async throws {
        for (name, region) in [("cloud-1", "eu west"), ("cloud-2", "us"), ("cloud-3", "us")] {
            let profile = NodeProfile(id: try NodeID(name), url: "ws://\(name)/ws", region: region)
            let lease = try await fleet.table.register(profile, lease: .seconds(10))
            guard name == "cloud-3" else { continue }
            _ = try await fleet.table.renew(
                lease,
                profile: profile,
                load: NodeLoad(),
                state: .draining,
                for: .seconds(10)
            )
        }
        let clock = ManualClock()
        try await fleet.serving(clock: clock) { port in
            let near = try await RawClient.request("GET", "/v1/nodes/best?region=eu+west", to: port)
            #expect(
                near.body.hasPrefix(
                    #"{"nodes":[{"node":"cloud-1","url":"ws://cloud-1/ws","region":"eu west"},"#
                        + #"{"node":"cloud-2","url":"ws://cloud-2/ws","region":"us"}],"#
                        + #""fallback":false,"retry_after_ms":"#
                )
            )
            let far = try await RawClient.request("GET", "/v1/nodes/best?region=asia&count=1", to: port)
            #expect(far.body.contains(#""fallback":true"#))
            #expect(!far.body.contains("cloud-3"))
            // The nodes of the last probe do while it is fresh.
            fleet.table.isUnavailable = true
            clock.advance(by: .seconds(1))
            await clock.waitUntilSleeping(2)
            #expect(try await RawClient.request("GET", "/v1/nodes/best", to: port).status == 200)
            for _ in 0..<2 {
                clock.advance(by: .seconds(1))
                await clock.waitUntilSleeping(2)
            }
            let away = try await RawClient.request("GET", "/v1/nodes/best", to: port)
            #expect(away.status == 503)
            #expect(away.body.contains(#""code":"redis_unavailable""#))
        }
    }

    @Test func `without a node there is a 503 that says when to ask again`() async throws {
        try await fleet.serving { port in
            let none = try await RawClient.request("GET", "/v1/nodes/best", to: port)
            #expect(none.status == 503)
            #expect(none.body.contains(#""code":"no_node","detail":"no cloud node is there""#))
            let seconds = try #require(none.headers["retry-after"].flatMap(Int.init))
            #expect((5...10).contains(seconds))
        }
    }
}
