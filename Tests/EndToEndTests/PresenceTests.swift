import HeraldTesting
import Testing

/// Presence as the whole path shows it: sockets on two nodes, their rooms in Redis, the answers of logic.
@Suite(.timeLimit(.minutes(3))) struct PresenceTests {
    @Test func `who is there is told from Redis, over all nodes`() async throws {
        try await LocalHerald.run(nodes: 2) { herald in
            let places = [("alice", "phone", 1), ("bob", "tv", 2), ("alice", "laptop", 2)].map {
                Witness.Place(url: herald.cloudURL($0.2), user: $0.0, key: $0.1, rooms: ["news"])
            }
            try await Witness.with(places) { _ in
                let body = #"{"users":["alice","carol"]}"#
                let presence = try await herald.curl("POST", "/v1/presence", body: body).body
                #expect(presence.contains(#"{"user":"alice","online":true,"connections":2}"#))
                #expect(presence.contains(#"{"user":"carol","online":false,"connections":0}"#))
                try await eventually("all are listed") {
                    try await herald.curl("GET", "/v1/rooms/news/members").body
                        == #"{"room":"news","members":[{"user":"alice","key":"laptop","node":"cloud-2"},"#
                        + #"{"user":"alice","key":"phone","node":"cloud-1"},"#
                        + #"{"user":"bob","key":"tv","node":"cloud-2"}],"total":3,"complete":true}"#
                }
                let rooms = try await herald.curl("GET", "/v1/rooms").body
                #expect(rooms == #"{"rooms":[{"room":"news","members":3,"nodes":2}],"exact":true}"#)
                // Answered from what logic read within the last second, so a node is offered that much later.
                try await eventually("both nodes are offered") {
                    let best = try await herald.curl("GET", "/v1/nodes/best?count=2")
                    return best.status == 200 && best.body.contains(herald.cloudURL(1))
                        && best.body.contains(herald.cloudURL(2))
                }
            }
            try await eventually("nobody is left") {
                try await herald.curl("GET", "/v1/rooms/news/members").body
                    == #"{"room":"news","members":[],"total":0,"complete":true}"#
            }
            let rooms = try await herald.curl("GET", "/v1/rooms").body
            #expect(rooms == #"{"rooms":[],"exact":true}"#)
        }
    }
}
