import Glibc
import HeraldCore
import HeraldRedis

/// What Redis says of itself, gathered in a few turns; judging it is `findings`.
struct RedisFacts: Sendable {
    /// INFO's fields.
    var info: [String: String] = [:]
    /// CONFIG GET's answers; nil when Redis does not let us ask, as managed ones do.
    var config: [String: String]?
    /// How far the local clock is ahead of Redis's, in milliseconds; half a round trip is the error.
    var clockAheadMilliseconds = 0.0
    /// Round trips of 100 PINGs, one after the other, in milliseconds, sorted.
    var pingMilliseconds: [Double] = []
    /// Why our scripts cannot be loaded; nil when they can.
    var scriptError: String?

    static let pings = 100
    private static let asked = [
        "maxmemory", "maxmemory-policy", "client-output-buffer-limit", "appendonly", "appendfsync", "save",
        "timeout",
        "tcp-keepalive", "maxclients",
    ]

    static func gather(_ link: RedisLink) async throws -> RedisFacts {
        var facts = RedisFacts()
        do {
            let answers = try await link.send(
                [RedisCommand("INFO")] + asked.map { RedisCommand("CONFIG", "GET", .text($0)) }
            )
            facts.info = fields(answers.first?.text ?? "")
            let pairs = answers.dropFirst().compactMap(\.elements).filter { $0.count == 2 }
            if !pairs.isEmpty {
                facts.config = Dictionary(
                    pairs.compactMap { pair in
                        guard let name = pair[0].text, let value = pair[1].text else { return nil }
                        return (name, value)
                    },
                    uniquingKeysWith: { $1 }
                )
            }
            for _ in 0..<pings {
                let start = ContinuousClock.now
                try await link.send(RedisCommand("PING"))
                facts.pingMilliseconds.append((ContinuousClock.now - start) / .milliseconds(1))
            }
            facts.pingMilliseconds.sort()
            facts.clockAheadMilliseconds = try await clockAhead(link)
            facts.scriptError = try await scriptError(link)
        } catch let error as RedisError {
            throw Failure(.unavailable, "Redis broke off: \(error)")
        }
        return facts
    }

    private static func fields(_ info: String) -> [String: String] {
        var fields: [String: String] = [:]
        for line in info.split(whereSeparator: \.isNewline) {
            let pair = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
            if pair.count == 2 { fields[String(pair[0])] = String(pair[1]) }
        }
        return fields
    }

    private static func clockAhead(_ link: RedisLink) async throws -> Double {
        let before = localMilliseconds()
        let there = try await RedisClock.now(link)
        let after = localMilliseconds()
        return (before + after) / 2 - Double(there.milliseconds)
    }

    private static func localMilliseconds() -> Double {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Double(time.tv_sec) * 1000 + Double(time.tv_nsec) / 1e6
    }

    private static func scriptError(_ link: RedisLink) async throws -> String? {
        let answers = try await link.send(
            RedisScript.herald.map { RedisCommand("SCRIPT", "LOAD", .bytes($0.source)) }
        )
        return answers.compactMap(\.failure).first?.description
    }
}
