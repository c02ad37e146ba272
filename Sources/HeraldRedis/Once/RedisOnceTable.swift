public import HeraldCore

/// The memory of requests in Redis: one hash for each key, `herald:once:{key}`, that ends by itself. What happens
/// to a key is decided in the scripts, by Redis's clock.
public final class RedisOnceTable: OnceTable {
    private let link: RedisLink
    private let keys: RedisKeys

    /// - Parameters:
    ///   - link: carries the commands; may be shared. Somebody else runs it.
    ///   - prefix: goes before every key's name.
    public init(link: RedisLink, prefix: String = "herald:") {
        self.link = link
        keys = RedisKeys(prefix: prefix)
    }

    public func claim(_ claim: OnceClaim) async throws(OnceTableError) -> OnceOutcome {
        let reply = try await run(
            RedisScript.onceClaim.call(
                keys: [keys.once(claim.key)],
                [
                    .text(claim.digest), .text(claim.push.description), .text(String(claim.holder)),
                    .integer(claim.lease.wholeMilliseconds), .integer(claim.memory.wholeMilliseconds),
                ]
            )
        )
        guard let words = reply.elements, let outcome = OnceOutcome(words) else {
            throw .corrupt("a claim was answered by \(reply)")
        }
        return outcome
    }

    public func complete(_ claim: OnceClaim, answer: [UInt8]) async throws(OnceTableError) {
        _ = try await run(
            RedisScript.onceComplete.call(
                keys: [keys.once(claim.key)],
                [.text(claim.digest), .bytes(answer), .integer(claim.memory.wholeMilliseconds)]
            )
        )
    }

    public func abandon(_ claim: OnceClaim) async throws(OnceTableError) {
        _ = try await run(
            RedisScript.onceAbandon.call(keys: [keys.once(claim.key)], [.text(String(claim.holder))])
        )
    }

    private func run(_ command: RedisCommand) async throws(OnceTableError) -> RedisValue {
        let replies: [RedisValue]
        do throws(RedisError) {
            replies = try await link.send([command])
        } catch {
            throw error.mayRetry || error.fault == .nobody
                ? .unavailable(error.description) : .corrupt(error.description)
        }
        guard let reply = replies.first else { throw .corrupt("a script was not answered") }
        if let failure = reply.failure {
            throw failure.isPassing ? .unavailable(failure.description) : .corrupt(failure.description)
        }
        return reply
    }
}

extension OnceOutcome {
    fileprivate init?(_ words: [RedisValue]) {
        func push() -> PushID? {
            guard words.count > 1, let text = words[1].text else { return nil }
            return try? PushID(text)
        }
        switch words.first?.text {
        case "claimed", "again":
            guard let push = push() else { return nil }
            self = .claimed(push, isRepeat: words[0].text == "again")
        case "held":
            guard let push = push(), words.count > 2, let left = words[2].number else { return nil }
            self = .held(push, remaining: .milliseconds(left))
        case "answered":
            guard words.count > 1, case .string(let answer) = words[1] else { return nil }
            self = .answered(answer)
        case "mismatch": self = .mismatch
        default: return nil
        }
    }
}
