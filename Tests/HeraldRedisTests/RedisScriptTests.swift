import HeraldTesting
import Testing

@testable import HeraldRedis

@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisScriptTests {
    private static let add = RedisScript(
        name: "add",
        source: Array("return redis.call('INCRBY', KEYS[1], ARGV[1])".utf8)
    )
    private static let echo = RedisScript(name: "echo", source: Array("return ARGV[1]".utf8))

    @Test func `every script of Herald's is loaded under the name we call it by`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                for script in RedisScript.herald {
                    #expect(
                        try await link.send(RedisCommand("SCRIPT", "EXISTS", .text(script.sha)))
                            == .array([.integer(1)])
                    )
                    #expect(try await link.send(script.load).text == script.sha)
                }
            }
        }
    }

    @Test func `an unknown script is loaded and called once`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                #expect(try await link.send(Self.add.call(keys: ["n"], [5])) == .integer(5))
                try await link.send(RedisCommand("SCRIPT", "FLUSH"))
                #expect(try await link.send(Self.add.call(keys: ["n"], [5])) == .integer(10))
            }
        }
    }

    @Test func `a flush in the middle of a pipeline repeats only what was not run`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url, quickOptions { $0.scripts = [Self.add, Self.echo] }) {
                link async throws in
                let replies = try await link.send([
                    Self.add.call(keys: ["n"], [1]),
                    RedisCommand("SCRIPT", "FLUSH"),
                    Self.add.call(keys: ["n"], [10]),
                    Self.echo.call(keys: [], ["x"]),
                    RedisCommand("GET", "n"),
                    Self.add.call(keys: ["n"], [100]),
                ])
                #expect(replies[0] == .integer(1))
                #expect(replies[2] == .integer(11))
                #expect(replies[3].text == "x")
                #expect(replies[4].number == 1)
                #expect(replies[5] == .integer(111))
            }
        }
    }
}
