import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldRedis

@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisPresenceLogTests {
    private static let all = Array(0..<PresencePartition.count)

    /// Connects users, one event each.
    private func connect(_ under: PresenceUnderTest, _ names: [String], _ lease: Lease) async throws {
        _ = try await under.table.bind(try names.map { try bind($0, lease, 1) }, for: .seconds(60))
    }

    private func read(
        _ under: PresenceUnderTest,
        again: Bool = false,
        limit: Int = 100
    ) async throws -> [PresenceEvent] {
        try await under.log.read("g", partitions: Self.all, again: again, limit: limit, wait: .zero)
    }

    @Test func `a group sees what happens after it was made, once it is acknowledged`() async throws {
        try await withPresence { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            try await connect(under, ["early/x"], lease)
            #expect(try await under.log.hold("g", by: "one", for: .seconds(10)))
            try await connect(under, ["alice/x", "bob/x", "alice/y"], lease)
            let events = try await read(under)
            #expect(Set(events.map(\.name.description)) == ["alice/x", "bob/x", "alice/y"])
            #expect(events.filter { $0.name.user.description == "alice" }.map(\.connections) == [1, 2])
            #expect(try await read(under).isEmpty)
            // Another process takes over: what was not acknowledged comes again, in order.
            let other = RedisPresenceLog(link: under.link)
            let bob = events.filter { $0.name.user.description == "bob" }.map(\.id)
            try await other.acknowledge(bob, in: "g")
            let pending = try await other.read("g", partitions: Self.all, again: true, limit: 1, wait: .zero)
            #expect(pending.map(\.name.description) == ["alice/x"])
            try await other.acknowledge(pending.map(\.id), in: "g")
            #expect(try await read(under, again: true).map(\.name.description) == ["alice/y"])
        }
    }

    @Test func `one holds a group until it gives it back or lapses`() async throws {
        try await withPresence { under async throws in
            #expect(try await under.log.hold("g", by: "one", for: .seconds(30)))
            #expect(try await under.log.hold("g", by: "one", for: .seconds(30)))
            #expect(try await !under.log.hold("g", by: "two", for: .seconds(30)))
            #expect(try await under.log.hold("h", by: "two", for: .seconds(30)))
            try await under.log.release("g", by: "two")
            #expect(try await !under.log.hold("g", by: "two", for: .seconds(30)))
            try await under.log.release("g", by: "one")
            #expect(try await under.log.hold("g", by: "two", for: .seconds(10)))
            try await passTime(.seconds(10), at: under.link)
            #expect(try await under.log.hold("g", by: "one", for: .seconds(30)))
        }
    }

    @Test func `a group that Redis lost is made anew and misses nothing since`() async throws {
        try await withPresence { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            _ = try await under.log.hold("g", by: "one", for: .seconds(10))
            try await under.link.send(RedisCommand("FLUSHALL"))
            try await connect(under, ["alice/x"], lease)
            await #expect(throws: PresenceLogError.groupLost) { try await read(under) }
            #expect(try await under.log.hold("g", by: "one", for: .seconds(10)))
            #expect(try await read(under).map(\.name.description) == ["alice/x"])
        }
    }

    @Test func `waiting ends with the first event`() async throws {
        try await withPresence { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            _ = try await under.log.hold("g", by: "one", for: .seconds(10))
            let partition = PresencePartition.of(try UserID("alice"))
            async let waiting = under.log.read(
                "g",
                partitions: [partition],
                again: false,
                limit: 10,
                wait: .seconds(2)
            )
            try await connect(under, ["alice/x"], lease)
            #expect(try await waiting.map(\.name.description) == ["alice/x"])
            #expect(
                try await under.log.read("g", partitions: [], again: false, limit: 1, wait: .zero).isEmpty
            )
        }
    }

    @Test func `what was trimmed or is not ours holds nobody up`() async throws {
        try await withPresence { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            _ = try await under.log.hold("g", by: "one", for: .seconds(10))
            try await connect(under, ["alice/x", "alice/y"], lease)
            #expect(try await read(under).count == 2)
            let stream = RedisArgument.text(RedisKeys().events(PresencePartition.of(try UserID("alice"))))
            _ = try await under.link.send([
                RedisCommand("XTRIM", stream, "MAXLEN", 0),
                RedisCommand("XADD", stream, "*", "type", "what"),
            ])
            try await connect(under, ["alice/z"], lease)
            #expect(try await read(under).map(\.name.description) == ["alice/z"])
            // One at a time: the trimmed ones come first, and are skipped.
            #expect(try await read(under, again: true, limit: 1).map(\.name.description) == ["alice/z"])
            let pending = try await under.link.send(RedisCommand("XPENDING", stream, "g")).elements
            #expect(pending?.first == .integer(1))
            try await under.link.send(RedisCommand("SET", stream, "mine"))
            await #expect(throws: PresenceLogError.self) { try await read(under) }
        }
    }

    @Test func `a follower reads from the beginning, or from now on`() async throws {
        try await withPresence { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(60))
            let early = (0..<50).map { "user-\($0)/x" }
            try await connect(under, early, lease)
            let end = try await under.log.end()
            try await connect(under, ["late/x"], lease)
            let (late, next) = try await under.log.tail(from: end)
            #expect(late.map(\.name.description) == ["late/x"])
            #expect(try await under.log.tail(from: next).events.isEmpty)
            var place = RedisPresenceLog.Place.beginning
            var seen: [PresenceEvent] = []
            while true {
                let (events, next) = try await under.log.tail(from: place, limit: 1)
                if events.isEmpty { break }
                #expect(events.count <= PresencePartition.count)
                seen += events
                place = next
            }
            #expect(Set(seen.map(\.name.description)) == Set(early + ["late/x"]) && seen.count == 51)
            #expect(place == next)
            let ids = try await under.events().map(\.id)
            #expect(zip(ids, ids.dropFirst()).allSatisfy { PresenceText.precedes($0, $1) })
        }
    }

    @Test func `a Redis that is away is unavailable`() async throws {
        try await OwnRedis.with { redis async throws in
            let options = quickOptions { $0.limits.outageGrace = .milliseconds(50) }
            try await withLink(to: redis.url, options) { link async throws in
                let log = RedisPresenceLog(link: link)
                redis.kill()
                let error = await #expect(throws: PresenceLogError.self) {
                    try await log.hold("g", by: "one", for: .seconds(1))
                }
                guard case .unavailable = error else {
                    Issue.record("\(String(describing: error))")
                    return
                }
            }
        }
    }
}
