import HeraldCore

/// A mapping that stood in the way of another, with the words by which it is taken out.
struct CountedMapping {
    let route: Route
    let field: [UInt8]
    let text: [UInt8]

    /// Reads pairs of a key and what stands there.
    static func read(_ user: UserID, _ words: some Collection<RedisValue>) -> [CountedMapping] {
        let words = Array(words)
        return stride(from: 0, to: words.count - 1, by: 2).compactMap { index in
            guard case .string(let field) = words[index], case .string(let text) = words[index + 1],
                let key = try? ConnectionKey(String(decoding: field, as: UTF8.self)),
                let route = RouteText.route(UserKey(user: user, key: key), text)
            else { return nil }
            return CountedMapping(route: route, field: field, text: text)
        }
    }
}

/// A user who has as many connections as one may have, as a script told it.
struct FullUser {
    let user: UserID
    /// Oldest first; those of dead nodes are among them.
    let counted: [CountedMapping]

    /// - Returns: nil for every other answer of a script.
    init?(_ user: UserID, _ reply: RedisValue) {
        guard case .array(let words) = reply, words.first?.text == "full" else { return nil }
        self.user = user
        counted = CountedMapping.read(user, words.dropFirst())
    }
}
