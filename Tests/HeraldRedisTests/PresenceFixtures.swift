import HeraldCore
import HeraldTesting

@testable import HeraldRedis

/// An event without what a test cannot foresee: its id and its time.
struct Told: Hashable, CustomStringConvertible {
    var kind: PresenceEvent.Kind
    var name: String
    var session: SessionID
    var epoch: Epoch
    var connections: Int

    init(_ kind: PresenceEvent.Kind, _ route: Route, _ connections: Int) {
        self.kind = kind
        name = route.name.description
        session = route.session
        epoch = route.epoch
        self.connections = connections
    }

    init(_ event: PresenceEvent) {
        kind = event.kind
        name = event.name.description
        session = event.session
        epoch = event.epoch
        connections = event.connections
    }

    var description: String { "\(name) \(kind) \(session) \(epoch) (\(connections))" }
}

/// A table whose events are looked at.
struct PresenceUnderTest: Sendable {
    let redis: OwnRedis
    let link: RedisLink
    let table: RedisRouteTable
    let log: RedisPresenceLog

    /// All events so far.
    func events() async throws -> [PresenceEvent] {
        var events: [PresenceEvent] = []
        var place = RedisPresenceLog.Place.beginning
        while true {
            let (more, next) = try await log.tail(from: place, limit: 1000)
            if more.isEmpty { return events }
            events += more
            place = next
        }
    }

    func told() async throws -> [Told] { try await events().map(Told.init) }

    /// The key's field in the user's hash.
    func stored(_ name: String) async throws -> String? {
        let name = try UserKey(name)
        let key = RedisArgument.text(RedisKeys().user(name.user))
        return try await link.send(RedisCommand("HGET", key, .text(name.key.description))).text
    }

    /// What the index of a lease's incarnation holds of a user's partition.
    func index(of lease: Lease, _ user: String) async throws -> Set<String> {
        let stem = RedisKeys().indexes(PresencePartition.of(try UserID(user)))
        let key = RedisArgument.text("\(stem)\(lease.node)#\(lease.incarnation)")
        let members = try await link.send(RedisCommand("SMEMBERS", key)).elements ?? []
        return Set(members.compactMap(\.text))
    }

    func settle(_ user: String) async throws -> RedisValue {
        try await link.send(
            RedisScript.presenceSettle.call(keys: try keys(user), [100, 1000])
        )
    }

    /// - Returns: the departures that it began.
    func walk(
        _ incarnation: String,
        _ user: String,
        _ verdict: RedisArgument,
        _ limit: Int64
    ) async throws -> Int64 {
        let call = RedisScript.presenceWalk.call(
            keys: try keys(user),
            [.text(incarnation), verdict, .integer(limit), 0, 100, 1000]
        )
        return try await link.send(call).elements?[2].number ?? -1
    }

    private func keys(_ user: String) throws -> [String] {
        [RedisKeys().users] + RedisKeys().presence(PresencePartition.of(try UserID(user)))
    }
}

func withPresence(
    _ rules: PresenceRules = .standard,
    _ body: @Sendable (PresenceUnderTest) async throws -> Void
) async throws {
    try await OwnRedis.with { redis async throws in
        try await withLink(to: redis.url) { link async throws in
            let table = RedisRouteTable(link: link, rules: rules)
            let log = RedisPresenceLog(link: link)
            try await body(PresenceUnderTest(redis: redis, link: link, table: table, log: log))
        }
    }
}

extension PresenceRules {
    static func grace(_ grace: Duration) -> PresenceRules {
        var rules = PresenceRules.standard
        rules.grace = grace
        return rules
    }
}
