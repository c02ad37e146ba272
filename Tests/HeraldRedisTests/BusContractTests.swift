import HeraldCore
import HeraldRedis
import HeraldTesting
import NIOPosix
import Testing

/// A bus, and how to cut a node's listeners for a moment.
struct BusUnderTest: Sendable {
    let bus: any Bus
    let cut: @Sendable (NodeID) async throws -> Void
}

/// What every `Bus` promises. Runs against the one in memory and the one on Redis.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct BusContractTests {
    private func withBus(_ kind: Kind, _ body: @Sendable (BusUnderTest) async throws -> Void) async throws {
        switch kind {
        case .memory:
            let bus = MemoryBus()
            let under = BusUnderTest(bus: bus) { node in
                bus.cut(node)
                bus.restore(node)
            }
            try await body(under)
        case .redis:
            try await OwnRedis.with { redis async throws in
                try await withLink(to: redis.url) { link async throws in
                    let bus = RedisBus(
                        link: link,
                        address: try RedisAddress(redis.url),
                        options: quickOptions(),
                        on: MultiThreadedEventLoopGroup.singleton
                    )
                    try await body(
                        BusUnderTest(bus: bus) { _ in
                            try await link.send(RedisCommand("CLIENT", "KILL", "TYPE", "pubsub"))
                        }
                    )
                }
            }
        }
    }

    private func messages(_ events: [BusEvent]) -> [String] {
        events.flatMap { event -> [String] in
            guard case .messages(let messages) = event else { return [] }
            return messages.map { String(decoding: $0, as: UTF8.self) }
        }
    }

    @Test(arguments: Kind.allCases)
    func `each node gets what is for it, in order`(_ kind: Kind) async throws {
        try await withBus(kind) { under async throws in
            let (one, two) = (try node("cloud-1"), try node("cloud-2"))
            let (first, second) = (Events<BusEvent>(), Events<BusEvent>())
            #expect(try await under.bus.publish([BusMessage(node: one, bytes: [1])]) == [0])
            #expect(try await under.bus.publish([]) == [])
            try await withThrowingTaskGroup(of: Void.self) { group async throws in
                group.addTask { try await under.bus.listen(to: .node(one), first.record) }
                group.addTask { try await under.bus.listen(to: .node(two), second.record) }
                #expect(await first.take { _ in true } == [.subscribed])
                #expect(await second.take { _ in true } == [.subscribed])
                for number in 0..<100 {
                    let texts = (0..<10).map { "\(number)/\($0)" }
                    let batch = texts.map {
                        BusMessage(node: $0.hasSuffix("9") ? two : one, bytes: Array($0.utf8))
                    }
                    #expect(try await under.bus.publish(batch) == Array(repeating: 1, count: 10))
                }
                let all = (0..<100).flatMap { number in (0..<10).map { "\(number)/\($0)" } }
                #expect(
                    messages(await first.take { messages($0).count >= 900 })
                        == all.filter { !$0.hasSuffix("9") }
                )
                #expect(
                    messages(await second.take { messages($0).count >= 100 })
                        == all.filter { $0.hasSuffix("9") }
                )
                group.cancelAll()
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `a listener that was cut is told, and listens again`(_ kind: Kind) async throws {
        try await withBus(kind) { under async throws in
            let one = try node()
            let events = Events<BusEvent>()
            try await withThrowingTaskGroup(of: Void.self) { group async throws in
                group.addTask { try await under.bus.listen(to: .node(one), events.record) }
                _ = await events.take { _ in true }
                try await under.cut(one)
                let found = await events.take { $0.last == .subscribed }
                #expect(found.count == 2)
                guard case .lost = found.first else {
                    Issue.record("not told")
                    return
                }
                #expect(try await under.bus.publish([BusMessage(node: one, bytes: [1, 0, 255])]) == [1])
                #expect(await events.take { _ in true } == [.messages([[1, 0, 255]])])
                group.cancelAll()
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `what a node missed still arrives, each message once and in order`(
        _ kind: Kind
    ) async throws {
        try await withBus(kind) { under async throws in
            let one = try node()
            let events = Events<BusEvent>()
            try await withThrowingTaskGroup(of: Void.self) { group async throws in
                group.addTask { try await under.bus.listen(to: .node(one), events.record) }
                _ = await events.take { _ in true }
                var counts: [Int] = []
                for round in 0..<20 {
                    let texts = (0..<50).map { "\(round * 50 + $0)" }
                    async let cut: Void = round % 5 == 0 ? under.cut(one) : ()
                    counts += try await under.bus.publish(
                        texts.map { BusMessage(node: one, bytes: Array($0.utf8)) }
                    )
                    try await cut
                }
                let found = await events.take { messages($0).count >= 1000 }
                #expect(messages(found) == (0..<1000).map { "\($0)" })
                #expect(found.gaps == [])
                #expect(counts.allSatisfy { (0...1).contains($0) })
                group.cancelAll()
            }
        }
    }

    @Test func `in memory, who is cut gets what it missed or a gap`() async throws {
        let bus = MemoryBus()
        let one = try node()
        let events = Events<BusEvent>()
        try await withThrowingTaskGroup(of: Void.self) { group async throws in
            group.addTask { try await bus.listen(to: .node(one), events.record) }
            _ = await events.take { _ in true }
            for forgetting in [false, true] {
                bus.cut(one)
                #expect(try await bus.publish([BusMessage(node: one, bytes: [1])]) == [0])
                bus.restore(one, forgetting: forgetting)
                let found = await events.take { $0.last == .subscribed }
                #expect(found.count == 3)
                #expect(messages(found).count == (forgetting ? 0 : 1))
                #expect(found.gaps.count == (forgetting ? 1 : 0))
            }
            group.cancelAll()
        }
    }

    @Test(arguments: Kind.allCases)
    func `listening ends with its task`(_ kind: Kind) async throws {
        try await withBus(kind) { under async throws in
            let one = try node()
            let events = Events<BusEvent>()
            let listening = Task { try await under.bus.listen(to: .node(one), events.record) }
            _ = await events.take { _ in true }
            listening.cancel()
            await #expect(throws: CancellationError.self) { try await listening.value }
            // Redis may take a moment to see that the connection is closed.
            while try await under.bus.publish([BusMessage(node: one, bytes: [1])]) != [0] {
                await Task.yield()
            }
        }
    }

    @Test func `a wrong password ends the listening with the reason`() async throws {
        try await OwnRedis.with(["--requirepass", "secret"]) { redis async throws in
            try await withLink(to: "redis://:secret@127.0.0.1:\(redis.port)") { link async throws in
                let bus = RedisBus(
                    link: link,
                    address: try RedisAddress("redis://:wrong@127.0.0.1:\(redis.port)"),
                    options: quickOptions(),
                    on: MultiThreadedEventLoopGroup.singleton
                )
                let error = await #expect(throws: RedisError.self) {
                    try await bus.listen(to: .node(node())) { _ in }
                }
                #expect(error?.code == .refused && error?.mayRetry == false)
            }
        }
    }
}
