// The presence events as Redis streams, read by consumer groups.
//
// One consumer name for every group: whoever holds the group is that consumer, so what a dead holder had read and
// not acknowledged is pending to its successor, which reads it again in order and then goes on with what is new.
//
// Waiting is asking again each 50 ms, not XREADGROUP BLOCK: a blocked command would hold up everybody else on a link
// that many share, and a link of its own would be one more connection for each process, of which one reads. Sixteen
// empty answers cost Redis some 20 µs, so the reader costs it half a thousandth of its time, and an event waits 25 ms
// on average for a webhook that takes longer.

public import HeraldCore
public import Logging
import Synchronization

/// The presence log in Redis.
public final class RedisPresenceLog: PresenceLog {
    let link: RedisLink
    let keys: RedisKeys
    let logger: Logger
    private let groups = Mutex<[String: GroupState]>([:])

    /// What this process knows of a group.
    private enum GroupState {
        case made
        /// Redis lost it, and so the streams: all that they hold was written since.
        case lost
    }

    private static let consumer = "herald"
    private static let pause: Duration = .milliseconds(50)

    /// Over a link that somebody else runs; a shared one will do.
    public init(
        link: RedisLink,
        prefix: String = "herald:",
        logger: Logger = Logger(label: "herald.presence")
    ) {
        self.link = link
        keys = RedisKeys(prefix: prefix)
        self.logger = logger
    }

    public func hold(
        _ group: String,
        by holder: String,
        for duration: Duration
    ) async throws(PresenceLogError) -> Bool {
        try await make(group)
        let milliseconds = RedisArgument.integer(max(1, duration.wholeMilliseconds))
        return try await take(group, .text(holder), milliseconds)
    }

    public func release(_ group: String, by holder: String) async throws(PresenceLogError) {
        _ = try await take(group, .text(holder), 0)
    }

    private func take(
        _ group: String,
        _ holder: RedisArgument,
        _ milliseconds: RedisArgument
    ) async throws(PresenceLogError) -> Bool {
        let call = RedisScript.hold.call(keys: [keys.reader(of: group)], [holder, milliseconds])
        let reply = try await send([call])[0]
        guard let number = reply.number else { throw corrupt("hold", reply) }
        return number == 1
    }

    /// Creates the group where it is not there yet.
    private func make(_ group: String) async throws(PresenceLogError) {
        let known = groups.withLock { $0[group] }
        let begin: RedisArgument
        switch known {
        case .made: return
        case .lost: begin = "0"
        case nil: begin = "$"
        }
        let replies = try await send(
            (0..<PresencePartition.count).map { partition in
                RedisCommand(
                    "XGROUP",
                    "CREATE",
                    .text(keys.events(partition)),
                    .text(group),
                    begin,
                    "MKSTREAM"
                )
            }
        )
        for reply in replies {
            if let error = reply.failure, error.code != "BUSYGROUP" { throw corrupt("group", reply) }
        }
        groups.withLock { $0[group] = .made }
    }

    public func read(
        _ group: String,
        partitions: [Int],
        again: Bool,
        limit: Int,
        wait: Duration
    ) async throws(PresenceLogError) -> [PresenceEvent] {
        guard !partitions.isEmpty else { return [] }
        let end = ContinuousClock.now + min(wait, .seconds(2))
        while true {
            let (events, hasMore) = try await readOnce(group, partitions, again: again, limit: limit)
            let left = end - ContinuousClock.now
            if !events.isEmpty || left <= .zero && !hasMore { return events }
            if hasMore { continue }
            do { try await Task.sleep(for: min(Self.pause, left)) } catch { return [] }
        }
    }

    /// - Returns: the events, and whether there are more although there are none: what was read was not there.
    private func readOnce(
        _ group: String,
        _ partitions: [Int],
        again: Bool,
        limit: Int
    ) async throws(PresenceLogError) -> ([PresenceEvent], Bool) {
        let replies = try await send(
            partitions.map { partition in
                RedisCommand(
                    "XREADGROUP",
                    "GROUP",
                    .text(group),
                    .text(Self.consumer),
                    "COUNT",
                    .integer(Int64(max(1, limit))),
                    "STREAMS",
                    .text(keys.events(partition)),
                    again ? "0" : ">"
                )
            }
        )
        if replies.contains(where: { $0.failure?.code == "NOGROUP" }) {
            groups.withLock { $0[group] = .lost }
            throw .groupLost
        }
        var events: [PresenceEvent] = []
        var gone: [PresenceEventID] = []
        for (partition, reply) in zip(partitions, replies) {
            guard reply != .null else { continue }
            guard let entries = reply.elements?.first?.elements?.last?.elements else {
                throw corrupt("events", reply)
            }
            for entry in entries {
                switch PresenceText.entry(entry, partition: partition) {
                case .event(let event): events.append(event)
                case .gone(let id): gone.append(id)
                case nil: throw corrupt("event", reply)
                }
            }
        }
        guard !gone.isEmpty else { return (events, false) }
        // Trimmed before they were acknowledged, or not written by Herald: nobody can be told of them any more.
        logger.warning(
            "Presence events are gone before they were told",
            metadata: ["events": "\(gone.count)"]
        )
        try await acknowledge(gone, in: group)
        return (events, events.isEmpty)
    }

    public func acknowledge(
        _ events: [PresenceEventID],
        in group: String
    ) async throws(PresenceLogError) {
        guard !events.isEmpty else { return }
        let commands = Dictionary(grouping: events, by: \.partition).map { partition, ids in
            RedisCommand(
                "XACK",
                arguments: [.text(keys.events(partition)), .text(group)] + ids.map { .text($0.entry) }
            )
        }
        for reply in try await send(commands) where reply.number == nil {
            throw corrupt("acknowledgement", reply)
        }
    }
}

// MARK: Following without a group

extension RedisPresenceLog {
    /// Where a follower stands in all partitions.
    public struct Place: Hashable, Sendable {
        /// Redis's id of the last entry seen, for each partition.
        fileprivate var entries: [String]

        /// Before the oldest event that is kept.
        public static let beginning = Place(
            entries: Array(repeating: "0-0", count: PresencePartition.count)
        )
    }

    /// The place behind the newest event of each partition.
    public func end() async throws(PresenceLogError) -> Place {
        let replies = try await send(
            (0..<PresencePartition.count).map {
                RedisCommand("XREVRANGE", .text(keys.events($0)), "+", "-", "COUNT", 1)
            }
        )
        var place = Place.beginning
        for (partition, reply) in replies.enumerated() {
            guard let entries = reply.elements else { throw corrupt("newest event", reply) }
            if let id = entries.first?.elements?.first?.text { place.entries[partition] = id }
        }
        return place
    }

    /// Reads what follows a place, without a group and at once: each follower sees every event.
    ///
    /// - Parameters:
    ///   - place: where the follower stands.
    ///   - limit: at most so many of each partition; at least 1.
    /// - Returns: the events in the order of their entries' ids, so in that of each user, none when there is nothing
    ///   new (ask again after a moment); and the place behind them.
    /// - Throws: why the log did not answer.
    public func tail(
        from place: Place,
        limit: Int = 100
    ) async throws(PresenceLogError) -> (events: [PresenceEvent], next: Place) {
        let replies = try await send(
            place.entries.enumerated().map { partition, entry in
                RedisCommand(
                    "XRANGE",
                    .text(keys.events(partition)),
                    .text("(\(entry)"),
                    "+",
                    "COUNT",
                    .integer(Int64(max(1, limit)))
                )
            }
        )
        var next = place
        var events: [PresenceEvent] = []
        for (partition, reply) in replies.enumerated() {
            guard let entries = reply.elements else { throw corrupt("events", reply) }
            for entry in entries {
                guard let read = PresenceText.entry(entry, partition: partition) else {
                    throw corrupt("event", reply)
                }
                switch read {
                case .event(let event):
                    next.entries[partition] = event.id.entry
                    events.append(event)
                case .gone(let id): next.entries[partition] = id.entry
                }
            }
        }
        return (events.sorted { PresenceText.precedes($0.id, $1.id) }, next)
    }
}

// MARK: Asking Redis

extension RedisPresenceLog {
    private func send(_ commands: [RedisCommand]) async throws(PresenceLogError) -> [RedisValue] {
        let replies: [RedisValue]
        do throws(RedisError) {
            replies = try await link.send(commands)
        } catch {
            throw .unavailable(error.description)
        }
        for case .error(let error) in replies where error.isPassing { throw .unavailable(error.description) }
        return replies
    }

    private func corrupt(_ what: String, _ reply: RedisValue) -> PresenceLogError {
        .corrupt("\(what): \(reply.failure?.description ?? "an answer of another shape")")
    }
}
