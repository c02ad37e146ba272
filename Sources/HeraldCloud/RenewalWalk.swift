import HeraldCore

/// Walks round a table at an even pace, so that each place is passed once an interval, whenever it was filled.
///
/// A storm of connects is thereby renewed spread over the interval, not as a storm again, without a timer or a
/// random number for each session. While the way is barred (Redis away) the walk stands still; afterwards it
/// does not run to catch up. `hurry` makes one round at a higher pace.
struct RenewalWalk: Hashable, Sendable {
    /// Where the next step goes.
    private(set) var position = 0
    private var credit = 0.0
    private var last: Moment?
    private var hurried = 0

    let intervalSeconds: Double
    let hurryPerSecond: Double

    init(interval: Duration, hurryPerSecond: Int) {
        intervalSeconds = max(0.001, Double(interval.wholeMilliseconds) / 1000)
        self.hurryPerSecond = Double(hurryPerSecond)
    }

    /// Whether a hurried round goes on.
    var isHurrying: Bool { hurried > 0 }

    /// Starts one hurried round over so many places.
    mutating func hurry(count: Int) { hurried = count }

    /// How many places to pass now. The caller calls `step` for each.
    mutating func steps(at now: Moment, count: Int, isBarred: Bool) -> Int {
        defer { last = now }
        guard let last, !isBarred, count > 0 else { return 0 }
        let seconds = Double(max(0, now.milliseconds - last.milliseconds)) / 1000
        let pace = max(Double(count) / intervalSeconds, isHurrying ? hurryPerSecond : 0)
        // A second's worth at most: after a long pause of the process there is no rush.
        credit = min(credit + pace * seconds, max(1, pace))
        let steps = min(Int(credit), count)
        credit -= Double(steps)
        return steps
    }

    /// Passes one place and says which.
    mutating func step(count: Int) -> Int {
        if position >= count { position = 0 }
        defer { position += 1 }
        hurried = max(0, hurried - 1)
        return position
    }
}
