/// Spreads the pings of all sockets evenly over the interval; decisions only.
///
/// A cursor goes round the slots once per interval, so no socket needs a timer of its own to be pinged by,
/// and sockets that came in one storm are not pinged in one.
struct PingPacer {
    private let intervalNanoseconds: UInt64
    private var cursor = 0
    private var lastNanoseconds: UInt64
    /// Visits that are due times the interval: what a division would round away.
    private var owed: UInt64 = 0

    /// Between two steps at least: 20 wake-ups a second are 0.02 % of a core.
    static let stepNanoseconds: UInt64 = 50_000_000

    init(interval: Duration, nowNanoseconds: UInt64) {
        intervalNanoseconds = max(interval.clampedNanoseconds, 1)
        lastNanoseconds = nowNanoseconds
    }

    /// The slots whose turn has come: a range, and a second one when the cursor went round.
    mutating func due(slots: Int, nowNanoseconds: UInt64) -> (Range<Int>, Range<Int>) {
        guard slots > 0 else {
            lastNanoseconds = nowNanoseconds
            return (0..<0, 0..<0)
        }
        // More than one round is never owed, however long the loop was away.
        let elapsed = min(nowNanoseconds &- lastNanoseconds, intervalNanoseconds)
        lastNanoseconds = nowNanoseconds
        owed += elapsed * UInt64(slots)
        let visits = min(Int(owed / intervalNanoseconds), slots)
        owed %= intervalNanoseconds
        if cursor >= slots { cursor = 0 }
        let first = cursor..<min(cursor + visits, slots)
        let second = 0..<(visits - first.count)
        cursor = second.isEmpty ? first.upperBound : second.upperBound
        return (first, second)
    }

    /// When to ask again.
    func nextNanoseconds(slots: Int) -> UInt64? {
        guard slots > 0 else { return nil }
        let missing = (intervalNanoseconds - min(owed, intervalNanoseconds)) / UInt64(slots)
        return lastNanoseconds + max(missing + 1, Self.stepNanoseconds)
    }
}
