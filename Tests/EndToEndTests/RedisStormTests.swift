import Foundation
import HeraldClient
import HeraldTesting
import Testing

/// What is promised when Redis fails (README, "When Redis fails"), one failure after the other: each under pushes, of
/// which every fourth publisher's are not kept, to clients that stay where they are.
@Suite(.timeLimit(.minutes(20))) struct RedisStormTests {
    private static func plan(seconds: Int = 4) -> DeliveryStorm.Plan {
        var plan = DeliveryStorm.Plan(
            pushesPerSecond: Sanitizer.isOn ? 50 : 300,
            duration: .seconds(Soak.size(seconds, soak: 30)) * (Sanitizer.isOn ? 2 : 1)
        ) { _ in .stays }
        plan.isDurable = { $0 % 4 != 0 }
        return plan
    }

    /// All is quick but leases and pings: no failure here is longer than a lease, and no client is thought dead.
    private static let environment = ProxiedHerald.quick.filter { name, _ in
        !["LEASE", "PING", "PONG"].contains { name.contains($0) }
    }

    /// What holds in every failure.
    private static func judge(_ report: DeliveryStorm.Report, _ what: String) {
        report.judge(what)
        #expect(report.connects == report.history.clients.count, "nobody is disconnected")
    }

    /// A failure after which Redis has everything that it had.
    enum Passing: String, CaseIterable, CustomTestStringConvertible {
        case everyLinkDrops = "all links are cut every half second"
        case frozen = "Redis is frozen for two seconds"
        case pausesClients = "CLIENT PAUSE for a second"
        case blocked = "Redis is blocked for 300 ms, again and again"
        case far = "Redis is 60 ms away, there and back"

        var testDescription: String { rawValue }

        func strike(_ herald: DeliveryHerald) async throws {
            switch self {
            case .everyLinkDrops:
                let wire = try RedisWire(port: herald.redis.port)
                for type in ["pubsub", "normal"] { try wire.ask("CLIENT", "KILL", "TYPE", type) }
                try await DeliveryStorm.pass(.milliseconds(500))
            case .frozen:
                try await DeliveryStorm.pass(.milliseconds(500))
                herald.redis.pause()
                try await DeliveryStorm.pass(.seconds(2))
                herald.redis.resume()
                try await DeliveryStorm.pass(.milliseconds(1500))
            case .pausesClients:
                try RedisWire(port: herald.redis.port).ask("CLIENT", "PAUSE", "1000")
                try await DeliveryStorm.pass(.seconds(2))
            case .blocked:
                try RedisWire(port: herald.redis.port).ask("DEBUG", "SLEEP", "0.3")
                try await DeliveryStorm.pass(.milliseconds(400))
            case .far:
                for direction in FaultProxy.Direction.allCases {
                    for part in herald.parts { part.proxy?.delay(direction, by: .milliseconds(30)) }
                }
                try await DeliveryStorm.pass(.milliseconds(500))
            }
        }
    }

    @Test(arguments: Passing.allCases)
    func `nothing that was promised is lost, and nobody is told of a loss`(_ failure: Passing) async throws {
        try await DeliveryHerald.run(nodes: 3, isProxied: failure == .far, environment: Self.environment) {
            herald in
            let report = try await DeliveryStorm.run(Self.plan(), on: herald) { _ in
                try await failure.strike(herald)
            }
            Self.judge(report, failure.rawValue)
            report.expectUnbroken()
            #expect(report.judgement.unseen == 0, "what a node was sent while it was deaf is in its hop")
            #expect(report.judgement.misjudged == 0)
        }
    }

    @Test func `a subscriber that Redis cuts for its output reads on where it was`() async throws {
        try await DeliveryHerald.run(nodes: 3, environment: Self.environment) { herald in
            let wire = try RedisWire(port: herald.redis.port)
            try wire.ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32768 0 0")
            var plan = Self.plan()
            plan.largeBytes = 60_000
            let report = try await DeliveryStorm.run(plan, on: herald) { _ in
                try await DeliveryStorm.pass(.milliseconds(500))
            }
            let log = try String(contentsOfFile: herald.redis.folder + "/redis.log", encoding: .utf8)
            let cuts = log.components(separatedBy: "overcoming of output buffer limits").count - 1
            Self.judge(report, "Redis cut subscribers \(cuts) times for output over 32 KiB")
            #expect(cuts > 5)
            report.expectUnbroken()
            #expect(report.judgement.unseen == 0)
        }
    }

    /// A failure after which clients cannot know what Redis has lost.
    enum Breaking: String, CaseIterable, CustomTestStringConvertible {
        case restart = "Redis is killed and has its data"
        case emptyRestart = "Redis is killed and has nothing"
        case flush = "FLUSHALL"

        var testDescription: String { rawValue }

        func strike(_ herald: DeliveryHerald) async throws {
            switch self {
            case .restart: try await herald.redis.restart()
            case .emptyRestart: try await herald.restartRedisEmpty()
            case .flush: try RedisWire(port: herald.redis.port).ask("FLUSHALL")
            }
        }
    }

    @Test(arguments: Breaking.allCases)
    func `everybody is told when Redis may have lost something`(_ failure: Breaking) async throws {
        try await DeliveryHerald.run(nodes: 3, environment: Self.environment) { herald in
            let strikes = Soak.size(1, soak: 5)
            let plan = Self.plan(seconds: 6)
            let duration = plan.duration
            let report = try await DeliveryStorm.run(plan, on: herald) { turn in
                try await DeliveryStorm.pass(duration / (strikes * 2))
                if turn < strikes { try await failure.strike(herald) }
                try await DeliveryStorm.pass(duration / (strikes * 2))
            }
            Self.judge(
                report,
                "\(failure.rawValue), \(strikes) times; it lost \(report.lostByRedis) promised pushes"
            )
            #expect(report.judgement.tellings >= plan.users * strikes)
            #expect((report.lostByRedis > 0) == (failure != .restart))
        }
    }

    @Test
    func `a starved subscription heals within two probe intervals, and its node is not ready meanwhile`()
        async throws
    {
        try await DeliveryHerald.run(nodes: 3, isProxied: true, environment: Self.environment) { herald in
            let starvations = Soak.size(2, soak: 6)
            let plan = Self.plan(seconds: 12)
            var healings: [Healing] = []
            let report = try await DeliveryStorm.run(plan, on: herald) { turn in
                guard turn < starvations else { return try await DeliveryStorm.pass(.milliseconds(200)) }
                let node = herald.nodes[turn % herald.nodes.count]
                try await herald.waitUntilReady(node)
                let proxy = try #require(node.proxy)
                healings.append(
                    try await Healing.watch(node) {
                        #expect(proxy.swallow(.toClient, where: "SUBSCRIBE") == 1)
                    }
                )
            }
            Self.judge(report, "subscriptions starved, \(healings)")
            #expect(healings.count == starvations)
            // An interval is 2 s. A machine that keeps the node itself waiting is not its fault.
            #expect(healings.allSatisfy { $0.healed < .promised(.seconds(4) + $0.slowest) })
            report.expectUnbroken()
            #expect(report.judgement.unseen == 0)
        }
    }
}

/// How a node took its subscription's starvation, by its `/readyz`.
private struct Healing: CustomStringConvertible {
    /// From the starvation until it said no.
    var noticed: Duration
    /// From the starvation until it said yes again.
    var healed: Duration
    /// The longest that one answer took.
    var slowest = Duration.zero

    var description: String { "noticed after \(noticed), healed after \(healed), answered within \(slowest)" }

    static func watch(_ node: DeliveryHerald.Part, starve: () -> Void) async throws -> Healing {
        let began = ContinuousClock.now
        var slowest = Duration.zero
        func says(_ status: Int) async throws -> Duration {
            try await eventually("/readyz says \(status)", within: .seconds(30), every: .milliseconds(5)) {
                let asked = ContinuousClock.now
                let answer = try await node.pages.get("/readyz").status
                slowest = max(slowest, ContinuousClock.now - asked)
                return answer == status
            }
            return ContinuousClock.now - began
        }
        starve()
        let noticed = try await says(503)
        return Healing(noticed: noticed, healed: try await says(200), slowest: slowest)
    }
}
