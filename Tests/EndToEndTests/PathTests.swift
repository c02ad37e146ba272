import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting
import Testing

/// The whole path on real parts: HTTP in, Redis between, sockets out.
@Suite(.timeLimit(.minutes(3))) struct PathTests {
    @Test func `a push to a user, a key, a room and everybody arrives there and nowhere else`() async throws {
        try await LocalHerald.run(nodes: 3) { herald in
            try await Witness.with([
                Witness.Place(url: herald.cloudURL(1), user: "alice", key: "phone", rooms: ["news"]),
                Witness.Place(url: herald.cloudURL(2), user: "alice", key: "laptop"),
                Witness.Place(url: herald.cloudURL(3), user: "bob", key: "phone", rooms: ["news"]),
            ]) { clients in
                let expected: [(body: String, reached: Set<Int>)] = [
                    (#"{"users":["alice"],"data":1}"#, [0, 1]), (#"{"keys":["alice/laptop"],"data":2}"#, [1]),
                    (#"{"rooms":["news"],"data":3}"#, [0, 2]), (#"{"all":true,"data":4}"#, [0, 1, 2]),
                    (#"{"users":["alice"],"rooms":["news"],"exclude":["alice/phone"],"data":5}"#, [1, 2]),
                    (#"{"all":true,"users":["alice"],"rooms":["news"],"data":6}"#, [0, 1, 2]),
                ]
                var sent: [String] = []
                for (body, reached) in expected {
                    let answer = try await herald.push(body)
                    #expect(answer.verdicts.allSatisfy { $0 == "routed" }, "\(body): \(answer)")
                    for index in reached { try await clients[index].sees(answer.id) }
                    sent.append(answer.id)
                }
                for (index, client) in clients.enumerated() {
                    let wanted = zip(sent, expected).filter { $1.reached.contains(index) }.map(\.0)
                    #expect(client.ids == wanted, "client \(index) was shown something else, or twice")
                }
                #expect(
                    try await herald.push(#"{"users":["carol"],"keys":["bob/tv"],"rooms":["x"]}"#).verdicts
                        == ["offline", "offline", "offline"]
                )
            }
        }
    }

    @Test func `redis-cli shows the mappings, they live on while the socket does, and go when it closes`()
        async throws
    {
        let quick = ["HERALD_LIMITS_ROUTE_TTL": "6s", "HERALD_LIMITS_ROUTE_RENEWAL": "2s"]
        try await LocalHerald.run(nodes: 1, environment: quick) { herald in
            let user = "herald:user:{alice}"
            try await Witness.with([
                Witness.Place(url: herald.cloudURL(1), user: "alice", key: "phone", rooms: ["news"])
            ]) { _ in
                let first = try await herald.redis("hget", user, "phone")[0].split(separator: " ")
                #expect(first.count == 3)
                #expect(first[0].hasPrefix("cloud-1#"))
                try await eventually("the node tells its load") {
                    try await herald.redis("hget", "herald:node:{cloud-1}", "connections") == ["1"]
                }
                #expect(try await herald.redis("zrange", "herald:nodes", "0", "-1") == ["cloud-1"])
                #expect(try await herald.redis("zcard", "herald:room:{news}") == ["1"])
                let expires = try #require(Int(first[2]))
                let seconds = try #require(Int(try await herald.redis("time")[0]))
                #expect((1...6).contains(expires / 1000 - seconds))
                // The hash outlives its mappings, so that their ends can still be told.
                let ttl = try #require(Int(try await herald.redis("pttl", user)[0]))
                #expect((3_500_000...3_606_000).contains(ttl))

                try await eventually("the mapping is renewed", within: .seconds(8)) {
                    let now = try await herald.redis("hget", user, "phone")[0].split(separator: " ")
                    #expect(now[0] == first[0] && now[1] == first[1], "a renewal changes the expiry only")
                    return try #require(Int(now[2])) > expires
                }
            }
            try await eventually("the mappings are gone") {
                try await herald.redis("exists", user, "herald:room:{news}") == ["0"]
            }
        }
    }

    @Test func `the backend can ask who is where, and close a connection`() async throws {
        try await LocalHerald.run(nodes: 2) { herald in
            try await Witness.with([
                Witness.Place(
                    url: herald.cloudURL(1),
                    user: "a/b c".replacing(" ", with: "%"),
                    key: "phone",
                    rooms: ["r"]
                ),
                Witness.Place(url: herald.cloudURL(2), user: "bob", key: "tv", rooms: ["r"]),
            ]) { clients in
                let user = try await herald.curl("GET", "/v1/users/a%2Fb%25c")
                #expect(user.status == 200)
                #expect(user.body.contains(#""key":"phone""#) && user.body.contains(#""node":"cloud-1""#))
                #expect(try await herald.curl("GET", "/v1/rooms/r").body.contains(#""members":2"#))
                #expect(try await herald.curl("GET", "/v1/nodes").body.contains(#""cloud-2""#))
                try await eventually("the nodes tell their load") {
                    try await herald.curl("GET", "/v1/online").body.contains(#""connections":2"#)
                }
                #expect(try await herald.curl("DELETE", "/v1/users/bob/connections/tv").status == 200)
                try await eventually("bob is closed") { clients[1].end?.code?.number == 4500 }
                #expect(clients[0].isOpen)
                try await eventually("bob is offline") {
                    try await herald.push(#"{"users":["bob"]}"#).verdicts == ["offline"]
                }
                #expect(try await herald.curl("DELETE", "/v1/users/bob/connections/tv").status == 404)
            }
        }
    }
}

extension LocalHerald {
    struct Answer: Sendable {
        var id: String
        var verdicts: [String]
    }

    struct Refused: Error, CustomStringConvertible {
        var status: Int
        var body: String
        var description: String { "push refused: \(status) \(body)" }
    }

    /// A push by curl; throws `Refused` for anything but 200.
    func push(_ body: String) async throws -> Answer {
        let (status, text) = try await curl("POST", "/v1/push", body: body)
        guard status == 200,
            let json = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any],
            let id = json["id"] as? String, let verdicts = json["verdicts"] as? [[String: Any]]
        else { throw Refused(status: status, body: text) }
        return Answer(id: id, verdicts: verdicts.map { $0["verdict"] as? String ?? "none" })
    }
}
