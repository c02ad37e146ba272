import HeraldClient
import HeraldCore

/// A backend with large requests: a thousand users in each.
struct Backend {
    let client: HeraldPushClient

    init(_ client: HeraldPushClient) { self.client = client }

    /// - Returns: each user's verdict.
    func push(to users: [String], event: String? = nil) async throws -> [String: String] {
        var verdicts: [String: String] = [:]
        for start in stride(from: 0, to: users.count, by: 1000) {
            let some = Array(users[start..<min(start + 1000, users.count)])
            let targets = try some.map { Target.user(try UserID($0)) }
            let answer = try await client.push(PushRequest(to: targets, Message(event: event)))
            for (user, verdict) in zip(some, answer.verdicts) {
                verdicts[user] = verdict.verdict.description
            }
        }
        return verdicts
    }

    /// - Returns: how often each verdict was given.
    func push(counting users: [String]) async throws -> [String: Int] {
        try await push(to: users).values.reduce(into: [:]) { $0[$1, default: 0] += 1 }
    }

    /// How many of them are online.
    func online(_ users: [String]) async throws -> Int {
        var online = 0
        for start in stride(from: 0, to: users.count, by: 1000) {
            let some = users[start..<min(start + 1000, users.count)].map { "\"\($0)\"" }.joined(
                separator: ","
            )
            let answer = try await client.post("/v1/presence", json: Array("{\"users\":[\(some)]}".utf8))
            guard answer.status == 200 else { return 0 }
            online +=
                String(decoding: answer.body, as: UTF8.self).split(separator: "\"online\":true").count - 1
        }
        return online
    }
}
