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
                let backend = try Backend(herald)
                #expect(try await backend.push(to: users) == ["routed": users.count])

                let before = try await RedisLatency.measure(herald.redisPort, until: .after(pings: 300))
                let flush = try await Self.flush(herald, backend, users)
                #expect(flush.allBack < .seconds(5) * Sanitizer.slowdown)
                #expect(flush.said.allSatisfy { $0.contains("rebuilding") }, "\(flush.said)")
                if !Sanitizer.isOn { #expect(RedisLatency.p99(flush.latencies) < .milliseconds(20)) }
                Figures.note(
                    """
                    FLUSHALL with \(users.count) sockets: all back after \(flush.allBack); PING of Redis \
                    \(Figures.spread(flush.latencies)) meanwhile, \(Figures.spread(before)) before
                    """
                )

                #expect(try await backend.push(to: users) == ["routed": users.count])
                for crowd in crowds {
                    try await eventually("all are shown both pushes", within: .seconds(60)) {
                        let shown = try crowd.shown
                        return crowd.users.allSatisfy { shown[$0, default: []].count >= 2 }
                    }
                    #expect(try crowd.shown.values.allSatisfy { Set($0).count == 2 && $0.count == 2 })
                    #expect(try crowd.ended.isEmpty, "somebody was disconnected")
                }
                await backend.shutdown()
            }
        }
    }

    private struct Flush {
        var allBack = Duration.zero
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
            // Cheap to look at: one key for each user. Who really is back is asked only then.
            try await eventually("the keys are back", within: .seconds(60)) {
                guard case .number(let keys) = try RedisWire(port: redis).ask("DBSIZE") else { return false }
                return keys >= users.count
            }
            try await eventually("all are online", within: .seconds(60)) {
                try await backend.online(users) == users.count
            }
            var whole = Flush(allBack: ContinuousClock.now - start)
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

    /// What a node said of itself, from being ready over being not to being ready again.
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
            return answer.status == 200 && !said.isEmpty
        }
        isOver.watcherIsDone()
        await pages.shutdown()
        return said
    }

    /// Presence events of the killed node's users belong beside this test once there are any.
    @Test func `after kill -9 of a node no push is routed to its users once its lease is over`() async throws
    {
        let count = Soak.size(500, soak: 5000)
        let lease = Duration.seconds(3)
        let environment = ["HERALD_LIMITS_LEASE_TTL": "3s", "HERALD_LIMITS_LEASE_RENEWAL": "1s"]
        try await LocalHerald.run(nodes: 2, environment: environment) { herald in
            let backend = try Backend(herald)
            try await Crowd.with([(port: herald.cloudPort, users: 0..<count)], in: herald.folder) { crowds in
                let users = crowds[0].users
                #expect(try await backend.push(to: users) == ["routed": count])
                try herald.signal("cloud-1", SIGKILL)
                let killed = ContinuousClock.now
                // A tenth comes back elsewhere at once.
                let back = 0..<count / 10
                try await Crowd.with([(port: herald.cloudPort + 1, users: back)], in: herald.folder) {
                    returned in
                    let gone = Array(users[back.upperBound...])
                    var early: [String: Int] = [:]
                    try await eventually("all are offline", within: .seconds(30)) {
                        let isOver = ContinuousClock.now - killed > lease + .milliseconds(500)
                        let verdicts = try await backend.push(to: gone)
                        if isOver { #expect(verdicts["routed"] == nil, "routed to the dead: \(verdicts)") }
                        early.merge(verdicts, uniquingKeysWith: +)
                        return verdicts == ["offline": gone.count]
                    }
                    let offline = ContinuousClock.now - killed
                    #expect(offline < (lease + .seconds(3)) * Sanitizer.slowdown)
                    #expect(try await backend.push(to: gone) == ["offline": gone.count])
                    #expect(try await backend.push(to: returned[0].users) == ["routed": back.count])
                    try await eventually("those who came back are shown it", within: .seconds(30)) {
                        try returned[0].shown.count == back.count
                    }
                    #expect(try returned[0].shown.values.allSatisfy { $0.count == 1 })
                    Figures.note(
                        "kill -9 with \(count) users: all offline after \(offline); verdicts on the way: \(early)"
                    )
                }
            }
            await backend.shutdown()
        }
    }
}

/// A backend with large requests.
private struct Backend {
    private let client: HeraldPushClient

    init(_ herald: LocalHerald) throws { client = try HeraldPushClient(url: herald.logicURL("")) }

    func shutdown() async { await client.shutdown() }

    /// One push for every thousand users.
    ///
    /// - Returns: how often each verdict was given.
    func push(to users: [String]) async throws -> [String: Int] {
        var verdicts: [String: Int] = [:]
        for start in stride(from: 0, to: users.count, by: 1000) {
            let some = try users[start..<min(start + 1000, users.count)].map { Target.user(try UserID($0)) }
            for verdict in try await client.push(PushRequest(to: some, Message())).verdicts {
                verdicts[verdict.verdict.description, default: 0] += 1
            }
        }
        return verdicts
    }

    /// How many of them are online.
    func online(_ users: [String]) async throws -> Int {
        var online = 0
        for start in stride(from: 0, to: users.count, by: 1000) {
            let some = users[start..<min(start + 1000, users.count)].map { "\"\($0)\"" }.joined(
                separator: ","
            )
            let answer = try await client.post("/v1/presence", json: Array("{\"users\":[\(some)]}".utf8))
            guard answer.status == 200 else { return 0 }
            online +=
                String(decoding: answer.body, as: UTF8.self).split(separator: "\"online\":true").count - 1
        }
        return online
    }
}
