import HeraldCore

/// A moment of this process's monotonic clock, in whole milliseconds since it started.
///
/// Only the files that do I/O read the clock; everything that decides is handed a moment.
struct Moment: Hashable, Sendable, Comparable {
    var milliseconds: Int64

    /// Before everything.
    static let past = Moment(milliseconds: .min / 2)

    private static let start = ContinuousClock.now

    static func now() -> Moment {
        Moment(milliseconds: (ContinuousClock.now - start).wholeMilliseconds)
    }

    static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
    static func + (left: Self, right: Duration) -> Self {
        Moment(milliseconds: left.milliseconds + right.wholeMilliseconds)
    }

    /// From `earlier` to this moment.
    func since(_ earlier: Moment) -> Duration {
        .milliseconds(milliseconds - earlier.milliseconds)
    }
}
