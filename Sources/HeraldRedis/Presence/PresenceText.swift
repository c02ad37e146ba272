import HeraldCore

/// Reads what the scripts write into a stream of events.
enum PresenceText {
    enum Entry: Equatable {
        case event(PresenceEvent)
        /// Its fields were trimmed, or are no event's.
        case gone(PresenceEventID)
    }

    /// - Returns: nil for what is no entry of a stream.
    static func entry(_ reply: RedisValue, partition: Int) -> Entry? {
        guard let pair = reply.elements, pair.count == 2, let entry = pair[0].text else { return nil }
        let id = PresenceEventID(partition: partition, entry: entry)
        guard let words = pair[1].elements, let event = event(id, words) else { return .gone(id) }
        return .event(event)
    }

    private static func event(_ id: PresenceEventID, _ words: [RedisValue]) -> PresenceEvent? {
        var fields: [String: String] = [:]
        for index in stride(from: 0, to: words.count - 1, by: 2) {
            guard let field = words[index].text, let value = words[index + 1].text else { return nil }
            fields[field] = value
        }
        guard let kind = kind(fields), let user = fields["user"].flatMap({ try? UserID($0) }),
            let key = fields["key"].flatMap({ try? ConnectionKey($0) }),
            let session = fields["session"].flatMap({ SessionID($0) }),
            let epoch = fields["epoch"].flatMap({ UInt64($0) }),
            let connections = fields["connections"].flatMap({ Int($0) }),
            let at = fields["at"].flatMap({ UInt64($0) })
        else { return nil }
        return PresenceEvent(
            id: id,
            kind: kind,
            name: UserKey(user: user, key: key),
            session: session,
            epoch: Epoch(epoch),
            connections: connections,
            at: RedisTime(milliseconds: at)
        )
    }

    private static func kind(_ fields: [String: String]) -> PresenceEvent.Kind? {
        switch fields["type"] {
        case "connected": .connected
        case "replaced": fields["previous"].flatMap { SessionID($0) }.map { .replaced(previous: $0) }
        case "disconnected":
            fields["reason"].flatMap { DisconnectReason(rawValue: $0) }.map { .disconnected($0) }
        default: nil
        }
    }

    /// In the order of the entries' ids, `1712345678901-0`; of the same, in that of the partitions.
    static func precedes(_ one: PresenceEventID, _ other: PresenceEventID) -> Bool {
        let (left, right) = (place(one), place(other))
        return (left.milliseconds, one.partition, left.number) < (
            right.milliseconds, other.partition, right.number
        )
    }

    private static func place(_ id: PresenceEventID) -> (milliseconds: UInt64, number: UInt64) {
        let words = id.entry.split(separator: "-")
        return (
            words.first.flatMap { UInt64($0) } ?? 0,
            words.dropFirst().first.flatMap { UInt64($0) } ?? 0
        )
    }
}
