import HeraldRedis
import HeraldTesting
import Testing

@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisSubscriptionTests {
    private typealias Recorder = Events<RedisSubscriptionEvent>

    private func withSubscription<Answer: Sendable>(
        to url: String,
        _ channels: [String],
        _ options: RedisLinkOptions = quickOptions(),
        _ body: @Sendable (RedisSubscription, Events<RedisSubscriptionEvent>) async throws -> Answer
    ) async throws -> Answer {
        let events = Recorder()
        let subscription = try RedisSubscription(
            to: RedisAddress(url),
            channels: channels,
            options: options,
            on: nextLoop(),
            receive: events.record
        )
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await subscription.run() }
            defer { group.cancelAll() }
            return try await body(subscription, events)
        }
    }

    private func messages(_ events: [RedisSubscriptionEvent]) -> [String] {
        events.flatMap { event -> [String] in
            guard case .messages(let messages, let channel) = event else { return [] }
            return messages.map { "\(channel):\(String(decoding: $0, as: UTF8.self))" }
        }
    }

    @Test func `messages come in order and many in one batch`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                try await withSubscription(to: redis.url, ["a", "b"]) { subscription, events async throws in
                    #expect(await events.take { _ in true } == [.subscribed])
                    let commands = (0..<1000).map {
                        RedisCommand("PUBLISH", $0 % 10 == 9 ? "b" : "a", .text("\($0)"))
                    }
                    let counts = try await link.send(commands)
                    #expect(counts.allSatisfy { $0 == .integer(1) })
                    let found = await events.take { messages($0).count == 1000 }
                    #expect(messages(found) == (0..<1000).map { ($0 % 10 == 9 ? "b:" : "a:") + "\($0)" })
                    #expect(found.count < 1000)
                    #expect(subscription.status.phase == .ready)
                }
            }
        }
    }

    @Test func `a large binary message comes whole`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                try await withSubscription(to: redis.url, ["a"]) { _, events async throws in
                    _ = await events.take { _ in true }
                    let payload = Array(repeating: Array(0...255 as ClosedRange<UInt8>), count: 12_000)
                        .flatMap { $0 }
                    try await link.send(RedisCommand("PUBLISH", "a", .bytes(payload)))
                    #expect(await events.take { _ in true } == [.messages([payload], channel: "a")])
                }
            }
        }
    }

    @Test func `a cut subscriber says so and subscribes again`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                try await withSubscription(to: redis.url, ["a"]) { subscription, events async throws in
                    _ = await events.take { _ in true }
                    try await link.send(RedisCommand("CLIENT", "KILL", "TYPE", "pubsub"))
                    let found = await events.take { $0.last == .subscribed }
                    #expect(found.count == 2)
                    guard case .lost = found.first else {
                        Issue.record("not told of the loss")
                        return
                    }
                    #expect(try await link.send(RedisCommand("PUBLISH", "a", "again")) == .integer(1))
                    #expect(messages(await events.take { _ in true }) == ["a:again"])
                    #expect(subscription.status.reconnects == 1)
                }
            }
        }
    }

    @Test func `a silent Redis is noticed by the ping and taken back when it wakes`() async throws {
        try await OwnRedis.with { redis async throws in
            let options = quickOptions {
                $0.limits.keepAlive = .milliseconds(50)
                $0.limits.silenceMax = .milliseconds(300)
                $0.limits.connectTimeout = .milliseconds(300)
            }
            try await withSubscription(to: redis.url, ["a"], options) { _, events async throws in
                _ = await events.take { _ in true }
                redis.pause()
                guard case .lost(let reason) = await events.take(until: { _ in true }).last else {
                    Issue.record("not told of the loss")
                    return
                }
                #expect(reason.contains("silent"))
                redis.resume()
                #expect(await events.take { _ in true } == [.subscribed])
            }
        }
    }

    @Test func `pings keep a quiet subscription alive`() async throws {
        try await OwnRedis.with { redis async throws in
            let options = quickOptions {
                $0.limits.keepAlive = .milliseconds(10)
                $0.limits.silenceMax = .seconds(10)
            }
            try await withLink(to: redis.url) { link async throws in
                try await withSubscription(to: redis.url, ["a"], options) {
                    subscription,
                    events async throws in
                    _ = await events.take { _ in true }
                    // Ten pings later by Redis's own count, it is still the first connection.
                    var pings: Int64 = 0
                    while pings < 10 {
                        let stats = try await link.send(RedisCommand("INFO", "commandstats")).text ?? ""
                        let line = stats.split(separator: "\r\n").first {
                            $0.hasPrefix("cmdstat_ping:calls=")
                        }
                        pings = line.flatMap { Int64($0.dropFirst(19).prefix { $0 != "," }) } ?? 0
                    }
                    #expect(subscription.status.connections == 1 && subscription.status.phase == .ready)
                }
            }
        }
    }

    @Test func `a Redis that comes back is subscribed to again`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withSubscription(to: redis.url, ["a", "b"]) { _, events async throws in
                _ = await events.take { _ in true }
                redis.kill()
                guard case .lost = await events.take(until: { _ in true }).last else {
                    Issue.record("not told of the loss")
                    return
                }
                try await redis.restart()
                #expect(await events.take { _ in true } == [.subscribed])
            }
        }
    }

    @Test func `who may not subscribe is told why`() async throws {
        try await OwnRedis.with(["--user", "app", "on", ">secret", "~*", "+@all", "resetchannels", "&mine"]) {
            redis async throws in
            let subscription = try RedisSubscription(
                to: RedisAddress("redis://app:secret@127.0.0.1:\(redis.port)"),
                channels: ["mine", "other"],
                options: quickOptions(),
                on: nextLoop()
            ) { _ in }
            let error = await #expect(throws: RedisError.self) { try await subscription.run() }
            #expect(error?.code == .refused && error?.description.contains("NOPERM") == true)
        }
        let error = #expect(throws: RedisError.self) {
            try RedisSubscription(to: RedisAddress("redis://localhost"), channels: [], on: nextLoop()) { _ in
            }
        }
        #expect(error?.code == .badConfiguration)
    }
}
