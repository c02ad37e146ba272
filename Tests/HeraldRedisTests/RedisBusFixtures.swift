import HeraldCore
import HeraldRedis
import HeraldTesting
import NIOCore
import NIOPosix

/// A Redis, a bus whose listeners reach it through a proxy, and one listener of cloud-1 that is subscribed.
struct BusRig: Sendable {
    let redis: OwnRedis
    let link: RedisLink
    let proxy: FaultProxy
    let bus: RedisBus
    let events: Events<BusEvent>

    /// Publishes one message after the other, in one turn.
    ///
    /// - Returns: how many listeners each had.
    @discardableResult
    func publish(_ numbers: some Sequence<Int>) async throws -> [Int] {
        let one = try node()
        return try await bus.publish(numbers.map { BusMessage(node: one, bytes: Array("\($0)".utf8)) })
    }

    /// All events up to the one that brings this message.
    func events(upTo message: Int) async -> [BusEvent] {
        await events.take { events in
            guard case .messages(let messages) = events.last else { return false }
            return messages.contains { $0.elementsEqual("\(message)".utf8) }
        }
    }
}

func withBusRig(
    _ arguments: [String] = [],
    limits: RedisBusLimits = RedisBusLimits(),
    options: RedisLinkOptions = quickOptions(),
    address: BusAddress? = nil,
    _ body: @Sendable (BusRig) async throws -> Void
) async throws {
    let address = try address ?? .node(node())
    try await OwnRedis.with(arguments) { redis async throws in
        try await withLink(to: redis.url, options) { link async throws in
            let proxy = try FaultProxy(to: redis.port)
            let bus = RedisBus(
                link: link,
                address: try RedisAddress("redis://127.0.0.1:\(proxy.port)"),
                options: options,
                limits: limits,
                on: MultiThreadedEventLoopGroup.singleton
            )
            let rig = BusRig(redis: redis, link: link, proxy: proxy, bus: bus, events: Events())
            try await withThrowingTaskGroup(of: Void.self) { group async throws in
                group.addTask { try await bus.listen(to: address, rig.events.record) }
                defer { group.cancelAll() }
                _ = await rig.events.take { $0.last == .subscribed }
                try await body(rig)
            }
        }
    }
}

/// What a listener was told.
extension Collection<BusEvent> {
    var numbers: [Int] {
        texts.compactMap { Int($0) }
    }

    var texts: [String] {
        flatMap { event -> [String] in
            guard case .messages(let messages) = event else { return [] }
            return messages.map { String(decoding: $0, as: UTF8.self) }
        }
    }

    var gaps: [String] {
        compactMap { event in if case .gap(let reason) = event { reason } else { nil } }
    }

    var losses: [String] {
        compactMap { event in if case .lost(let reason) = event { reason } else { nil } }
    }
}

/// Something that happens at a steady pace: the n-th time of it, until the body says that it is enough.
func paced(every interval: Duration, _ body: (Int) async throws -> Bool) async throws {
    let loop = nextLoop()
    var round = 0
    while try await body(round) {
        round += 1
        try await loop.scheduleTask(in: TimeAmount(interval)) {}.futureResult.get()
    }
}
