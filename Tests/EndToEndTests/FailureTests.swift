import Foundation
import HeraldTesting
import Testing

/// What breaks, on real processes with real signals (LESSONS.md, second table).
@Suite(.timeLimit(.minutes(3))) struct FailureTests {
    @Test func `a killed node's users are offline within the lease, and found again where they come back`()
        async throws
    {
        try await LocalHerald.run(nodes: 2) { herald in
            let alice = Witness.Place(url: herald.cloudURL(1), user: "alice", key: "phone")
            let bob = Witness.Place(url: herald.cloudURL(2), user: "bob", key: "phone")
            try await Witness.with([alice, bob]) { clients in
                try herald.signal("cloud-1", SIGKILL)
                try await eventually("alice's socket breaks") { !clients[0].isOpen }
                let lease = Duration.seconds(10)
                try await eventually("alice is offline", within: .promised(lease + .seconds(2))) {
                    let verdict = try await herald.push(#"{"users":["alice"]}"#).verdicts[0]
                    #expect(verdict != "routed", "a push to a dead node's user counts as delivered")
                    return verdict == "offline"
                }

                let again = Witness.Place(url: herald.cloudURL(2), user: "alice", key: "phone")
                try await Witness.with([again]) { back in
                    let answer = try await herald.push(#"{"users":["alice","bob"]}"#)
                    #expect(answer.verdicts == ["routed", "routed"])
                    try await back[0].sees(answer.id)
                    try await clients[1].sees(answer.id)
                }
                #expect(clients[1].isOpen, "the other node's client noticed nothing")
            }
        }
    }

    // keepsData: Redis is frozen; else it is killed and started again empty.
    @Test(arguments: [true, false])
    func `Redis may be away for 10 s: no socket closes, pushes say 503, and arrive again within 3 s`(
        keepsData: Bool
    ) async throws {
        try await LocalHerald.run(nodes: 2) { herald in
            try await Witness.with([
                Witness.Place(url: herald.cloudURL(1), user: "alice", key: "phone", rooms: ["news"]),
                Witness.Place(url: herald.cloudURL(2), user: "bob", key: "phone", rooms: ["news"]),
            ]) { clients in
                let before = try await herald.push(#"{"rooms":["news"]}"#)
                for client in clients { try await client.sees(before.id) }

                let comesBack = try await herald.takeRedisAway(keepsData: keepsData)
                let end = ContinuousClock.now + .seconds(10)
                while ContinuousClock.now < end {
                    let (status, body) = try await herald.curl(
                        "POST",
                        "/v1/push",
                        body: #"{"users":["alice"]}"#
                    )
                    #expect(status == 503, "without Redis a push was answered \(status) \(body)")
                    #expect(body.contains("retry_after"), "\(body)")
                }
                #expect(clients.filter { !$0.isOpen }.isEmpty)

                try await comesBack()
                let back = ContinuousClock.now
                try await eventually("pushes arrive again", within: .seconds(10), every: .milliseconds(50)) {
                    let answer = try? await herald.push(#"{"users":["alice","bob"]}"#)
                    guard answer?.verdicts == ["routed", "routed"], let id = answer?.id else { return false }
                    for client in clients { try await client.sees(id, within: .seconds(1)) }
                    return true
                }
                #expect(ContinuousClock.now - back < .promised(.seconds(3)))
                #expect(clients.filter { !$0.isOpen }.isEmpty, "nobody was disconnected")
            }
        }
    }

    @Test func `a second node with the same name is refused, and told who holds it`() async throws {
        try await LocalHerald.run(nodes: 1) { herald in
            let result = try await herald.herald(
                "cloud",
                "--id",
                "cloud-1",
                "--port",
                "\(try FreePorts.take())",
                "--redis",
                "redis://127.0.0.1:\(herald.redisPort)"
            )
            #expect(result.status != 0)
            #expect(
                result.errors.contains("cloud-1") && result.errors.contains("\(herald.cloudPort)"),
                "\(result.errors)"
            )
            #expect(try await herald.curl("GET", "/v1/nodes").body.contains(#""cloud-1""#))
        }
    }
}

extension LocalHerald {
    /// Freezes Redis, or kills it without a trace of its data.
    ///
    /// - Returns: what brings it back.
    func takeRedisAway(keepsData: Bool) async throws -> () async throws -> Void {
        guard !keepsData else {
            try signal("redis", SIGSTOP)
            return { try self.signal("redis", SIGCONT) }
        }
        try signal("redis", SIGKILL)
        return { try self.startRedisEmpty() }
    }
}
