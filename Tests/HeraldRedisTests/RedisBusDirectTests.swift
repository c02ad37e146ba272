import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// The look-up and the publish in one step: it does what the two do, or nothing.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisBusDirectTests {
    private struct Rig: Sendable {
        let table: RedisRouteTable
        let bus: RedisBus
        let link: RedisLink
    }

    private func withRig(_ body: @Sendable (Rig) async throws -> Void) async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                let bus = RedisBus(
                    link: link,
                    address: try RedisAddress(redis.url),
                    options: quickOptions(),
                    on: nextLoop()
                )
                try await body(
                    Rig(table: RedisRouteTable(link: link, rules: .standard), bus: bus, link: link)
                )
            }
        }
    }

    private let envelope = Array("envelope".utf8)

    private func hopLengths(_ rig: Rig) async throws -> [Int64] {
        var lengths: [Int64] = []
        for name in ["cloud-1", "cloud-2"] {
            let reply = try await rig.link.send(RedisCommand("XLEN", .text("herald:hop:{\(name)}")))
            lengths.append(reply.number ?? -1)
        }
        return lengths
    }

    @Test func `it finds what a look-up finds and publishes once to each node`() async throws {
        try await withRig { rig async throws in
            let one = try await rig.table.register(profile("cloud-1"), lease: .seconds(10))
            let two = try await rig.table.register(profile("cloud-2"), lease: .seconds(10))
            let binds = [
                try bind("alice/phone", one, 1), try bind("alice/desk", one, 2), try bind("alice/tv", two, 1),
                try bind("bob/phone", two, 2),
            ]
            _ = try await rig.table.bind(binds, for: .seconds(10))
            let alice = try UserID("alice")
            let looked = try await rig.table.look(up: Lookup(users: [alice]))

            let events = Events<BusEvent>()
            try await withThrowingTaskGroup(of: Void.self) { group async throws in
                group.addTask { try await rig.bus.listen(to: .node(node("cloud-1")), events.record) }
                defer { group.cancelAll() }
                #expect(await events.take { _ in true } == [.subscribed])
                let answer = try await rig.bus.publish(envelope, to: .user(alice))
                #expect(answer == DirectAnswer(found: looked, missed: [try node("cloud-2")]))
                #expect(await events.take { !$0.texts.isEmpty }.texts == ["envelope"])
            }
            #expect(try await hopLengths(rig) == [1, 1])

            let desk = try UserKey("alice/desk")
            let key = try await rig.bus.publish(envelope, to: .key(desk))
            #expect(key?.found == (try await rig.table.look(up: Lookup(keys: [desk]))))
            #expect(try await hopLengths(rig) == [2, 1])
        }
    }

    @Test func `nothing goes out where a look-up would have to judge`() async throws {
        try await withRig { rig async throws in
            let one = try await rig.table.register(profile("cloud-1"), lease: .seconds(10))
            let two = try await rig.table.register(profile("cloud-2"), lease: .seconds(5))
            let (alice, bob, carol) = (try UserID("alice"), try UserID("bob"), try UserID("carol"))
            _ = try await rig.table.bind([bind("alice/phone", one, 1)], for: .seconds(5))
            _ = try await rig.table.bind(
                [bind("bob/phone", one, 2), bind("bob/tv", two, 1), bind("carol/phone", one, 3)],
                for: .seconds(10)
            )
            try await passTime(.seconds(5), at: rig.link)
            try await rig.link.send(RedisCommand("SET", "herald:user:{dave}", "a string"))
            try await rig.link.send(RedisCommand("HSET", "herald:user:{erin}", "phone", "no mapping"))
            // A later run of cloud-1 than the one that carol is bound to.
            let user = RedisArgument.text("herald:user:{carol}")
            let text = "cloud-1#\(one.incarnation.number + 1).3 1 99999999999999"
            try await rig.link.send(RedisCommand("HSET", user, "phone", .text(text)))
            let targets: [Target] = [
                .user(alice), .key(try UserKey("alice/phone")), .user(bob), .user(carol),
                .user(try UserID("dave")), .key(try UserKey("dave/phone")), .user(try UserID("erin")),
                .user(try UserID("nobody")), .key(try UserKey("bob/none")), .room(try RoomID("r")), .everyone,
            ]
            for target in targets {
                #expect(try await rig.bus.publish(envelope, to: target) == nil, "\(target)")
            }
            #expect(try await hopLengths(rig) == [0, 0])
            // The key that is well is not held up by the one that is over.
            #expect(try await rig.bus.publish(envelope, to: .key(try UserKey("bob/phone"))) != nil)
        }
    }

    @Test func `a departure that is held back is no mapping`() async throws {
        try await withRig { rig async throws in
            let one = try await rig.table.register(profile("cloud-1"), lease: .seconds(10))
            _ = try await rig.table.bind([bind("alice/phone", one, 1)], for: .seconds(10))
            let alice = try UserID("alice")
            let user = RedisArgument.text("herald:user:{alice}")
            let text = "~cloud-1#\(one.incarnation.number).2 1 99999999999999 closed"
            try await rig.link.send(RedisCommand("HSET", user, "desk", .text(text)))
            let answer = try await rig.bus.publish(envelope, to: .user(alice))
            #expect(answer?.found.users.first?.map(\.name.description) == ["alice/phone"])
        }
    }

    @Test func `a Redis that is away is an error, not a nobody`() async throws {
        let redis = try await OwnRedis.start()
        try await withLink(to: redis.url) { link async throws in
            let bus = RedisBus(
                link: link,
                address: try RedisAddress(redis.url),
                options: quickOptions(),
                on: nextLoop()
            )
            redis.stop()
            let alice = try UserID("alice")
            await #expect(throws: BusError.self) { try await bus.publish(envelope, to: .user(alice)) }
            // By now the link knows, and sends nothing.
            let error = await #expect(throws: BusError.self) {
                try await bus.publish(envelope, to: .user(alice))
            }
            #expect(error?.isUnsent == true)
        }
    }
}
