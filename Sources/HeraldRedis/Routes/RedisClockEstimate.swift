import HeraldCore

/// What Redis's clock shows, between two readings of it.
///
/// A reading is a time that Redis wrote between the moment of our asking and that of our hearing. So its clock is
/// ahead of ours by at most "what it wrote minus when we asked" and at least "minus when we heard". Good for one
/// connection (the next may lead to another master) and for half a minute (clocks drift, and are set).
struct RedisClockEstimate: Sendable {
    private var reading: Reading?

    private struct Reading {
        var redis: RedisTime
        var asked: Moment
        var heard: Moment
        var connection: Int
    }

    mutating func read(_ redis: RedisTime, asked: Moment, heard: Moment, connection: Int) {
        reading = Reading(redis: redis, asked: asked, heard: max(asked, heard), connection: connection)
    }

    /// What the clock shows at the earliest and at the latest.
    ///
    /// - Returns: nil when there is no reading that is good enough.
    func time(now: Moment, connection: Int) -> ClosedRange<RedisTime>? {
        guard let reading, reading.connection == connection, reading.heard <= now,
            now <= reading.asked + .seconds(30)
        else { return nil }
        let earliest = reading.redis + .nanoseconds(now.nanoseconds - reading.heard.nanoseconds)
        let latest = reading.redis + .nanoseconds(now.nanoseconds - reading.asked.nanoseconds)
        return earliest...latest
    }
}
