import HeraldCore

/// Reads what the scripts write: `cloud-1#7.42 EPOCH EXPIRES` and `cloud-1#7`.
///
/// Works on bytes: a look-up of a thousand users reads a thousand of these.
enum RouteText {
    /// - Returns: nil for what is no mapping.
    static func route(_ name: UserKey, _ text: [UInt8]) -> Route? {
        // No digit is a space, so the two ends of the middle word are the first and the last.
        guard let first = text.firstIndex(of: UInt8(ascii: " ")),
            let last = text.lastIndex(of: UInt8(ascii: " ")), first < last,
            let dot = text[..<first].lastIndex(of: UInt8(ascii: ".")),
            let (node, incarnation) = incarnation(text[..<dot]),
            let counter = number(text[(dot + 1)..<first]),
            let epoch = number(text[(first + 1)..<last]),
            let expires = number(text[(last + 1)...])
        else { return nil }
        return Route(
            name: name,
            session: SessionID(node: node, incarnation: incarnation, counter: counter),
            epoch: Epoch(epoch),
            expires: RedisTime(milliseconds: expires)
        )
    }

    /// - Returns: nil for what is no `node#incarnation`.
    static func incarnation(_ text: ArraySlice<UInt8>) -> (NodeID, Incarnation)? {
        guard let hash = text.lastIndex(of: UInt8(ascii: "#")),
            let incarnation = number(text[(hash + 1)...]),
            let node = try? NodeID(String(decoding: text[..<hash], as: UTF8.self))
        else { return nil }
        return (node, Incarnation(incarnation))
    }

    /// Digits only, as the scripts write them.
    static func number(_ text: some Collection<UInt8>) -> UInt64? {
        guard (1...19).contains(text.count) else { return nil }
        var number: UInt64 = 0
        for byte in text {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            number = number &* 10 &+ UInt64(byte &- UInt8(ascii: "0"))
        }
        return number
    }

    /// The two words of `TIME`'s reply: seconds and microseconds.
    static func time(_ reply: RedisValue) -> RedisTime? {
        guard let words = reply.elements, words.count == 2, let seconds = words[0].number,
            let microseconds = words[1].number, (0..<1_000_000_000_000).contains(seconds),
            (0..<1_000_000).contains(microseconds)
        else { return nil }
        return RedisTime(milliseconds: UInt64(seconds) * 1000 + UInt64(microseconds / 1000))
    }
}
