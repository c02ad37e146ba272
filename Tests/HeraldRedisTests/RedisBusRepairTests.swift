import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// Nothing that was published to a node is lost, repeated or out of order, or a gap is told.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisBusRepairTests {
    @Test func `subscribers killed ten times a second miss nothing`() async throws {
        try await withBusRig { rig async throws in
            let (perSender, senders) = (1000, ["a", "b"])
            let one = try node()
            try await withThrowingTaskGroup(of: Void.self) { killing async throws in
                killing.addTask {
                    try await paced(every: .milliseconds(100)) { _ in
                        // Cancelled when the last message is published.
                        _ = try? await rig.link.send(RedisCommand("CLIENT", "KILL", "TYPE", "pubsub"))
                        return !Task.isCancelled
                    }
                }
                try await withThrowingTaskGroup(of: Void.self) { sending async throws in
                    for sender in senders {
                        sending.addTask {
                            try await paced(every: .milliseconds(3)) { round in
                                let bytes = Array("\(sender)\(round)".utf8)
                                _ = try await rig.bus.publish([BusMessage(node: one, bytes: bytes)])
                                return round + 1 < perSender
                            }
                        }
                    }
                    try await sending.waitForAll()
                }
                killing.cancelAll()
            }
            try await rig.publish([1])
            let events = await rig.events(upTo: 1)
            for sender in senders {
                let got = events.texts.filter { $0.hasPrefix(sender) }
                #expect(got == (0..<perSender).map { "\(sender)\($0)" })
            }
            #expect(events.texts.count == perSender * senders.count + 1)
            #expect(events.gaps == [])
            #expect(events.losses.count >= 10)
        }
    }

    @Test func `a subscriber cut at its output limit misses nothing`() async throws {
        try await withBusRig { rig async throws in
            try await rig.link.send(
                RedisCommand("CONFIG", "SET", "client-output-buffer-limit", "pubsub 32768 0 0")
            )
            let one = try node()
            // Each tenth message alone is more than Redis lets lie for a subscriber.
            let padding = String(repeating: ".", count: 50_000)
            for start in stride(from: 0, to: 200, by: 20) {
                let texts = (start..<start + 20).map { $0 % 10 == 5 ? "\($0)\(padding)" : "\($0)" }
                _ = try await rig.bus.publish(texts.map { BusMessage(node: one, bytes: Array($0.utf8)) })
            }
            try await rig.publish([200])
            let events = await rig.events(upTo: 200)
            #expect(events.texts.map { Int($0.prefix { $0 != "." }) } == (0...200).map { $0 })
            #expect(events.gaps == [])
            #expect(!events.losses.isEmpty)
        }
    }

    @Test func `what is published while nobody listens comes before subscribed is told`() async throws {
        try await withBusRig { rig async throws in
            try await rig.publish(0..<10)
            #expect(await rig.events(upTo: 9).numbers == Array(0..<10))
            rig.proxy.cut()
            #expect(await rig.events.take { _ in true }.losses.count == 1)
            try await eventually("Redis sees that the subscriber is gone") {
                try await rig.publish([10]) == [0]
            }
            // More than one page of the hop.
            #expect(try await rig.publish(11..<300) == Array(repeating: 0, count: 289))
            rig.proxy.mend()
            let events = await rig.events.take { $0.last == .subscribed }
            #expect(events.gaps == [])
            #expect(events.numbers.drop { $0 == 10 } == Array(11..<300)[...])
            #expect(try await rig.publish([300]) == [1])
            #expect(await rig.events.take { _ in true }.numbers == [300])
        }
    }

    @Test func `a listener that begins gets nothing of an earlier life`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                let bus = RedisBus(
                    link: link,
                    address: try RedisAddress(redis.url),
                    options: quickOptions(),
                    on: nextLoop()
                )
                let one = try node()
                for life in 0..<3 {
                    // For the life that is over, or never was.
                    try await eventually("the earlier life's subscriber is gone") {
                        try await bus.publish([BusMessage(node: one, bytes: [9])]) == [0]
                    }
                    let events = Events<BusEvent>()
                    try await withThrowingTaskGroup(of: Void.self) { group async throws in
                        group.addTask { try await bus.listen(to: .node(one), events.record) }
                        defer { group.cancelAll() }
                        #expect(await events.take { _ in true } == [.subscribed])
                        let bytes = [UInt8(life)]
                        #expect(try await bus.publish([BusMessage(node: one, bytes: bytes)]) == [1])
                        #expect(await events.take { _ in true } == [.messages([bytes])])
                    }
                }
            }
        }
    }

    @Test func `a Redis that restarts with its data has lost nothing`() async throws {
        try await withBusRig(["--appendonly", "yes"]) { rig async throws in
            try await restart(rig)
            let events = await rig.events(upTo: 150)
            #expect(events.numbers == Array(50...150))
            #expect(events.gaps == [])
        }
    }

    @Test func `a Redis that restarts without data is a gap, and what came since is delivered`() async throws
    {
        try await withBusRig { rig async throws in
            try await restart(rig)
            let events = await rig.events(upTo: 150)
            #expect(events.numbers == Array(100...150))
            #expect(events.gaps.count == 1)
            let beforeTheGap = events.prefix { [$0].gaps.isEmpty }
            #expect(beforeTheGap.numbers == [])
        }
    }

    /// 0 to 49 arrive; 50 to 99 are published while the listener is cut off, and 100 to 149 after a restart; 150
    /// when it is back.
    private func restart(_ rig: BusRig) async throws {
        try await rig.publish(0..<50)
        #expect(await rig.events(upTo: 49).numbers == Array(0..<50))
        rig.proxy.cut()
        try await eventually("Redis sees that the subscriber is gone") {
            try await rig.link.send(RedisCommand("PUBLISH", "herald:to:{cloud-1}", "x")) == .integer(0)
        }
        try await rig.publish(50..<100)
        rig.redis.kill()
        try await rig.redis.restart()
        await untilConnected(rig.link, times: 2)
        try await rig.publish(100..<150)
        rig.proxy.mend()
        try await eventually("the listener is back") {
            try await rig.link.send(RedisCommand("PUBSUB", "NUMSUB", "herald:to:{cloud-1}")).elements?.last
                == .integer(1)
        }
        try await rig.publish([150])
    }

    @Test func `a publish whose answer is lost goes out once, and again only when called again`() async throws
    {
        let options = quickOptions { $0.limits.commandTimeout = .milliseconds(200) }
        try await withBusRig { rig async throws in
            let answers = try FaultProxy(to: rig.redis.port)
            try await withLink(to: "redis://127.0.0.1:\(answers.port)", options) { link async throws in
                let bus = RedisBus(
                    link: link,
                    address: try RedisAddress(rig.redis.url),
                    options: options,
                    on: nextLoop()
                )
                let message = BusMessage(node: try node(), bytes: Array("1".utf8))
                answers.hold(.toClient)
                await #expect(throws: BusError.self) { try await bus.publish([message]) }
                answers.mend()
                #expect(try await bus.publish([message]) == [1])
            }
            try await rig.publish([2])
            #expect(await rig.events(upTo: 2).numbers == [1, 1, 2])
        }
    }

    @Test func `a hop that was trimmed is a gap, then comes what is left`() async throws {
        var limits = RedisBusLimits()
        limits.hopEntriesMax = 10
        try await withBusRig(limits: limits) { rig async throws in
            try await rig.publish([0])
            _ = await rig.events(upTo: 0)
            rig.proxy.cut()
            _ = await rig.events.take { !$0.losses.isEmpty }
            try await rig.publish(1...500)
            rig.proxy.mend()
            let events = await rig.events.take { $0.last == .subscribed }
            #expect(events.gaps.count == 1)
            let numbers = events.numbers
            #expect(numbers.count >= 10 && numbers.count < 400)
            #expect(numbers == Array((501 - numbers.count)...500))
            guard case .gap = events.first else {
                Issue.record("the gap is not in its place")
                return
            }
        }
    }

    @Test func `FLUSHALL under a living subscription is a gap, and nothing more is lost`() async throws {
        try await withBusRig { rig async throws in
            try await rig.publish(0..<10)
            _ = await rig.events(upTo: 9)
            try await rig.link.send(RedisCommand("FLUSHALL"))
            try await rig.publish(10..<20)
            let events = await rig.events.take { $0.numbers.last == 19 && $0.contains(.subscribed) }
            #expect(events.numbers == Array(10..<20))
            #expect(events.gaps.count == 1)
        }
    }

    @Test func `an idle listener notices FLUSHALL by its probe`() async throws {
        var limits = RedisBusLimits()
        limits.probeInterval = .milliseconds(50)
        try await withBusRig(limits: limits) { rig async throws in
            try await rig.publish([0])
            _ = await rig.events(upTo: 0)
            try await rig.link.send(RedisCommand("FLUSHALL"))
            let events = await rig.events.take { !$0.gaps.isEmpty }
            #expect(events.numbers == [])
        }
    }

    @Test func `a message too large for the hop is delivered, and who misses it is told`() async throws {
        var limits = RedisBusLimits()
        limits.hopBytesMax = 1000
        try await withBusRig(limits: limits) { rig async throws in
            let one = try node()
            let large = BusMessage(node: one, bytes: Array(repeating: 46, count: 1001))
            #expect(try await rig.bus.publish([large]) == [1])
            #expect(await rig.events.take { _ in true } == [.messages([large.bytes])])
            rig.proxy.cut()
            _ = await rig.events.take { !$0.losses.isEmpty }
            _ = try await rig.bus.publish([large])
            try await rig.publish([1])
            rig.proxy.mend()
            let events = await rig.events.take { $0.last == .subscribed }
            #expect(events.gaps.count == 1)
            #expect(events.numbers == [1])
        }
    }
}
