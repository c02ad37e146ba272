import HeraldCore
import HeraldRedis
import HeraldTesting
import NIOPosix
import Testing

/// What the scripts of the bus leave in Redis.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisBusScriptTests {
    private func withBus(
        _ limits: RedisBusLimits = RedisBusLimits(),
        _ body: @Sendable (RedisBus, RedisLink) async throws -> Void
    ) async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                let bus = RedisBus(
                    link: link,
                    address: try RedisAddress(redis.url),
                    options: quickOptions(),
                    limits: limits,
                    on: nextLoop()
                )
                try await body(bus, link)
            }
        }
    }

    private let hop: RedisArgument = "herald:hop:{cloud-1}"
    private let number: RedisArgument = "herald:hop:{cloud-1}:number"

    private func messages(_ count: Int, bytes: Int) throws -> [BusMessage] {
        let one = try node()
        return (0..<count).map { _ in BusMessage(node: one, bytes: Array(repeating: 46, count: bytes)) }
    }

    @Test func `numbers have no holes, and begin at Redis's clock`() async throws {
        try await withBus { bus, link async throws in
            let began = try await redisMilliseconds(link) * 1000
            _ = try await bus.publish(try messages(300, bytes: 5))
            let entries = try await link.send(RedisCommand("XRANGE", hop, "-", "+")).elements ?? []
            let numbers = entries.compactMap { $0.elements?[1].elements?[1].number }
            #expect(numbers.count == 300)
            #expect(zip(numbers, numbers.dropFirst()).allSatisfy { $0 + 1 == $1 })
            #expect(numbers[0] >= began && numbers[0] <= began + 10_000_000)
            #expect(try await link.send(RedisCommand("GET", number)).number == numbers.last)
            #expect(entries[0].elements?[1].elements?[3] == .string(Array(".....".utf8)))
        }
    }

    @Test func `nothing of a node stays for ever`() async throws {
        try await withBus { bus, link async throws in
            _ = try await bus.publish(try messages(1, bytes: 5))
            for key in [hop, number] {
                let left = try await link.send(RedisCommand("PTTL", key)).number ?? 0
                #expect(left > 3_500_000 && left <= 3_600_000)
            }
            let keys = try await link.send(RedisCommand("KEYS", "*")).elements?.compactMap(\.text)
            #expect(keys?.sorted() == ["herald:hop:{cloud-1}", "herald:hop:{cloud-1}:number"])
        }
    }

    @Test func `a hop is bounded by count`() async throws {
        var limits = RedisBusLimits()
        limits.hopEntriesMax = 300
        try await withBus(limits) { bus, link async throws in
            _ = try await bus.publish(try messages(2000, bytes: 5))
            let length = try await link.send(RedisCommand("XLEN", hop)).number ?? 0
            #expect(length >= 300 && length <= 400)
        }
    }

    @Test func `a hop is bounded by bytes`() async throws {
        var limits = RedisBusLimits()
        limits.hopBytesMax = 1_000_000
        try await withBus(limits) { bus, link async throws in
            func bytes() async throws -> Int64 {
                try await link.send(RedisCommand("MEMORY", "USAGE", hop, "SAMPLES", 0)).number ?? .max
            }
            // Large ones are looked at one by one; small ones, and then both, never come to twice the bound.
            for _ in 0..<20 {
                _ = try await bus.publish(try messages(25, bytes: 10_000))
                #expect(try await bytes() <= 1_000_000)
            }
            #expect(try await bytes() > 800_000)
            for _ in 0..<40 {
                _ = try await bus.publish(try messages(100, bytes: 3000))
                #expect(try await bytes() <= 2_000_000)
            }
            #expect(try await link.send(RedisCommand("XLEN", hop)).number ?? 0 > 250)
        }
    }

    @Test func `what is old goes with the next message or probe`() async throws {
        var limits = RedisBusLimits()
        limits.hopAgeMax = .milliseconds(1)
        try await withBus(limits) { bus, link async throws in
            // Each is a node of the stream, so that trimming is exact.
            _ = try await bus.publish(try messages(10, bytes: 5000))
            try await passTime(.milliseconds(5), at: link)
            _ = try await bus.publish(try messages(1, bytes: 5000))
            #expect(try await link.send(RedisCommand("XLEN", hop)).number ?? .max <= 2)
            try await passTime(.milliseconds(5), at: link)
            let events = Events<BusEvent>()
            try await withThrowingTaskGroup(of: Void.self) { group async throws in
                group.addTask { try await bus.listen(to: .node(node()), events.record) }
                defer { group.cancelAll() }
                #expect(await events.take { _ in true } == [.subscribed])
                #expect(try await link.send(RedisCommand("XLEN", hop)).number == 0)
            }
        }
    }

    @Test func `a Redis that is full takes nothing and says so`() async throws {
        try await withBus { bus, link async throws in
            try await link.send(RedisCommand("CONFIG", "SET", "maxmemory", "1"))
            let message = try messages(1, bytes: 5)
            await #expect(throws: BusError.self) { try await bus.publish(message) }
            try await link.send(RedisCommand("CONFIG", "SET", "maxmemory", "0"))
            #expect(try await bus.publish(message) == [0])
        }
    }

    @Test func `a user with the rights that redis.conf names can publish, listen and repair`() async throws {
        let rules =
            "on >secret ~herald:* &herald:* +@read +@write +@pubsub +@connection +@scripting +@transaction +time"
        let user = ["--user", "herald"] + rules.split(separator: " ").map(String.init)
        try await OwnRedis.with(user) { redis async throws in
            let url = "redis://herald:secret@127.0.0.1:\(redis.port)"
            try await withLink(to: url) { link async throws in
                var limits = RedisBusLimits()
                // So small that each message has the bytes counted.
                limits.hopBytesMax = 100_000
                let bus = RedisBus(
                    link: link,
                    address: try RedisAddress(url),
                    options: quickOptions(),
                    limits: limits,
                    on: nextLoop()
                )
                let events = Events<BusEvent>()
                try await withThrowingTaskGroup(of: Void.self) { group async throws in
                    group.addTask { try await bus.listen(to: .node(node()), events.record) }
                    defer { group.cancelAll() }
                    #expect(await events.take { _ in true } == [.subscribed])
                    try await withLink(to: redis.url) { other async throws in
                        _ = try await other.send(RedisCommand("CLIENT", "KILL", "TYPE", "pubsub"))
                    }
                    _ = try await bus.publish(try messages(20, bytes: 1000))
                    #expect(await events.take { $0.texts.count == 20 }.gaps == [])
                }
            }
        }
    }
}
