import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldRedis

/// What every presence log keeps, in memory as in Redis. What only Redis can do is in `RedisPresenceLogTests`.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct PresenceLogContractTests {
    enum Kind: CaseIterable, Sendable { case memory, redis }

    /// A log, how events get into it, and how it loses everything.
    private struct Subject: Sendable {
        var log: any PresenceLog
        var append: @Sendable ([String]) async throws -> Void
        var forget: @Sendable () async throws -> Void

        func read(again: Bool = false, limit: Int = 100) async throws -> [String] {
            try await log.read(
                "g",
                partitions: Array(0..<PresencePartition.count),
                again: again,
                limit: limit,
                wait: .zero
            ).map(\.name.description)
        }
    }

    private func with(
        _ kind: Kind,
        _ body: @escaping @Sendable (Subject) async throws -> Void
    ) async throws {
        switch kind {
        case .memory:
            let log = MemoryPresenceLog(clock: ContinuousClock())
            let subject = Subject(
                log: log,
                append: { names in
                    for name in names { log.append(of: try UserKey(name), at: RedisTime(milliseconds: 1)) }
                },
                forget: { log.forget() }
            )
            try await body(subject)
        case .redis:
            try await withPresence { under async throws in
                let lease = try await under.table.register(profile(), lease: .seconds(60))
                let (table, link) = (under.table, under.link)
                let subject = Subject(
                    log: under.log,
                    append: { names in
                        _ = try await table.bind(try names.map { try bind($0, lease, 1) }, for: .seconds(60))
                    },
                    forget: { _ = try await link.send(RedisCommand("FLUSHALL")) }
                )
                try await body(subject)
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `what is read stays pending until it is acknowledged, in order`(kind: Kind) async throws {
        try await with(kind) { subject in
            try await subject.append(["early/x"])
            #expect(try await subject.log.hold("g", by: "one", for: .seconds(60)))
            try await subject.append(["alice/1", "alice/2", "alice/3"])
            #expect(try await subject.read(again: true) == [])
            #expect(try await subject.read(limit: 2) == ["alice/1", "alice/2"])
            #expect(try await subject.read(again: true, limit: 1) == ["alice/1"])
            #expect(try await subject.read() == ["alice/3"])
            #expect(try await subject.read() == [])
            let partition = PresencePartition.of(try UserID("alice"))
            let pending = try await subject.log.read(
                "g",
                partitions: [partition],
                again: true,
                limit: 2,
                wait: .zero
            )
            try await subject.log.acknowledge(pending.map(\.id), in: "g")
            #expect(try await subject.read(again: true) == ["alice/3"])
        }
    }

    @Test(arguments: Kind.allCases)
    func `one holds a group until it gives it back`(kind: Kind) async throws {
        try await with(kind) { subject in
            #expect(try await subject.log.hold("g", by: "one", for: .seconds(60)))
            #expect(try await subject.log.hold("g", by: "one", for: .seconds(60)))
            #expect(try await !subject.log.hold("g", by: "two", for: .seconds(60)))
            try await subject.log.release("g", by: "two")
            #expect(try await !subject.log.hold("g", by: "two", for: .seconds(60)))
            try await subject.log.release("g", by: "one")
            #expect(try await subject.log.hold("g", by: "two", for: .seconds(60)))
        }
    }

    @Test(arguments: Kind.allCases)
    func `a group that was lost is made anew and misses nothing since`(kind: Kind) async throws {
        try await with(kind) { subject in
            #expect(try await subject.log.hold("g", by: "one", for: .seconds(60)))
            try await subject.append(["alice/1"])
            try await subject.forget()
            try await subject.append(["alice/2"])
            await #expect(throws: PresenceLogError.groupLost) { try await subject.read() }
            #expect(try await subject.log.hold("g", by: "one", for: .seconds(60)))
            #expect(try await subject.read() == ["alice/2"])
        }
    }
}
