import Glibc
import HeraldCore
import HeraldTesting
import Logging
import Testing

@testable import HeraldRedis

/// The reaper against a Redis of its own. Leases live for 1.5 s here, so trust takes 3 s.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct ReaperTests {
    private static let lease = Duration.milliseconds(1500)

    private static var quiet: Logger {
        var logger = Logger(label: "test.reaper")
        logger.logLevel = .critical
        return logger
    }

    private static func reaper(_ link: RedisLink, _ rules: PresenceRules) -> Reaper {
        Reaper(link: link, rules: rules, leaseTTL: lease, logger: quiet)
    }

    /// Runs reapers beside a body.
    private func run(_ reapers: [Reaper], _ body: () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for reaper in reapers { group.addTask { try await reaper.run() } }
            defer { group.cancelAll() }
            try await body()
        }
    }

    /// In Unix milliseconds, as Redis has it on the same host.
    private static func wallClock() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
    }

    private func untilTrusting(_ reaper: Reaper) async throws {
        try await eventually("trust", within: .seconds(20)) {
            reaper.counts.isTrusting && reaper.counts.isActing
        }
    }

    @Test func `a killed node's users are told each once, and not those who came back`() async throws {
        let rules = PresenceRules.grace(.milliseconds(500))
        try await withPresence(rules) { under async throws in
            let reaper = Self.reaper(under.link, rules)
            try await run([reaper]) {
                try await untilTrusting(reaper)
                let table = RedisRouteTable(link: under.link, rules: rules, leaseTTL: Self.lease)
                let dead = try await table.register(profile("cloud-1"), lease: .seconds(5))
                let live = try await table.register(profile("cloud-2"), lease: .seconds(60))
                let names = (0..<5000).map { "user-\($0)/phone" }
                let binds = try names.enumerated().map { try bind($1, dead, UInt64($0)) }
                _ = try await table.bind(binds, for: .seconds(60))
                let back = Set(names.prefix(100))
                _ = try await table.bind(
                    try names.prefix(100).enumerated().map { try bind($1, live, UInt64($0)) },
                    for: .seconds(60)
                )
                let lapses = dead.deadline
                try await eventually("all are told", within: .seconds(30)) { reaper.counts.told >= 4900 }
                let events = try await under.events()
                var gone: [String: Int] = [:]
                for event in events {
                    if case .disconnected(let reason) = event.kind {
                        #expect(reason == .nodeLost && event.at >= lapses && event.connections == 0)
                        gone[event.name.description, default: 0] += 1
                    }
                }
                #expect(gone.count == 4900 && gone.values.allSatisfy { $0 == 1 })
                #expect(back.isDisjoint(with: gone.keys))
                #expect(reaper.counts.fenced == 1 && reaper.counts.told == 4900)
                // Those who came back are left as they were.
                #expect(try await table.routes(of: "user-1").map(\.session.node) == [live.node])
            }
            // The role is given back at the end.
            #expect(try await under.link.send(RedisCommand("EXISTS", "herald:reaper")) == .integer(0))
        }
    }

    @Test func `a departure is told by whoever acts, and one acts`() async throws {
        let rules = PresenceRules.grace(.milliseconds(100))
        try await withPresence(rules) { under async throws in
            let reapers = [Self.reaper(under.link, rules), Self.reaper(under.link, rules)]
            try await run(reapers) {
                let lease = try await under.table.register(profile(), lease: .seconds(60))
                let (phone, _) = try await under.table.bindOne(bind("alice/phone", lease, 1))
                _ = try await under.table.unbind([Departure(phone, reason: .closed)])
                try await eventually("a departure", within: .seconds(20)) {
                    try await under.told().last == Told(.disconnected(.closed), phone, 0)
                }
                #expect(reapers.map(\.counts.isActing).filter { $0 }.count == 1)
                #expect(reapers.map(\.counts.told).reduce(0, +) == 1)
            }
        }
    }

    @Test func `when Redis was away nobody is judged before the nodes could come back`() async throws {
        let rules = PresenceRules.grace(.milliseconds(100))
        try await withPresence(rules) { under async throws in
            let reaper = Self.reaper(under.link, rules)
            try await run([reaper]) {
                try await untilTrusting(reaper)
                let one = try await under.table.register(profile("cloud-1"), lease: .seconds(3))
                let two = try await under.table.register(profile("cloud-2"), lease: .seconds(3))
                let (phone, _) = try await under.table.bindOne(bind("alice/phone", one, 1))
                let (ghost, _) = try await under.table.bindOne(bind("bob/phone", two, 1))
                under.redis.pause()
                try await eventually("doubt", within: .seconds(20)) { !reaper.counts.isTrusting }
                let resumed = Self.wallClock()
                under.redis.resume()
                let lapse = max(one.deadline, two.deadline)
                try await eventually("both leases are over", within: .seconds(20)) {
                    (try? await redisMilliseconds(under.link)).map { $0 > Int64(lapse.milliseconds) } ?? false
                }
                // One node comes back with its connection, the other does not.
                let again = try await under.table.register(profile("cloud-1"), lease: .seconds(60))
                var carried = phone
                carried.session = SessionID(node: again.node, incarnation: again.incarnation, counter: 1)
                _ = try await under.table.renew([carried], for: .seconds(60))
                try await eventually("the other one's user is told", within: .seconds(20)) {
                    try await under.told().last?.kind == .disconnected(.nodeLost)
                }
                let events = try await under.events()
                #expect(events.map(\.name.description).filter { $0 == "alice/phone" }.count == 1)
                #expect(events.last?.name == ghost.name)
                // Trust takes two leases from the first answer, which came after the absence.
                let at = events.last.map { Int64($0.at.milliseconds) } ?? 0
                #expect(at >= resumed + 2 * Self.lease.wholeMilliseconds)
            }
        }
    }

    @Test func `an incarnation that is long over leaves the list, one that lives is looked through`()
        async throws
    {
        let rules = PresenceRules.grace(.milliseconds(100))
        try await withPresence(rules) { under async throws in
            let reaper = Self.reaper(under.link, rules)
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(
                bind("alice/phone", lease, 1),
                for: .milliseconds(1)
            )
            let text = RedisArgument.text("\(phone.session) \(phone.epoch) 1000")
            _ = try await under.link.send([
                RedisCommand("HSET", "herald:user:{alice}", "phone", text),
                RedisCommand("ZADD", "herald:incarnations", 1_600_000_000_000, "cloud-9#1"),
            ])
            try await run([reaper]) {
                try await eventually("what lapsed", within: .seconds(20)) {
                    try await under.told().last == Told(.disconnected(.lapsed), phone, 0)
                }
                #expect(
                    try await under.link.send(RedisCommand("ZRANGE", "herald:incarnations", 0, -1))
                        == .array([.string(Array("cloud-1#\(lease.incarnation)".utf8))])
                )
            }
        }
    }
}
