import HeraldCore

/// What a pipeline has done. Everything only grows.
///
/// It lives inside the pipeline's lock, which every push takes anyway, so that counting costs an addition.
struct PipelineCounters: Sendable, Equatable {
    /// Pushes that were taken into the queue.
    var accepted = 0
    /// Pushes that were answered with verdicts.
    var answered = 0
    /// Pushes that got no verdicts, by code: not taken in, or taken in and refused later.
    var refused: [PushRefusal.Code: Int] = [:]
    var targetsRouted = 0
    /// Kept, and nobody was told at once.
    var targetsStored = 0
    var targetsOffline = 0
    var targetsUnreachable = 0
    var targetsWritten = 0
    var targetsAcked = 0
    var targetsDropped = 0

    var turns = 0
    /// Pushes over all turns: divided by `turns`, how many share a look-up.
    var turnPushes = 0
    /// Pushes that were looked up and published in one step.
    var direct = 0
    /// Envelopes handed to the bus.
    var envelopes = 0
    /// Those of them whose channel had no subscriber.
    var envelopesMissed = 0
    /// Look-ups of single pushes again, because a node did not take them or did not have the target.
    var retried = 0
    /// What became of those that were out.
    var follow = FollowCounters()

    /// Messages that an inbox did not take, or turns of them that nobody knows of.
    var appendsFailed = 0

    var appendDuration = DurationHistogram()
    var pushDuration = DurationHistogram()
    var lookupDuration = DurationHistogram()
    var publishDuration = DurationHistogram()

    mutating func settled(_ result: Result<PushAnswer, PushRefusal>, after duration: Duration) {
        pushDuration.add(duration)
        switch result {
        case .failure(let refusal): refused[refusal.code, default: 0] += 1
        case .success(let answer):
            answered += 1
            for verdict in answer.verdicts {
                switch verdict.verdict {
                case .routed: targetsRouted += 1
                case .stored: targetsStored += 1
                case .offline: targetsOffline += 1
                case .unreachable: targetsUnreachable += 1
                case .written: targetsWritten += 1
                case .acked: targetsAcked += 1
                case .dropped: targetsDropped += 1
                default: break
                }
            }
        }
    }
}

/// How long something took, in classes.
struct DurationHistogram: Sendable, Equatable {
    /// Upper bounds of the classes in microseconds; one more class is above the last.
    static let boundsMicroseconds: [Int64] = [
        500, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000, 3_000_000,
    ]

    private(set) var counts = [Int](repeating: 0, count: boundsMicroseconds.count + 1)
    private(set) var sumMicroseconds: Int64 = 0
    private(set) var count = 0

    mutating func add(_ duration: Duration) {
        let microseconds = Self.microseconds(duration)
        let index = Self.boundsMicroseconds.firstIndex { microseconds <= $0 }
        counts[index ?? counts.count - 1] += 1
        sumMicroseconds += microseconds
        count += 1
    }

    /// Below 18 seconds, which is nearly always, without a division of 128 bits.
    private static func microseconds(_ duration: Duration) -> Int64 {
        if let short = UInt64(exactly: duration.attoseconds) { return Int64(short / 1_000_000_000_000) }
        let (seconds, attoseconds) = duration.components
        return max(0, seconds * 1_000_000 + attoseconds / 1_000_000_000_000)
    }
}
