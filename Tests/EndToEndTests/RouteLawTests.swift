import Foundation
import HeraldCore
import HeraldTesting
import Testing

/// Moving, freezing and racing clients on real processes: a route names the real connection all the time, not only
/// in the end.
@Suite(.timeLimit(.minutes(10))) struct RouteLawTests {
    /// How the node that a client leaves takes it that Redis seems slow.
    struct Patience: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var environment: [String: String]

        /// Its link stays up: the late commands are answered, late.
        static let patient = Patience(
            testDescription: "its link waits for the answers",
            environment: [
                "HERALD_REDIS_COMMAND_TIMEOUT": "20s", "HERALD_REDIS_SILENCE_MAX": "20s",
                "HERALD_REDIS_CONNECT_TIMEOUT": "20s", "HERALD_LIMITS_LEASE_TTL": "60s",
                "HERALD_LIMITS_ROUTE_RENEWAL": "1s", "HERALD_LIMITS_ROUTE_TTL": "60s",
            ]
        )
        /// Its link is given up and built anew: the late commands happen when nobody waits for them any more.
        static let impatient = Patience(
            testDescription: "its link is given up",
            environment: [
                "HERALD_LIMITS_LEASE_TTL": "60s", "HERALD_LIMITS_LEASE_RENEWAL": "1s",
                "HERALD_LIMITS_ROUTE_RENEWAL": "1s", "HERALD_LIMITS_ROUTE_TTL": "60s",
            ]
        )
    }

    @Test(arguments: [Patience.patient, .impatient])
    func `who moved is never unroutable, while what the old node says of it arrives late`(
        _ patience: Patience
    ) async throws {
        let delay = Soak.size(Duration.seconds(2), soak: .seconds(5))
        try await ProxiedHerald.run(nodes: 2, environment: patience.environment) { herald in
            // alice says goodbye to the old node, bob falls silent there, carol stays connected there.
            let users = ["alice", "bob", "carol"]
            let old = try users.map { try Puppet(port: herald.nodes[0].port, user: $0, key: "phone") }
            try await eventually("all are connected") { old.allSatisfy(\.isConnected) }
            let link = herald.nodes[0].proxy
            link.delay(.toServer, by: delay)
            old[0].leave()
            var new = [try Puppet(port: herald.nodes[1].port, user: users[0], key: "phone")]
            // A key has one call under way: alice's unbind is on its way, and now renewals of the others are.
            let unbind = link.bytesWaiting(.toServer)
            try await eventually("renewals are on their way", within: .seconds(20)) {
                link.bytesWaiting(.toServer) > unbind + 300
            }
            old[1].mute()
            new += try users[1...].map { try Puppet(port: herald.nodes[1].port, user: $0, key: "phone") }
            try await eventually("all are connected at the new node", every: .milliseconds(1)) {
                new.allSatisfy(\.isConnected)
            }
            let moved = ContinuousClock.now
            var pushed = 0
            var unrouted: [String] = []
            // As long as something of the old node may be under way, and one delay longer.
            try await eventually("what is late has arrived", within: .seconds(60), every: .milliseconds(10)) {
                for user in users {
                    let probe = await SchedulePush.send(.user(user), through: herald.pushes)
                    if probe.verdict != "routed" {
                        unrouted.append(
                            "\(user) \(probe.verdict) \(ContinuousClock.now - moved) after moving"
                        )
                    }
                    pushed += 1
                }
                let since = ContinuousClock.now - moved
                if since > delay + .seconds(1) { link.mend() }
                return since > delay * 2 + .seconds(1)
            }
            #expect(unrouted.isEmpty, "\(unrouted.count) of \(pushed), first: \(unrouted.prefix(3))")
            let last = await SchedulePush.send(.everyone, through: herald.pushes)
            for puppet in new {
                try await eventually("\(puppet.user) is shown the last push") {
                    puppet.shown.last?.id == last.id
                }
                #expect(puppet.shown.count == pushed / users.count + 1, "\(puppet.user) missed something")
                #expect(
                    Set(puppet.shown).count == puppet.shown.count,
                    "\(puppet.user) was shown something twice"
                )
                #expect(puppet.isConnected)
            }
            #expect(old.allSatisfy { $0.shown.isEmpty }, "something went to the old node")
            try await eventually("carol's old connection is closed for the new one") {
                old[2].closeCode == 4501
            }
            Figures.note(
                "\(pushed) pushes over \(ContinuousClock.now - moved) to movers, delay \(delay): all routed"
            )
        }
    }

    @Test func `a node that was frozen for two leases reaches the same sockets within one renewal`()
        async throws
    {
        let renewal = Duration.seconds(3)
        let (lease, users) = (Soak.size(Duration.seconds(2), soak: .seconds(10)), Soak.size(30, soak: 1000))
        let environment = [
            "HERALD_LIMITS_LEASE_TTL": "\(lease.components.seconds)s", "HERALD_LIMITS_LEASE_RENEWAL": "500ms",
            "HERALD_LIMITS_ROUTE_TTL": "60s", "HERALD_LIMITS_ROUTE_RENEWAL": "3s",
            "HERALD_SOCKETS_PING_INTERVAL": "1s", "HERALD_SOCKETS_PONG_TIMEOUT": "1s",
        ]
        try await ProxiedHerald.run(nodes: 2, environment: environment) { herald in
            let names = (0..<users).map { "u\($0)" }
            let old = try names.map { try Puppet(port: herald.nodes[0].port, user: $0, key: "k") }
            try await eventually("all are connected", within: .seconds(60)) { old.allSatisfy(\.isConnected) }
            herald.nodes[0].program.freeze()
            let frozen = ContinuousClock.now
            let moving = users / 10
            let new = try names[..<moving].map { try Puppet(port: herald.nodes[1].port, user: $0, key: "k") }
            try await eventually("some are connected elsewhere", within: .seconds(60)) {
                new.allSatisfy(\.isConnected)
            }
            try await eventually("two leases are over", within: lease * 3) {
                ContinuousClock.now - frozen > lease * 2
            }
            let staying = await SchedulePush.send(.user(names[users - 1]), through: herald.pushes)
            #expect(staying.verdict != "routed", "a frozen node without a lease counts as reached")

            herald.nodes[0].program.thaw()
            let thawed = ContinuousClock.now
            var waiting = names
            try await eventually("all are routed", within: .seconds(60)) {
                let verdicts = try await Backend(herald.pushes).push(to: waiting)
                waiting.removeAll { verdicts[$0] == "routed" }
                return waiting.isEmpty
            }
            let routed = ContinuousClock.now - thawed
            #expect(routed < .promised(renewal))
            let last = await SchedulePush.send(.everyone, through: herald.pushes)
            try await eventually("those who moved are closed at the old place", within: .seconds(20)) {
                old[..<moving].allSatisfy { $0.closeCode == 4501 }
            }
            for puppet in new + old[moving...] {
                try await eventually("\(puppet.user) is shown the last push") {
                    puppet.shown.last?.id == last.id
                }
                #expect(puppet.shown.count == 2 && puppet.isConnected, "\(puppet.user): \(puppet.shown)")
                #expect(Set(puppet.shown).count == puppet.shown.count)
            }
            #expect(old[..<moving].allSatisfy { $0.shown.allSatisfy { $0.id == last.id } })
            Figures.note(
                "\(users) users of a node frozen for \(lease * 2): routed again \(routed) after it woke"
            )
        }
    }

    @Test func `what is pushed while a node's link is cut is shown once at most when the link is back`()
        async throws
    {
        try await ProxiedHerald.run(nodes: 1) { herald in
            let alice = try Puppet(port: herald.nodes[0].port, user: "alice", key: "phone")
            try await eventually("alice is connected") { alice.isConnected }
            herald.nodes[0].proxy.cut()
            let redis = try RedisWire(port: herald.redis.port)
            try await eventually("Redis knows that the node's links are gone") {
                !"\(try redis.ask("CLIENT", "LIST"))".contains("name=herald-cloud-1")
            }
            var probes: [ScheduleSighting.Probe] = []
            for _ in 0..<5 { probes.append(await SchedulePush.send(.user("alice"), through: herald.pushes)) }
            #expect(probes.allSatisfy { $0.verdict == "unreachable" }, "\(probes)")
            herald.nodes[0].proxy.mend()
            var last: ScheduleSighting.Probe?
            try await eventually("alice is routed again", within: .seconds(20)) {
                last = await SchedulePush.send(.user("alice"), through: herald.pushes)
                return last?.verdict == "routed"
            }
            try await eventually("alice is shown it") { alice.shown.last?.id == last?.id }
            #expect(Set(alice.shown).count == alice.shown.count, "shown twice: \(alice.shown)")
            #expect(alice.isConnected)
        }
    }

    @Test func `a hundred clients with one key at once: one live socket and one route are left`() async throws
    {
        let rounds = Soak.size(Sanitizer.isOn ? 2 : 5, soak: 50)
        try await ProxiedHerald.run(nodes: 3) { herald in
            let redis = try RedisWire(port: herald.redis.port)
            var settled: [Duration] = []
            for round in 0..<rounds {
                let user = "r\(round)"
                let start = ContinuousClock.now
                let all = try (0..<100).map { number in
                    (
                        puppet: try Puppet(port: herald.nodes[number % 3].port, user: user, key: "k"),
                        node: number % 3
                    )
                }
                do {
                    try await eventually("one is left", within: .seconds(30)) {
                        let live = all.filter { !$0.puppet.hasEnded }
                        return live.count == 1 && live[0].puppet.isConnected
                    }
                } catch {
                    let live = all.filter { !$0.puppet.hasEnded }.map { one in
                        "cloud-\(one.node + 1) \(one.puppet.isConnected ? "connected" : "not connected")"
                    }
                    Issue.record("after \(error): \(live); \(try RedisRoutes.valid(redis, users: user))")
                    throw error
                }
                settled.append(ContinuousClock.now - start)
                let winner = try #require(all.first { !$0.puppet.hasEnded })
                let codes = Set(all.compactMap(\.puppet.closeCode))
                #expect(codes == [4501], "closed with \(codes)")
                #expect(all.filter { $0.puppet.hasEnded && $0.puppet.closeCode == nil }.isEmpty)
                let routes = try RedisRoutes.valid(redis, users: user)
                #expect(
                    routes == ["\(user)/k": "cloud-\(winner.node + 1)"],
                    "\(routes)"
                )
                let probe = await SchedulePush.send(.user(user), through: herald.pushes)
                #expect(probe.verdict == "routed")
                try await eventually("it is shown a push") { winner.puppet.shown.map(\.id) == [probe.id] }
                #expect(all.filter { !$0.puppet.hasEnded }.count == 1, "and still only one is left")
                winner.puppet.leave()
                try await eventually("no route is left") { try RedisRoutes.valid(redis, users: user).isEmpty }
            }
            Figures.note(
                "\(rounds) rounds of 100 clients with one key: one was left after \(Figures.spread(settled))"
            )
        }
    }
}
