import HeraldCore

/// How webhooks are tried and given up. Decisions only.
struct WebhookRules: Sendable, Equatable {
    /// Events of one request; some 25 KB.
    var batchMax = 100
    /// How long a receiver may take, from looking its name up to the end of its answer.
    var requestTimeout: Duration = .seconds(5)
    /// How long the group is held without being asked again; a process that died is followed after it.
    var hold: Duration = .seconds(10)
    /// How often it is asked for, by its holder and by those who wait.
    var holdInterval: Duration = .seconds(3)
    /// Stops so long before the hold may lapse: no request of ours is under way when the next holder begins.
    var holdMargin: Duration = .seconds(1)
    /// How long a read waits for events. A stop waits for it in the worst case.
    var readWait: Duration = .seconds(1)
    /// After a call of the log that failed.
    var logPause: Duration = .seconds(1)
    /// The first step of the pauses between two tries, and the longest.
    var stepMin: Duration = .seconds(2)
    var stepMax: Duration = .seconds(60)
    /// What a receiver may ask for.
    var retryAfterMax: Duration = .seconds(300)
    /// A batch all of whose events are older is given up when it fails.
    var giveUpAfter: Duration = .seconds(86_400)

    /// The pause before a batch is tried again: between the half and the whole of a step that doubles, so 1 s to
    /// 60 s; never less than what the receiver asked for, within its bound.
    ///
    /// - Parameters:
    ///   - failures: in a row, this one included.
    ///   - asked: the receiver's `Retry-After`.
    ///   - random: 0 to 1.
    /// - Returns: how long to wait.
    func pause(failures: Int, asked: Duration?, random: Double) -> Duration {
        let step = min(stepMin * (1 << min(max(failures, 1) - 1, 20)), stepMax)
        let own = step * (0.5 + random / 2)
        guard let asked else { return own }
        return max(own, min(asked, retryAfterMax))
    }

    func isTooOld(_ batch: [PresenceEvent], at now: WebhookTime) -> Bool {
        guard let newest = batch.last else { return false }
        return newest.at + giveUpAfter <= now.unix
    }
}

/// Both clocks, as far as decisions need them.
struct WebhookTime: Sendable, Equatable {
    /// Since some moment in this process; never set back.
    var steady: Duration
    /// This machine's wall clock, to be held against the times of events, which are Redis's. A clock that is wrong
    /// moves the moment of giving up by as much.
    var unix: RedisTime
}

/// What became of one request.
enum WebhookOutcome: Sendable, Equatable {
    /// 2xx.
    case accepted
    /// 410: the receiver wants no more, ever.
    case gone
    /// Any other answer.
    case refused(status: Int, retryAfter: Duration?)
    /// No whole answer: no address that may be used, no connection, no answer in time. In a person's words.
    case failed(String)
}
