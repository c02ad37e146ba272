import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldRedis

/// Which events the scripts write, and which they do not.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct PresenceEventTests {
    @Test func `a connection is told when it comes, is replaced and goes`() async throws {
        try await withPresence(.grace(.zero)) { under async throws in
            let one = try await under.table.register(profile("cloud-1"), lease: .seconds(60))
            let two = try await under.table.register(profile("cloud-2"), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(bind("alice/phone", one, 1))
            _ = try await under.table.bindOne(bind("alice/phone", one, 1))
            let (pad, _) = try await under.table.bindOne(bind("alice/pad", one, 2))
            let (moved, _) = try await under.table.bindOne(bind("alice/phone", two, 1))
            #expect(try await under.index(of: one, "alice") == ["alice/pad"])
            #expect(try await under.index(of: two, "alice") == ["alice/phone"])
            for route in [phone, moved, moved, pad] {
                _ = try await under.table.unbind([Departure(route, reason: .timeout)])
            }
            #expect(
                try await under.told() == [
                    Told(.connected, phone, 1), Told(.connected, pad, 2),
                    Told(.replaced(previous: phone.session), moved, 2),
                    Told(.disconnected(.timeout), moved, 1), Told(.disconnected(.timeout), pad, 0),
                ]
            )
            #expect(try await under.stored("alice/phone") == nil)
            #expect(try await under.index(of: two, "alice").isEmpty)
        }
    }

    @Test func `who comes back within the grace was never gone`() async throws {
        try await withPresence { under async throws in
            let one = try await under.table.register(profile("cloud-1"), lease: .seconds(60))
            let two = try await under.table.register(profile("cloud-2"), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(bind("alice/phone", one, 1))
            #expect(try await under.table.unbind([Departure(phone, reason: .closed)]) == [true])
            // For readers the mapping is gone at once, and stays in nobody's way.
            #expect(try await under.table.routes(of: "alice").isEmpty)
            #expect(
                try await under.stored("alice/phone")?.hasPrefix("~\(phone.session) \(phone.epoch) ") == true
            )
            #expect(try await under.settle("alice") == .array([.integer(0), .integer(0), .integer(0)]))
            let (back, replaced) = try await under.table.bindOne(bind("alice/phone", two, 7))
            #expect(replaced == nil && under.table.presence.returns == 1)
            #expect(try await under.told() == [Told(.connected, phone, 1)])
            let held = RedisArgument.text(RedisKeys().held(PresencePartition.of(back.name.user)))
            #expect(try await under.link.send(RedisCommand("ZCARD", held)) == .integer(0))
            // A renewal that was under way meanwhile brings it back as well.
            #expect(try await under.table.unbind([Departure(back, reason: .closed)]) == [true])
            _ = try await under.table.renew([back], for: .seconds(60))
            #expect(try await under.told().count == 1)
            #expect(try await under.index(of: two, "alice") == ["alice/phone"])
        }
    }

    @Test func `a departure is told once when its grace is over`() async throws {
        try await withPresence(.grace(.seconds(20))) { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(bind("alice/phone", lease, 1))
            let (pad, _) = try await under.table.bindOne(bind("alice/pad", lease, 2))
            _ = try await under.table.unbind([Departure(phone, reason: .slow)])
            _ = try await under.table.unbind([Departure(pad, reason: .kicked)])
            // Who was sent away does not come back within the grace.
            let kicked = Told(.disconnected(.kicked), pad, 1)
            #expect(try await under.told().last == kicked)
            try await passTime(.seconds(20), at: under.link)
            let reply = try await under.settle("alice").elements ?? []
            #expect(reply.prefix(2) == [.integer(1), .integer(1)] && (reply.last?.number ?? -1) >= 0)
            #expect(try await under.settle("alice") == .array([.integer(0), .integer(0), .integer(0)]))
            #expect(try await under.told().suffix(2) == [kicked, Told(.disconnected(.slow), phone, 0)])
            #expect(try await under.link.send(RedisCommand("EXISTS", "herald:user:{alice}")) == .integer(0))
        }
    }

    @Test func `the hash outlives its last departure by an hour`() async throws {
        try await withPresence { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(bind("alice/phone", lease, 1), for: .seconds(2))
            _ = try await under.table.unbind([Departure(phone, reason: .closed)])
            let left = try await under.link.send(RedisCommand("PTTL", "herald:user:{alice}")).number ?? 0
            #expect(left > 3_600_000)
        }
    }

    @Test func `a new incarnation takes its connections over without a word`() async throws {
        try await withPresence { under async throws in
            let old = try await under.table.register(profile(), lease: .seconds(60))
            let (before, _) = try await under.table.bindOne(bind("alice/phone", old, 1))
            try await under.table.leave(old)
            let new = try await under.table.register(profile(), lease: .seconds(60))
            var after = before
            after.session = SessionID(node: new.node, incarnation: new.incarnation, counter: 1)
            _ = try await under.table.renew([after], for: .seconds(60))
            #expect(try await under.index(of: old, "alice").isEmpty)
            #expect(try await under.index(of: new, "alice") == ["alice/phone"])
            #expect(try await under.walk("cloud-1#\(old.incarnation)", "alice", "dead", 0) == 0)
            #expect(try await under.told() == [Told(.connected, before, 1)])
        }
    }

    @Test func `what Redis lost is told again by the renewal`() async throws {
        try await withPresence { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(bind("alice/phone", lease, 1))
            try await under.link.send(RedisCommand("FLUSHALL"))
            _ = try await under.table.renew([phone], for: .seconds(60))
            _ = try await under.table.renew([phone], for: .seconds(60))
            #expect(try await under.told() == [Told(.connected, phone, 1)])
            // The hash alone is lost: the index knows that it was told, to whoever comes next.
            try await under.link.send(RedisCommand("DEL", "herald:user:{alice}"))
            _ = try await under.table.renew([phone], for: .seconds(60))
            #expect(try await under.told().count == 1)
            try await under.link.send(RedisCommand("DEL", "herald:user:{alice}"))
            #expect(try await under.table.unbind([Departure(phone, reason: .kicked)]) == [false])
            #expect(try await under.told().last == Told(.disconnected(.kicked), phone, 0))
        }
    }

    @Test func `a dead incarnation's connections depart from its index, each once`() async throws {
        try await withPresence { under async throws in
            let dead = try await under.table.register(profile("cloud-1"), lease: .seconds(60))
            let live = try await under.table.register(profile("cloud-2"), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(bind("alice/phone", dead, 1))
            let (pad, _) = try await under.table.bindOne(bind("alice/pad", dead, 2))
            let (left, _) = try await under.table.bindOne(bind("alice/tv", dead, 3))
            let (car, _) = try await under.table.bindOne(bind("alice/car", dead, 4))
            let (moved, _) = try await under.table.bindOne(bind("alice/pad", live, 1))
            _ = try await under.table.unbind([Departure(left, reason: .closed)])
            try await under.link.send(RedisCommand("HDEL", "herald:user:{alice}", "car"))
            let name = "cloud-1#\(dead.incarnation)"
            #expect(try await under.walk(name, "alice", "dead", 0) == 2)
            #expect(try await under.walk(name, "alice", "dead", 0) == 0)
            #expect(try await under.index(of: dead, "alice").isEmpty)
            let told = try await under.told()
            // Of the car nothing is known but that it was there.
            var unknown = car
            unknown.session = SessionID(node: dead.node, incarnation: dead.incarnation, counter: 0)
            unknown.epoch = Epoch(0)
            #expect(Set(told.suffix(2).map(\.name)) == ["alice/phone", "alice/car"])
            #expect(told.contains { $0.session == unknown.session && $0.epoch == Epoch(0) })
            #expect(told.contains { $0.session == phone.session && $0.kind == .disconnected(.nodeLost) })
            #expect(told.suffix(2).allSatisfy { $0.connections == 2 || $0.connections == 3 })
            // Who moved and who left are not told of.
            #expect(try await under.table.routes(of: "alice").map(\.session) == [moved.session])
            #expect(
                told.filter { $0.name == "alice/pad" }.map(\.kind) == [
                    .connected, .replaced(previous: pad.session),
                ]
            )
            #expect(told.filter { $0.name == "alice/tv" }.map(\.kind) == [.connected])
        }
    }

    @Test func `a dead node's users have their grace, and a delayed bind is found`() async throws {
        try await withPresence { under async throws in
            let dead = try await under.table.register(profile("cloud-1"), lease: .seconds(60))
            let live = try await under.table.register(profile("cloud-2"), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(bind("alice/phone", dead, 1))
            let name = "cloud-1#\(dead.incarnation)"
            let due = try await redisMilliseconds(under.link) + 60_000
            #expect(try await under.walk(name, "alice", "dead", due) == 1)
            #expect(try await under.table.routes(of: "alice").isEmpty)
            #expect(try await under.told() == [Told(.connected, phone, 1)])
            _ = try await under.table.bindOne(bind("alice/phone", live, 1))
            let (late, _) = try await under.table.bindOne(bind("alice/pad", dead, 9))
            #expect(try await under.walk(name, "alice", "dead", 0) == 1)
            #expect(
                try await under.told() == [
                    Told(.connected, phone, 1), Told(.connected, late, 2),
                    Told(.disconnected(.nodeLost), late, 1),
                ]
            )
        }
    }

    @Test func `what a live node does not renew lapses, when it is long over`() async throws {
        try await withPresence { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(
                bind("alice/phone", lease, 1),
                for: .seconds(5)
            )
            let (pad, _) = try await under.table.bindOne(bind("alice/pad", lease, 2))
            try await passTime(.seconds(5), at: under.link)
            // A reader does not end it: it cannot know whether Redis was away.
            #expect(try await under.table.routes(of: "alice") == [pad])
            let name = "cloud-1#\(lease.incarnation)"
            #expect(try await under.walk(name, "alice", "live", 20_000) == 0)
            #expect(try await under.walk(name, "alice", "live", 0) == 1)
            #expect(try await under.told().last == Told(.disconnected(.lapsed), phone, 1))
            #expect(try await under.index(of: lease, "alice") == ["alice/pad"])
        }
    }

    @Test func `without events nothing is kept but the mappings`() async throws {
        var rules = PresenceRules.limited(to: 1, .closeOldest)
        rules.eventsAreWritten = false
        try await withPresence(rules) { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            _ = try await under.table.bindOne(bind("alice/phone", lease, 1))
            let (pad, _) = try await under.table.bindOne(bind("alice/pad", lease, 2))
            _ = try await under.table.bindOne(bind("bob/x", lease, 3))
            _ = try await under.table.unbind([Departure(pad, reason: .closed)])
            let keys = try await under.link.send(RedisCommand("KEYS", "*")).elements?.compactMap(\.text) ?? []
            #expect(Set(keys) == ["herald:nodes", "herald:node:{cloud-1}", "herald:user:{bob}"])
            #expect(under.table.presence.evicted == 1)
        }
    }

    @Test func `the stream keeps about as many events as it may`() async throws {
        var rules = PresenceRules.grace(.zero)
        rules.eventsKeptMax = 100 * PresencePartition.count
        try await withPresence(rules) { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            for counter in 0..<400 {
                let (route, _) = try await under.table.bindOne(bind("alice/phone", lease, UInt64(counter)))
                _ = try await under.table.unbind([Departure(route, reason: .closed)])
            }
            let events = try await under.events()
            #expect((100..<300).contains(events.count))
            #expect(events.last?.kind == .disconnected(.closed) && events.last?.connections == 0)
        }
    }
}
