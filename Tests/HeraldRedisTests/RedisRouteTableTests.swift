import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldRedis

/// What only the table on Redis promises: the layout, the scripts' edges, and what it costs.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisRouteTableTests {
    private func text(_ link: RedisLink, _ words: String...) async throws -> String? {
        try await link.send(RedisCommand(words[0], arguments: words.dropFirst().map { .text($0) })).text
    }

    private func number(_ link: RedisLink, _ words: String...) async throws -> Int64 {
        try await link.send(RedisCommand(words[0], arguments: words.dropFirst().map { .text($0) })).number
            ?? -99
    }

    // MARK: Layout

    @Test func `everything can be read with redis-cli`() async throws {
        try await withRedisTable(.silent) { table, link async throws in
            let lease = try await table.register(profile(), lease: .seconds(10))
            let (route, _) = try await table.bindOne(bind("alice/phone", lease, 42), for: .seconds(120))
            _ = try await table.bindOne(bind("alice/laptop", lease, 43), for: .seconds(60))
            try await table.share([RoomID("news"): 7], of: lease, for: .seconds(60))
            let mapping = "cloud-1#\(lease.incarnation).42 \(route.epoch) \(route.expires)"
            #expect(try await text(link, "HGET", "herald:user:{alice}", "phone") == mapping)
            // The user's hash ends with its last mapping, not with the latest written.
            #expect(
                try await number(link, "PEXPIRETIME", "herald:user:{alice}")
                    == Int64(route.expires.milliseconds)
            )
            #expect(
                try await number(link, "ZSCORE", "herald:nodes", "cloud-1")
                    == Int64(lease.deadline.milliseconds)
            )
            #expect(try await text(link, "HGET", "herald:node:{cloud-1}", "region") == "eu west")
            #expect(try await text(link, "HGET", "herald:node:{cloud-1}", "state") == "live")
            #expect(try await number(link, "HGET", "herald:node:{cloud-1}", "weight") == 3)
            let share = "cloud-1#\(lease.incarnation)"
            let expires = try await number(link, "ZSCORE", "herald:room:{news}", share)
            #expect(try await number(link, "PEXPIRETIME", "herald:room:{news}") == expires)
            #expect(try await number(link, "PEXPIRETIME", "herald:room:{news}:members") == expires)
            #expect(try await number(link, "HGET", "herald:room:{news}:members", share) == 7)
        }
    }

    @Test func `two systems share a Redis by their prefixes`() async throws {
        try await withRedisTable { table, link async throws in
            let other = RedisRouteTable(link: link, prefix: "other:")
            let lease = try await table.register(profile(), lease: .seconds(10))
            _ = try await table.bindOne(bind("alice/phone", lease, 1))
            #expect(try await other.nodes() == [])
            #expect(try await other.routes(of: "alice") == [])
            _ = try await other.register(profile(), lease: .seconds(10))
            #expect(try await number(link, "EXISTS", "other:node:{cloud-1}", "other:nodes") == 2)
        }
    }

    // MARK: Cost

    @Test func `a look-up is one round trip once the nodes are known`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                try await withLink(to: redis.url) { logic async throws in
                    let cloud = RedisRouteTable(link: link)
                    let table = RedisRouteTable(link: logic)
                    let lease = try await cloud.register(profile(), lease: .seconds(10))
                    _ = try await cloud.bindOne(bind("alice/phone", lease, 1))
                    var writes = logic.status.writes
                    #expect(try await table.routes(of: "alice").count == 1)
                    #expect(logic.status.writes == writes + 2)
                    writes = logic.status.writes
                    for _ in 0..<10 { #expect(try await table.routes(of: "alice").count == 1) }
                    #expect(try await table.routes(of: "nobody").isEmpty)
                    #expect(logic.status.writes == writes + 11)
                    #expect(logic.status.commandsSent == 4 + 22)
                }
            }
        }
    }

    @Test func `what is over is pruned, and only that`() async throws {
        try await withRedisTable(.silent) { table, link async throws in
            let dead = try await table.register(profile("cloud-1"), lease: .seconds(5))
            let live = try await table.register(profile("cloud-2"), lease: .seconds(10))
            _ = try await table.bindOne(bind("alice/old", dead, 1))
            _ = try await table.bindOne(bind("alice/new", live, 1))
            _ = try await table.bindOne(bind("bob/old", dead, 2))
            try await table.share([RoomID("news"): 1], of: dead, for: .seconds(60))
            try await table.share([RoomID("news"): 1], of: live, for: .seconds(60))
            try await passTime(.seconds(5), at: link)
            let lookup = try Lookup(users: [UserID("alice"), UserID("bob")], rooms: [RoomID("news")])
            _ = try await table.look(up: lookup)
            #expect(
                try await link.send(RedisCommand("HKEYS", "herald:user:{alice}"))
                    == .array([.string(Array("new".utf8))])
            )
            #expect(try await number(link, "EXISTS", "herald:user:{bob}") == 0)
            #expect(try await number(link, "ZCARD", "herald:room:{news}") == 1)
            #expect(try await number(link, "HLEN", "herald:room:{news}:members") == 1)
        }
    }

    @Test func `pruning leaves what has changed since it was read`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                _ = try await link.send([
                    RedisCommand("HSET", "{k}", "a", "read", "b", "changed"),
                    RedisCommand("ZADD", "{z}", 1, "a", 3, "b"),
                    RedisCommand("HSET", "{z}:members", "a", 1, "b", 1),
                ])
                let removed = try await link.send([
                    RedisScript.routePrune.call(
                        keys: ["{k}"],
                        ["k", 0, "lapsed", "a", "read", "b", "read", "c", "read", 0]
                    ),
                    RedisScript.roomPrune.call(
                        keys: ["{z}", "{z}:members"],
                        ["a", "1", "b", "2", "c", "3"]
                    ),
                ])
                #expect(removed == [.integer(1), .integer(1)])
                #expect(try await text(link, "HGET", "{k}", "b") == "changed")
                #expect(try await number(link, "HLEN", "{z}:members") == 1)
            }
        }
    }

    @Test func `nodes that are long over leave the list`() async throws {
        try await withRedisTable { table, link async throws in
            try await link.send(RedisCommand("ZADD", "herald:nodes", 1_600_000_000_000, "gone", 1, "older"))
            let lease = try await table.register(profile(), lease: .seconds(10))
            #expect(try await table.look(up: Lookup(everyone: true)).nodes == [lease.node])
            #expect(try await number(link, "ZCARD", "herald:nodes") == 1)
            try await link.send(RedisCommand("ZADD", "herald:nodes", 1_600_000_000_000, "gone"))
            #expect(try await table.nodes().map(\.lease) == [lease])
            #expect(try await number(link, "ZCARD", "herald:nodes") == 1)
            try await table.leave(lease)
            #expect(try await number(link, "ZCARD", "herald:nodes") == 0)
        }
    }

    // MARK: Clocks and delays

    @Test func `numbers grow although Redis's clock was set back`() async throws {
        try await withRedisTable { table, link async throws in
            let ahead = try await redisMilliseconds(link) + 1_000_000
            try await link.send(RedisCommand("HSET", "herald:node:{cloud-1}", "incarnation", .integer(ahead)))
            let lease = try await table.register(profile(), lease: .seconds(10))
            #expect(lease.incarnation == Incarnation(UInt64(ahead + 1)))
            // Not even losing all data with it makes them shrink for a node that still runs.
            try await link.send(RedisCommand("FLUSHALL"))
            let next = try await table.register(profile(), lease: .seconds(10))
            #expect(next.incarnation == Incarnation(UInt64(ahead + 2)))
            let stored = "cloud-9#1.1 \(ahead) \(ahead)"
            try await link.send(RedisCommand("HSET", "herald:user:{alice}", "phone", .text(stored)))
            // Past what a clock set back may look like, the holder is newer than the asking: see below.
            let command = RedisScript.routeBind.call(
                keys: ["herald:user:{alice}"],
                ["alice", "phone", "cloud-1", "7", "1", 60_000, 0, 0, 0, 0, 100]
            )
            let reply = try await link.send(command).elements ?? []
            #expect(reply.first == .integer(ahead + 1))
            #expect(reply[2].text == "cloud-9#1.1")
        }
    }

    @Test func `a bind that was accepted before the holder is refused`() async throws {
        try await withRedisTable { table, link async throws in
            let lease = try await table.register(profile(), lease: .seconds(10))
            let (route, _) = try await table.bindOne(bind("alice/phone", lease, 1))
            func rebind(from node: String, latest: UInt64) async throws -> RedisValue {
                let latest = RedisArgument.integer(Int64(latest))
                return try await link.send(
                    RedisScript.routeBind.call(
                        keys: ["herald:user:{alice}"],
                        ["alice", "phone", .text(node), "7", "1", 60_000, 1, latest, 0, 0, 100]
                    )
                )
            }
            #expect(try await rebind(from: "cloud-2", latest: route.epoch.number - 101) == .null)
            #expect(try await table.routes(of: "alice") == [route])
            // Of one node, counters tell better than clocks do.
            #expect(try await rebind(from: "cloud-2", latest: route.epoch.number - 100) != .null)
            #expect(try await rebind(from: "cloud-2", latest: 1) != .null)
        }
    }

    @Test func `a holder from a clock that was ahead refuses no fresh accept`() async throws {
        try await withRedisTable { table, link async throws in
            let lease = try await table.register(profile(), lease: .seconds(10))
            let ahead = try await redisMilliseconds(link) + 60_000
            let stored = "cloud-9#1.1 \(ahead) \(ahead + 60_000)"
            try await link.send(RedisCommand("HSET", "herald:user:{alice}", "phone", .text(stored)))
            let (route, replaced) = try await table.bindOne(bind("alice/phone", lease, 1))
            #expect(replaced?.description == "cloud-9#1.1" && route.epoch == Epoch(UInt64(ahead + 1)))
        }
    }

    @Test func `the clock is known between two bounds and not for long`() {
        var clock = RedisClockEstimate()
        func at(_ milliseconds: Int64) -> Moment { Moment(nanoseconds: milliseconds * 1_000_000) }
        func redis(_ milliseconds: UInt64) -> RedisTime { RedisTime(milliseconds: milliseconds) }
        #expect(clock.time(now: at(0), connection: 1) == nil)
        clock.read(redis(5000), asked: at(100), heard: at(140), connection: 1)
        #expect(clock.time(now: at(350), connection: 1) == redis(5210)...redis(5250))
        #expect(clock.time(now: at(350), connection: 2) == nil)
        #expect(clock.time(now: at(30_100), connection: 1) != nil)
        #expect(clock.time(now: at(30_101), connection: 1) == nil)
    }

    @Test func `a registration that is repeated by its own call is not refused by itself`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                func register(_ claim: String) async throws -> [RedisValue] {
                    try await link.send(
                        RedisScript.nodeRegister.call(
                            keys: ["n"],
                            [10_000, .text(claim), "u", "r", 1, "v", 0, 0]
                        )
                    ).elements ?? []
                }
                let first = try await register("a")
                #expect(first.first == .integer(1))
                #expect(try await register("b").first == .integer(0))
                let again = try await register("a")
                #expect(again.first == .integer(1) && again[1] == first[1])
            }
        }
    }

    @Test func `a lost reply does not cost the node its name`() async throws {
        try await OwnRedis.with { redis async throws in
            let options = quickOptions {
                $0.limits.commandTimeout = .milliseconds(300)
                $0.limits.silenceMax = .seconds(10)
            }
            try await withLink(to: redis.url, options) { link async throws in
                let table = RedisRouteTable(link: link)
                // Redis takes the command in, and nobody hears the answer in time.
                redis.pause()
                async let lease = table.register(profile(), lease: .seconds(10))
                // Two sends are two tries: the first has timed out by then.
                try await eventually("a second try") { link.status.commandsSent >= 2 }
                redis.resume()
                #expect(try await lease.node == node())
            }
        }
    }

    // MARK: What is not ours

    @Test func `garbage and foreign keys are nobody`() async throws {
        try await withRedisTable { table, link async throws in
            let lease = try await table.register(profile(), lease: .seconds(10))
            let (bob, _) = try await table.bindOne(bind("bob/x", lease, 1))
            _ = try await link.send([
                RedisCommand(
                    "HSET",
                    "herald:user:{alice}",
                    "phone",
                    "what",
                    "laptop",
                    "a b c",
                    "x/y",
                    "cloud-1#1.1 1 1"
                ),
                RedisCommand("SET", "herald:user:{carol}", "mine"),
                RedisCommand("SET", "herald:room:{news}", "mine"),
            ])
            let lookup = Lookup(
                users: [try UserID("alice"), try UserID("carol"), try UserID("bob")],
                keys: [try UserKey("carol/x"), try UserKey("alice/phone")],
                rooms: [try RoomID("news")]
            )
            let answer = try await table.look(up: lookup)
            #expect(answer == LookupAnswer(users: [[], [], [bob]], keys: [nil, nil], rooms: [[]]))
            // A bind writes over garbage. What it cannot write over fails alone.
            let carol = try bind("carol/x", lease, 3)
            let outcomes = try await table.bind(
                [carol, bind("alice/phone", lease, 2)],
                for: .seconds(60)
            )
            #expect(outcomes[0] == .unusable)
            guard case .bound(let alice, nil, _) = outcomes[1] else {
                Issue.record("\(outcomes[1])")
                return
            }
            let mapping = Route(
                name: carol.name,
                session: carol.session,
                epoch: Epoch(1),
                expires: alice.expires
            )
            let renewed = try await table.renew([mapping, alice], for: .seconds(60))
            #expect(renewed[0] == .unusable && renewed[1] != .unusable)
            #expect(
                try await table.unbind([
                    Departure(mapping, reason: .closed), Departure(alice, reason: .closed),
                ]) == [false, true]
            )
        }
    }

    @Test func `a Redis that is away or unwell is unavailable`() async throws {
        try await OwnRedis.with { redis async throws in
            let options = quickOptions { $0.limits.outageGrace = .milliseconds(50) }
            try await withLink(to: redis.url, options) { link async throws in
                let table = RedisRouteTable(link: link)
                let lease = try await table.register(profile(), lease: .seconds(10))
                _ = try await link.send([
                    RedisCommand("CONFIG", "SET", "maxmemory-policy", "noeviction"),
                    RedisCommand("CONFIG", "SET", "maxmemory", "1"),
                ])
                for kill in [false, true] {
                    if kill { redis.kill() }
                    let error = await #expect(throws: RouteTableError.self) {
                        try await table.bindOne(bind("alice/x", lease, 1))
                    }
                    guard case .unavailable(let reason) = error else {
                        Issue.record("\(String(describing: error))")
                        return
                    }
                    #expect(kill || reason.contains("OOM"))
                }
            }
        }
    }
}
