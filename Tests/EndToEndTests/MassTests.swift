import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting
import Testing

/// What happens to thousands at once: a Redis that lost its data, a node that is killed. Sizes grow under `--soak`.
@Suite(.timeLimit(.minutes(10))) struct MassTests {
    @Test func `after FLUSHALL all mappings are back within 5 s, Redis stays quick, nobody is disconnected`()
        async throws
    {
        let each = Soak.size(Sanitizer.isOn ? 250 : 1000, soak: 10_000)
        try await LocalHerald.run(nodes: 2) { herald in
            let places = (0..<2).map { (port: herald.cloudPort + $0, users: $0 * each..<($0 + 1) * each) }
            try await Crowd.with(places, in: herald.folder) { crowds in
                let users = crowds.flatMap(\.users)
                let backend = Backend(try HeraldPushClient(url: herald.logicURL("")))
                #expect(try await backend.push(counting: users) == ["routed": users.count])

                let before = try await RedisLatency.measure(herald.redisPort, until: .after(pings: 300))
                let flush = try await Self.flush(herald, backend, users)
                #expect(flush.allBack < .promised(.seconds(5)))
                #expect(flush.said.allSatisfy { $0.contains("rebuilding") }, "said: \(flush.said)")
                if !Sanitizer.isOn { #expect(flush.latencies.judged < .milliseconds(20)) }
                Figures.note(
                    """
                    FLUSHALL with \(users.count) sockets: all back after \(flush.allBack), found by logic after \
                    \(flush.allFound); PING of Redis \
                    \(Figures.spread(flush.latencies)) meanwhile, \(Figures.spread(before)) before
                    """
                )

                #expect(try await backend.push(counting: users) == ["routed": users.count])
                for crowd in crowds {
                    try await eventually("all are shown both pushes", within: .seconds(60)) {
                        let shown = try crowd.shown
                        return crowd.users.allSatisfy { shown[$0, default: []].count >= 2 }
                    }
                    #expect(try crowd.shown.values.allSatisfy { Set($0).count == 2 && $0.count == 2 })
                    #expect(try crowd.ended.isEmpty, "somebody was disconnected")
                }
                await backend.client.shutdown()
            }
        }
    }

    private struct Flush {
        /// Until Redis had as many keys as there are users, and until logic found each of them.
        var allBack = Duration.zero
        var allFound = Duration.zero
        var latencies: [Duration] = []
        /// What each node's `/readyz` said.
        var said: [Set<String>] = []
    }

    /// Flushes, and watches from several sides until all mappings are back.
    private static func flush(
        _ herald: LocalHerald,
        _ backend: Backend,
        _ users: [String]
    ) async throws -> Flush {
        let isOver = Flag()
        let (redis, cloud) = (herald.redisPort, herald.cloudPort)
        return try await withThrowingTaskGroup(of: Flush.self) { group in
            for node in 0..<2 {
                group.addTask { Flush(said: [try await Self.readiness(of: cloud + node, until: isOver)]) }
            }
            group.addTask { Flush(latencies: try await RedisLatency.measure(redis, until: .raised(isOver))) }
            try RedisWire(port: redis).ask("FLUSHALL")
            let start = ContinuousClock.now
            // One key for each user; looking at more of it would be a load of its own.
            try await eventually("the keys are back", within: .seconds(60)) {
                guard case .number(let keys) = try RedisWire(port: redis).ask("DBSIZE") else { return false }
                return keys >= users.count
            }
            var whole = Flush(allBack: ContinuousClock.now - start)
            try await eventually("all are online", within: .seconds(60)) {
                try await backend.online(users) == users.count
            }
            whole.allFound = ContinuousClock.now - start
            // Readiness is told last.
            try await eventually("the nodes are ready", within: .seconds(60)) { isOver.watchersDone >= 2 }
            isOver.raise()
            for try await part in group {
                whole.latencies += part.latencies
                whole.said += part.said
            }
            return whole
        }
    }

    /// What a node said of itself until it was ready again after rebuilding its routes. It may be ready once before
    /// that: its subscription may notice earlier than its lease that Redis is another.
    private static func readiness(of port: Int, until isOver: Flag) async throws -> Set<String> {
        let pages = try HeraldPushClient(url: "http://127.0.0.1:\(port)")
        var said: Set<String> = []
        try await eventually("the node is ready again", within: .seconds(60), every: .milliseconds(5)) {
            let answer = try await pages.get("/readyz")
            if answer.status != 200 {
                for reason in String(decoding: answer.body, as: UTF8.self).split(separator: "\n") {
                    said.insert(String(reason))
                }
            }
            return answer.status == 200 && said.contains("rebuilding")
        }
        isOver.watcherIsDone()
        await pages.shutdown()
        return said
    }

    @Test func `after kill -9 of a node no push is routed to its users, and they are offline with its lease`()
        async throws
    {
        let count = Soak.size(500, soak: 5000)
        let lease = Duration.seconds(3)
        let environment = ["HERALD_LIMITS_LEASE_TTL": "3s", "HERALD_LIMITS_LEASE_RENEWAL": "1s"]
        try await LocalHerald.run(nodes: 2, environment: environment) { herald in
            let backend = Backend(try HeraldPushClient(url: herald.logicURL("")))
            try await Crowd.with([(port: herald.cloudPort, users: 0..<count)], in: herald.folder) { crowds in
                let users = crowds[0].users
                #expect(try await backend.push(counting: users) == ["routed": count])
                try herald.signal("cloud-1", SIGKILL)
                let killed = ContinuousClock.now
                // A tenth comes back elsewhere at once.
                let back = 0..<count / 10
                try await Crowd.with([(port: herald.cloudPort + 1, users: back)], in: herald.folder) {
                    returned in
                    let gone = Array(users[back.upperBound...])
                    try await eventually("Redis knows that the node's links are gone") {
                        let clients = try RedisWire(port: herald.redisPort).ask("CLIENT", "LIST")
                        return !"\(clients)".contains("name=herald-cloud-1")
                    }
                    var verdicts: [String: Int] = [:]
                    try await eventually("its lease is over and all are offline", within: .seconds(30)) {
                        let now = try await backend.push(counting: gone)
                        verdicts.merge(now, uniquingKeysWith: +)
                        return now == ["offline": gone.count] && ContinuousClock.now - killed > lease
                    }
                    #expect(verdicts["routed"] == nil, "routed to the dead: \(verdicts)")
                    let offline = ContinuousClock.now - killed
                    #expect(offline < .promised(lease + .seconds(3)))
                    #expect(try await backend.push(counting: gone) == ["offline": gone.count])
                    #expect(try await backend.push(counting: returned[0].users) == ["routed": back.count])
                    try await eventually("those who came back are shown it", within: .seconds(30)) {
                        try returned[0].shown.count == back.count
                    }
                    #expect(try returned[0].shown.values.allSatisfy { $0.count == 1 })
                    Figures.note(
                        "kill -9 with \(count) users: all offline after \(offline); verdicts on the way: \(verdicts)"
                    )
                }
            }
            await backend.client.shutdown()
        }
    }
}
