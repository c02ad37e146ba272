/// The presence events, for one who has to see each of them: a consumer group over all partitions.
///
/// Delivery is at least once: what was read and not acknowledged is read again by whoever reads next. One reader
/// of a group at a time keeps the order of each user; `hold` says who it is.
public protocol PresenceLog: Sendable {
    /// Takes or extends the right to read for a group.
    ///
    /// - Parameters:
    ///   - group: any name; the first `hold` creates it, and it begins with events from then on.
    ///   - holder: who asks; distinct for each process.
    ///   - duration: the right lapses after it unless it is extended.
    /// - Returns: whether `holder` has the right now.
    /// - Throws: why the log did not answer.
    func hold(
        _ group: String,
        by holder: String,
        for duration: Duration
    ) async throws(PresenceLogError) -> Bool

    /// Gives the right back, so that another process need not wait for it to lapse.
    func release(_ group: String, by holder: String) async throws(PresenceLogError)

    /// The next events of each partition named, oldest first: those that were read and not acknowledged when
    /// `again` is set, else those never read by the group.
    ///
    /// - Parameters:
    ///   - group: as in `hold`, which comes first.
    ///   - partitions: below `PresencePartition.count`, each once.
    ///   - again: whether those are asked for that were read before.
    ///   - limit: at most so many of each partition; at least 1.
    ///   - wait: how long to wait for one when there is none; below 2 s.
    /// - Returns: by partition, each in order; empty when there is none.
    /// - Throws: why the log did not answer.
    func read(
        _ group: String,
        partitions: [Int],
        again: Bool,
        limit: Int,
        wait: Duration
    ) async throws(PresenceLogError) -> [PresenceEvent]

    /// Says that these are done with.
    func acknowledge(_ events: [PresenceEventID], in group: String) async throws(PresenceLogError)
}

/// Why the log did not answer. Each call may be repeated.
public enum PresenceLogError: Error, Equatable, CustomStringConvertible {
    /// Out of reach or too slow; try again after a moment.
    case unavailable(String)
    /// The group is not there any more: Redis lost its data. `hold` makes it anew.
    case groupLost
    /// What stands there is not Herald's: for the operator.
    case corrupt(String)

    public var description: String {
        switch self {
        case .unavailable(let reason): "the presence log is out of reach: \(reason)"
        case .groupLost: "the presence log has lost the group"
        case .corrupt(let reason): "the presence log answered what it should not: \(reason)"
        }
    }
}
