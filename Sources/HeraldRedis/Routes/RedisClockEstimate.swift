import HeraldCore

/// What Redis's clock shows at the latest, between two readings of it.
///
/// A reading is a time that Redis wrote between the moment of our asking and that of our hearing. So its clock is
/// ahead of ours by at most "what it wrote minus when we asked". Good for one connection (the next may lead to
/// another master) and for half a minute (clocks drift, and are set).
struct RedisClockEstimate: Sendable {
    private var reading: Reading?

    private struct Reading {
        var redis: RedisTime
        var asked: Moment
        var connection: Int
    }

    mutating func read(_ redis: RedisTime, asked: Moment, connection: Int) {
        reading = Reading(redis: redis, asked: asked, connection: connection)
    }

    /// - Returns: nil when there is no reading that is good enough.
    func latest(now: Moment, connection: Int) -> RedisTime? {
        guard let reading, reading.connection == connection, reading.asked <= now,
            now <= reading.asked + .seconds(30)
        else { return nil }
        return reading.redis + .nanoseconds(now.nanoseconds - reading.asked.nanoseconds)
    }
}
