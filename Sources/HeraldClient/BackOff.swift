import HeraldCore

/// How long to wait before connecting again: doubling, with jitter, so that the clients of a node that stopped
/// do not all come back in the same second.
///
/// The pause is drawn evenly from the upper half of the step ("equal jitter"): the lower half would let a few
/// hammer, full jitter gains little over it at these sizes. A decision only; the caller brings the random number.
public struct BackOff: Sendable, Equatable {
    /// The first step.
    public var base: Duration = .milliseconds(500)
    /// No step is longer.
    public var max: Duration = .seconds(30)
    /// A connection that lived so long ends the series: the next pause starts from `base` again.
    public var steadyAfter: Duration = .seconds(10)
    private var failures = 0

    public init() {}
    public static let standard = BackOff()

    /// A connection ended, or could not be made.
    ///
    /// - Parameters:
    ///   - lived: how long it was live; nil when it never was.
    ///   - asked: how long the server asked to wait, if it did; the pause is never shorter.
    ///   - random: 0 to 1.
    /// - Returns: the pause before the next try.
    public mutating func pause(after lived: Duration?, asked: Duration? = nil, random: Double) -> Duration {
        if let lived, lived >= steadyAfter { failures = 0 }
        let step = Swift.min(base * (1 << Swift.min(failures, 20)), max)
        failures += 1
        let jittered = step * (0.5 + random / 2)
        guard let asked else { return jittered }
        return asked + jittered
    }
}

/// The last push ids that came, so that a repeat after a reconnect is dropped. Memory is bounded by `max`.
struct RecentPushes: Sendable {
    private var ids: Set<PushID> = []
    private var ring: [PushID] = []
    private var next = 0
    private let max: Int

    init(max: Int) {
        precondition(max > 0, "a memory of nothing remembers nothing")
        self.max = max
    }

    /// - Returns: whether the id is new; it then pushes out the oldest when there are `max`.
    mutating func remember(_ id: PushID) -> Bool {
        guard ids.insert(id).inserted else { return false }
        if ring.count < max {
            ring.append(id)
        } else {
            ids.remove(ring[next])
            ring[next] = id
            next = (next + 1) % max
        }
        return true
    }
}
