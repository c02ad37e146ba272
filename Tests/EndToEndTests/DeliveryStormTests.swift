import Foundation
import HeraldTesting
import Testing

/// 500 durable pushes a second to 200 users on three nodes while connections, nodes and Redis go: nobody misses
/// anything unsaid. Every tenth user is connected every other second only, so that much is `stored`.
@Suite(.timeLimit(.minutes(10))) struct DeliveryStormTests {
    private static let duration =
        Soak.size(Duration.seconds(5), soak: .seconds(30)) * (Sanitizer.isOn ? 2 : 1)
    private static let rate = Sanitizer.isOn ? 50 : 500

    private static func plan(_ habit: DeliveryStorm.Habit) -> DeliveryStorm.Plan {
        DeliveryStorm.Plan(pushesPerSecond: rate, duration: duration) { client in
            client % 10 == 0 ? .rests(.seconds(1)) : habit
        }
    }

    @Test func `subscriptions are cut ten times a second`() async throws {
        try await DeliveryHerald.run(nodes: 3) { herald in
            let killer = try Killer(herald)
            let report = try await DeliveryStorm.run(Self.plan(.stays), on: herald) { _ in
                try await killer.killSoon()
            }
            report.judge("CLIENT KILL TYPE pubsub every 100 ms, \(killer.killed) killed")
            #expect(killer.killed > 0)
            report.expectUnbroken()
        }
    }

    @Test func `subscriptions are cut while every client goes to a random node each second`() async throws {
        try await DeliveryHerald.run(nodes: 3) { herald in
            let killer = try Killer(herald)
            let report = try await DeliveryStorm.run(Self.plan(.wanders(.seconds(1))), on: herald) { _ in
                try await killer.killSoon()
            }
            report.judge("the same, and clients go to a random node each second")
            #expect(report.connects > 400)
            report.expectUnbroken()
        }
    }

    @Test func `nodes are killed one after the other`() async throws {
        try await DeliveryHerald.run(nodes: 3) { herald in
            let killer = try Killer(herald)
            var plan = Self.plan(.stays)
            // Half wait for their node.
            plan.habit = { client in
                client % 10 == 0 ? .rests(.seconds(1)) : client % 2 == 0 ? .flees : .stays
            }
            let pause = Soak.size(Duration.seconds(2), soak: .seconds(5))
            var kills = 0
            let report = try await DeliveryStorm.run(plan, on: herald) { _ in
                let node = herald.nodes[kills % herald.nodes.count]
                let next = ContinuousClock.now + pause
                node.program.kill()
                kills += 1
                try await node.program.start()
                while ContinuousClock.now < next { try await killer.killSoon() }
            }
            report.judge("subscriptions cut, and \(kills) times a node killed")
            #expect(kills > 1)
            report.expectUnbroken()
        }
    }

    @Test func `Redis restarts without its last second`() async throws {
        try await DeliveryHerald.run(nodes: 3) { herald in
            var plan = Self.plan(.stays)
            let restarts = Soak.size(1, soak: 3)
            plan.duration = Soak.size(.seconds(8), soak: .seconds(36))
            let report = try await DeliveryStorm.run(plan, on: herald) { turn in
                guard turn < restarts else { return try await DeliveryStorm.pass(.milliseconds(200)) }
                try await DeliveryStorm.pass(plan.duration / (restarts * 3))
                let sync = try herald.changesSize()
                try await DeliveryStorm.pass(.seconds(1))
                try await herald.restartRedis(keeping: sync)
                try await DeliveryStorm.pass(plan.duration / (restarts * 3))
            }
            report.judge(
                "Redis restarted \(restarts) times; it lost \(report.lostByRedis) promised pushes"
            )
            #expect(report.lostByRedis > 0, "the last second was not lost")
            // Every client stands in another run's inbox after each, and hears of it.
            #expect(report.judgement.tellings >= plan.users * restarts)
        }
    }
}

/// Cuts all subscriptions of a Redis, ten times a second.
private final class Killer {
    private(set) var killed = 0
    private let wire: RedisWire
    private var next = ContinuousClock.now

    init(_ herald: DeliveryHerald) throws { wire = try RedisWire(port: herald.redis.port) }

    func killSoon() async throws {
        try await eventually("the next tenth of a second", every: .milliseconds(5)) { .now >= next }
        next = max(next + .milliseconds(100), .now)
        if case .number(let count) = try wire.ask("CLIENT", "KILL", "TYPE", "pubsub") { killed += count }
    }
}
