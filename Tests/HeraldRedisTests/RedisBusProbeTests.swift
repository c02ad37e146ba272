import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// A subscription that looks well and brings nothing is found out; a Redis that is slow to all is not blamed.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisBusProbeTests {
    private func limits(_ interval: Duration) -> RedisBusLimits {
        var limits = RedisBusLimits()
        limits.probeInterval = interval
        limits.probePatience = interval / 2
        return limits
    }

    @Test func `a starved link is rebuilt within two probe intervals, and nothing is lost`() async throws {
        let limits = RedisBusLimits()
        try await withBusRig(limits: limits) { rig async throws in
            try await rig.publish([0])
            _ = await rig.events(upTo: 0)
            let began = ContinuousClock.now
            rig.proxy.hold(.toClient)
            // Redis goes on as if somebody listened.
            #expect(try await rig.publish(1..<100) == Array(repeating: 1, count: 99))
            let lost = await rig.events.take { !$0.losses.isEmpty }
            #expect(lost.count == 1 && lost.losses[0].contains("starved"))
            rig.proxy.release(.toClient)
            let events = await rig.events.take { $0.last == .subscribed }
            #expect(ContinuousClock.now - began < .promised(limits.probeInterval * 2))
            #expect(events.numbers == Array(1..<100))
            #expect(events.gaps == [])
        }
    }

    @Test func `a starved listener for replies is rebuilt as well`() async throws {
        let replies = BusAddress.sender("logic-1")
        try await withBusRig(limits: limits(.milliseconds(200)), address: replies) { rig async throws in
            #expect(try await rig.bus.publish([BusMessage(to: replies, bytes: [114, 0])]) == [1])
            #expect(await rig.events.take { _ in true } == [.messages([[114, 0]])])
            rig.proxy.hold(.toClient)
            let lost = await rig.events.take { !$0.losses.isEmpty }
            #expect(lost.count == 1 && lost.losses[0].contains("starved"))
            rig.proxy.release(.toClient)
            #expect(await rig.events.take { _ in true } == [.subscribed])
            #expect(try await rig.bus.publish([BusMessage(to: replies, bytes: [])]) == [1])
            #expect(await rig.events.take { _ in true } == [.messages([[]])])
        }
    }

    @Test func `a subscription at a Redis that gets no probe is never called subscribed`() async throws {
        try await OwnRedis.with { other async throws in
            try await OwnRedis.with { redis async throws in
                try await withLink(to: redis.url) { link async throws in
                    try await withLink(to: other.url) { look async throws in
                        let bus = RedisBus(
                            link: link,
                            address: try RedisAddress(other.url),
                            options: quickOptions(),
                            limits: limits(.milliseconds(50)),
                            on: nextLoop()
                        )
                        let events = Events<BusEvent>()
                        try await withThrowingTaskGroup(of: Void.self) { group async throws in
                            group.addTask { try await bus.listen(to: .node(node()), events.record) }
                            try await eventually("three subscriptions, one after the other") {
                                let stats = try await look.send(RedisCommand("INFO", "commandstats")).text
                                return stats?.contains("cmdstat_subscribe:calls=3") == true
                            }
                            group.cancelAll()
                        }
                        events.record(.gap("the end"))
                        #expect(await events.take { _ in true } == [.gap("the end")])
                    }
                }
            }
        }
    }

    @Test func `a Redis that sleeps is not taken for a starved subscription`() async throws {
        let arguments = ["--enable-debug-command", "yes"]
        try await withBusRig(arguments, limits: limits(.milliseconds(100))) { rig async throws in
            let patient = quickOptions { $0.limits.silenceMax = .seconds(10) }
            try await withLink(to: rig.redis.url, patient) { other async throws in
                // Twenty times what a starved subscription gets.
                async let sleeping = other.send(RedisCommand("DEBUG", "SLEEP", "3"), timeout: .seconds(10))
                let before = rig.link.status.commandsTimedOut
                try await eventually("a probe of which Redis took no notice") {
                    rig.link.status.commandsTimedOut > before
                }
                _ = try await sleeping
            }
            try await eventually("Redis takes messages again") { (try? await rig.publish([1])) == [1] }
            let events = await rig.events(upTo: 1)
            #expect(events == [.messages([[49]])])
        }
    }

    @Test func `probes keep a quiet subscription as it is`() async throws {
        try await withBusRig(limits: limits(.milliseconds(20))) { rig async throws in
            try await eventually("twenty probes by Redis's own count") {
                let stats = try await rig.link.send(RedisCommand("INFO", "commandstats")).text ?? ""
                let line = stats.split(separator: "\r\n").first { $0.hasPrefix("cmdstat_publish:calls=") }
                return line.flatMap { Int($0.dropFirst(22).prefix { $0 != "," }) } ?? 0 >= 20
            }
            #expect(try await rig.publish([1]) == [1])
            #expect(await rig.events(upTo: 1) == [.messages([[49]])])
            #expect(rig.proxy.connections == 1)
        }
    }
}
