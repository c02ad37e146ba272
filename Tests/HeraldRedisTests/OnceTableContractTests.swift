import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// What every memory of requests has to keep, in memory and on Redis.
@Suite(.timeLimit(.minutes(2)))
struct OnceTableContractTests {
    @Test(arguments: Kind.allCases)
    func `the first one sends, and the others get its answer`(kind: Kind) async throws {
        try await withOnceTable(kind) { table, _ in
            let first = try claim("p1")
            #expect(try await table.claim(first) == .claimed(first.push, isRepeat: false))
            guard case .held(first.push, let left) = try await table.claim(try claim("p2")) else {
                Issue.record("the key is not held")
                return
            }
            #expect(left > .zero && left <= .seconds(60))
            try await table.complete(first, answer: [0, 1, 255])
            #expect(try await table.claim(try claim("p3")) == .answered([0, 1, 255]))
            // The first answer stays.
            try await table.complete(try claim("p3"), answer: [2])
            #expect(try await table.claim(try claim("p4")) == .answered([0, 1, 255]))
        }
    }

    @Test(arguments: Kind.allCases)
    func `whoever takes over sends the same push`(kind: Kind) async throws {
        try await withOnceTable(kind) { table, pass in
            var first = try claim("p1")
            first.lease = .seconds(30)
            _ = try await table.claim(first)
            try await pass(.seconds(30))
            let second = try claim("p2")
            #expect(try await table.claim(second) == .claimed(first.push, isRepeat: true))
            // The first one is not dead after all. Its answer is as good; it can no longer give the claim back.
            try await table.abandon(first)
            guard case .held = try await table.claim(try claim("p3")) else {
                Issue.record("the second holder lost its claim")
                return
            }
            try await table.complete(first, answer: [7])
            #expect(try await table.claim(second) == .answered([7]))
        }
    }

    @Test(arguments: Kind.allCases)
    func `who gives a claim back lets the next one send at once`(kind: Kind) async throws {
        try await withOnceTable(kind) { table, _ in
            let first = try claim("p1")
            _ = try await table.claim(first)
            try await table.abandon(first)
            #expect(try await table.claim(try claim("p2")) == .claimed(first.push, isRepeat: true))
        }
    }

    @Test(arguments: Kind.allCases)
    func `a key stands for one request`(kind: Kind) async throws {
        try await withOnceTable(kind) { table, _ in
            let first = try claim("p1")
            _ = try await table.claim(first)
            var other = try claim("p2")
            other.digest = "other"
            #expect(try await table.claim(other) == .mismatch)
            try await table.complete(other, answer: [1])
            try await table.complete(first, answer: [2])
            #expect(try await table.claim(other) == .mismatch)
            #expect(try await table.claim(first) == .answered([2]))
        }
    }

    @Test(arguments: Kind.allCases)
    func `what is over is forgotten`(kind: Kind) async throws {
        try await withOnceTable(kind) { table, pass in
            var first = try claim("p1")
            first.memory = .seconds(30)
            _ = try await table.claim(first)
            try await table.complete(first, answer: [1])
            try await pass(.seconds(30))
            // An answer to what is forgotten does not bring it back.
            try await table.complete(first, answer: [1])
            let second = try claim("p2")
            #expect(try await table.claim(second) == .claimed(second.push, isRepeat: false))
        }
    }

    private func claim(_ push: String) throws -> OnceClaim {
        OnceClaim(
            key: try IdempotencyKey("order-1/é"),
            digest: "digest",
            push: try PushID(push),
            holder: UInt64(push.utf8.reduce(0) { $0 &* 31 &+ Int($1) }),
            lease: .seconds(60),
            memory: .seconds(300)
        )
    }
}

private func withOnceTable(
    _ kind: Kind,
    _ body: @Sendable (any OnceTable, @Sendable (Duration) async throws -> Void) async throws -> Void
) async throws {
    switch kind {
    case .memory:
        let table = MemoryOnceTable()
        try await body(table) { table.advance(by: $0) }
    case .redis:
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                try await body(RedisOnceTable(link: link)) { try await passTime($0, at: link) }
            }
        }
    }
}
