import HeraldCore
import HeraldTesting
import HeraldWire
import Testing

@testable import HeraldLogic

/// Inboxes over HTTP.
struct InboxControllerTests {
    private let fleet = Fleet()

    private func get(_ path: String, _ port: Int) async throws -> String {
        let response = try await RawClient.request("GET", path, to: port)
        #expect(response.status == 200, "\(response.body)")
        return response.body
    }

    @Test func `a durable push is answered with its place and shown in the inbox`() async throws {
        try await fleet.serving { port in
            let body =
                #"{"users":["alice"],"rooms":["news"],"event":"e","op":7,"data":{"n": 1},"durable":true}"#
            let response = try await RawClient.request("POST", "/v1/push", body: body, to: port)
            #expect(response.status == 200)
            let epoch = fleet.messages.now
            for owner in [#""user":"alice""#, #""room":"news""#] {
                let verdict = #"{\#(owner),"verdict":"stored","stored":{"epoch":"\#(epoch)","offset":1}}"#
                #expect(response.body.contains(verdict), "\(response.body)")
            }
            for path in ["/v1/users/alice/inbox", "/v1/rooms/news/inbox?after=\(epoch).0"] {
                let shown = try await get(path, port)
                #expect(shown.hasPrefix(#"{"epoch":"\#(epoch)","offset":1,"continuous":true,"messages":[{"#))
                #expect(shown.contains(#""at":\#(epoch),"event":"e","op":7,"data":{"n": 1}}]}"#), "\(shown)")
            }
        }
    }

    @Test func `an inbox is paged`() async throws {
        let owner = InboxOwner.user(try UserID("alice"))
        _ = try await fleet.messages.append(
            (1...5).map { InboxAppend(owner: owner, push: try PushID("p\($0)"), message: Message()) }
        )
        try await fleet.serving { port in
            let epoch = fleet.messages.now
            let first = try await get("/v1/users/alice/inbox?limit=2", port)
            #expect(first.contains(#""id":"p2""#) && !first.contains("p3"))
            #expect(first.hasSuffix(#","next":"\#(epoch).2"}"#))
            let rest = try await get("/v1/users/alice/inbox?limit=3&after=\(epoch).2", port)
            #expect(rest.contains("p3") && rest.contains("p5") && !rest.contains("next"))
            let end = try await get("/v1/users/alice/inbox?after=\(epoch).5", port)
            #expect(end == #"{"epoch":"\#(epoch)","offset":5,"continuous":true,"messages":[]}"#)
            let other = try await get("/v1/users/alice/inbox?after=7.2", port)
            #expect(other.contains(#""continuous":false"#) && other.contains("p1"))
        }
    }

    @Test func `a deleted inbox is empty and of another epoch`() async throws {
        let owner = InboxOwner.room(try RoomID("news"))
        _ = try await fleet.messages.append([
            InboxAppend(owner: owner, push: try PushID("p"), message: Message(payload: .binary([0, 255])))
        ])
        try await fleet.serving { port in
            let before = try await get("/v1/rooms/news/inbox", port)
            #expect(before.contains(#""data_base64":"AP8=""#))
            let response = try await RawClient.request("DELETE", "/v1/rooms/news/inbox", to: port)
            #expect(response.status == 204 && response.body.isEmpty)
            let after = try await get("/v1/rooms/news/inbox", port)
            #expect(after.hasSuffix(#""offset":0,"continuous":true,"messages":[]}"#))
            #expect(after.prefix(25) != before.prefix(25))
        }
    }

    @Test func `an inbox that cannot be asked says why`() async throws {
        try await fleet.serving { port in
            fleet.messages.isUnavailable = true
            for method in ["GET", "DELETE"] {
                let response = try await RawClient.request(method, "/v1/users/alice/inbox", to: port)
                #expect(response.status == 503 && response.body.contains("redis_unavailable"))
            }
            let body = #"{"users":["alice"],"durable":true}"#
            let response = try await RawClient.request("POST", "/v1/push", body: body, to: port)
            #expect(response.status == 503 && response.headers["retry-after"] == "1")
            fleet.messages.isUnavailable = false
            fleet.messages.breakInbox(of: .user(try UserID("mallory")))
            let wrong = try await RawClient.request("GET", "/v1/users/mallory/inbox", to: port)
            #expect(wrong.status == 500 && wrong.body.contains(#""code":"internal""#))
        }
    }

    @Test(arguments: ["after=7", "after=7.x", "after=-7.1", "limit=0", "limit=1001", "limit=x"])
    func `a bad question is told`(query: String) async throws {
        try await fleet.serving { port in
            let response = try await RawClient.request("GET", "/v1/users/alice/inbox?\(query)", to: port)
            #expect(response.status == 400 && response.body.contains("bad_parameter"))
        }
    }
}
