import HeraldCore
import HeraldRedis
import HeraldTesting
import NIOPosix
import Testing

/// The implementations that the contract suites run against.
enum Kind: String, CaseIterable, CustomTestStringConvertible, Sendable {
    case memory, redis

    var testDescription: String { rawValue }
}

/// A table and the clock by which it judges.
struct TableUnderTest: Sendable {
    let table: any RouteTable
    /// Lets time pass by the table's clock.
    let pass: @Sendable (Duration) async throws -> Void
    let forget: @Sendable () async throws -> Void
}

func withTable(
    _ kind: Kind,
    _ rules: PresenceRules = .standard,
    _ body: @Sendable (TableUnderTest) async throws -> Void
) async throws {
    switch kind {
    case .memory:
        let table = MemoryRouteTable(rules: rules)
        try await body(
            TableUnderTest(table: table, pass: { table.advance(by: $0) }, forget: { table.forget() })
        )
    case .redis:
        try await withRedisTable(rules) { table, link in
            try await body(
                TableUnderTest(
                    table: table,
                    pass: { try await passTime($0, at: link) },
                    forget: { try await link.send(RedisCommand("FLUSHALL")) }
                )
            )
        }
    }
}

func withRedisTable(
    _ rules: PresenceRules = .standard,
    _ body: @Sendable (RedisRouteTable, RedisLink) async throws -> Void
) async throws {
    try await OwnRedis.with { redis async throws in
        try await withLink(to: redis.url) { link async throws in
            try await body(RedisRouteTable(link: link, rules: rules), link)
        }
    }
}

func redisMilliseconds(_ link: RedisLink) async throws -> Int64 {
    let words = try await link.send(RedisCommand("TIME")).elements ?? []
    return (words[0].number ?? 0) * 1000 + (words[1].number ?? 0) / 1000
}

/// Lets so much time pass by Redis's own clock, at once: leases and mappings end by it.
func passTime(_ duration: Duration, at link: RedisLink) async throws {
    let folder = try await link.send(RedisCommand("CONFIG", "GET", "dir")).elements?.last?.text
    try RedisClock.pass(duration + .milliseconds(1), in: #require(folder))
}

func node(_ name: String = "cloud-1") throws -> NodeID { try NodeID(name) }

func profile(_ name: String = "cloud-1") throws -> NodeProfile {
    NodeProfile(id: try NodeID(name), url: "ws://\(name)/ws", region: "eu west", weight: 3, version: "1.0")
}

/// A bind of the next session of a lease.
func bind(_ name: String, _ lease: Lease, _ counter: UInt64, age: Duration = .zero) throws -> Bind {
    Bind(
        name: try UserKey(name),
        session: SessionID(node: lease.node, incarnation: lease.incarnation, counter: counter),
        age: age
    )
}

extension RouteTable {
    /// Binds one that must not be refused.
    func bindOne(
        _ bind: Bind,
        for duration: Duration = .seconds(60)
    ) async throws -> (Route, replaced: SessionID?) {
        guard case .bound(let route, let replaced, _) = try await self.bind([bind], for: duration)[0] else {
            throw NotBound()
        }
        return (route, replaced)
    }

    func routes(of user: String) async throws -> [Route] {
        try await look(up: Lookup(users: [UserID(user)])).users[0]
    }
}

extension PresenceRules {
    /// As they are without presence events.
    static var silent: PresenceRules {
        var rules = PresenceRules.standard
        rules.eventsAreWritten = false
        return rules
    }

    static func limited(
        to connections: Int,
        _ whenFull: WhenFull,
        grace: Duration = .seconds(5)
    ) -> PresenceRules {
        var rules = PresenceRules.standard
        rules.grace = grace
        rules.connectionsPerUserMax = connections
        rules.whenFull = whenFull
        return rules
    }
}

struct NotBound: Error {}
