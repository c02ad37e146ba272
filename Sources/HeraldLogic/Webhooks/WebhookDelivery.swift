import HeraldCore

/// What a holder of the group has under way: one read, and a lane for each partition.
struct WebhookDelivery: Sendable, Equatable {
    /// When the hold may lapse, less a margin.
    var stopAt: Duration
    var reading = Reading.idle
    var lanes = [WebhookLane](repeating: WebhookLane(), count: PresencePartition.count)

    enum Reading: Equatable, Sendable {
        case idle
        case underWay([Int], again: Bool)
        case paused(until: Duration)
        /// Redis lost the group; the next hold makes it anew.
        case withoutGroup
    }

    init(stopAt: Duration) { self.stopAt = stopAt }

    /// The read that should be made, if any: first what is pending, and of that only where nothing is in hand.
    func nextRead(_ rules: WebhookRules) -> (partitions: [Int], again: Bool)? {
        guard reading == .idle else { return nil }
        let inDoubt = lanes.indices.filter { lanes[$0].mayReadAgain }
        guard inDoubt.isEmpty else { return (inDoubt, true) }
        let open = lanes.indices.filter { lanes[$0].mayReadNew(rules) }
        return open.isEmpty ? nil : (open, false)
    }

    var isBusy: Bool { lanes.contains(where: \.isBusy) }
    var oldest: RedisTime? { lanes.compactMap { $0.oldest?.at }.min() }
}
