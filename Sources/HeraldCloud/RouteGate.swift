import HeraldCore

/// Whether the route table is worth asking: after a failure there is a pause that grows, then one call to try.
struct RouteGate: Hashable, Sendable {
    private var failures = 0
    private var opens = Moment.past

    static let pauseMin = Duration.milliseconds(100)
    /// After Redis returns, routes move again within this and one call.
    static let pauseMax = Duration.seconds(1)

    /// Calls that may be under way at once, of `most`.
    func allowance(at now: Moment, most: Int) -> Int {
        if failures == 0 { return most }
        return now < opens ? 0 : 1
    }

    var isTrouble: Bool { failures > 0 }

    mutating func answered() { failures = 0 }

    /// `random`: for the jitter, between half the pause and all of it.
    mutating func failed(at now: Moment, random: UInt64) {
        failures = min(failures + 1, 8)
        let whole = min(
            Self.pauseMin.wholeMilliseconds << (failures - 1),
            Self.pauseMax.wholeMilliseconds
        )
        opens = now + .milliseconds(whole / 2 + Int64(random % UInt64(whole / 2 + 1)))
    }
}
