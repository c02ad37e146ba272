import HeraldCore

/// One partition's events on their way to the receiver: one batch at a time, in order.
///
///     idle ── events ──▶ sending ── 2xx ──▶ acknowledging ── done ──▶ idle, or sending the next
///                         ▲  │ failed        ▲   │ ▲ failed
///              pause over │  ▼               │   ▼ │ pause over
///                       backingOff ── too ───┘  unacknowledged
///                                     old
///
/// Rules:
/// 1. The next batch goes only when the one before is acknowledged, so a user's events stay in order.
/// 2. A batch that failed goes again as it was, with the same first id.
/// 3. Nothing leaves the lane but by acknowledgement; what is in it when the hold is lost stays pending in the log.
/// 4. A lane in doubt reads what is pending before anything new: from the start on, and after a read whose answer
///    was lost.
struct WebhookLane: Sendable, Equatable {
    private(set) var state: State = .idle
    /// Read, and behind the batch in `state`.
    private(set) var waiting: [PresenceEvent] = []
    /// In a row.
    private(set) var failures = 0
    private var isInDoubt = true

    enum State: Sendable, Equatable {
        case idle
        case sending([PresenceEvent])
        case backingOff([PresenceEvent], until: Duration)
        case acknowledging([PresenceEvent])
        case unacknowledged([PresenceEvent], until: Duration)
    }

    /// What has to be done.
    enum Step: Equatable {
        case nothing
        case send([PresenceEvent])
        case acknowledge([PresenceEvent])
        /// The batch is over, unsent.
        case giveUp([PresenceEvent])
        case wake(after: Duration)
    }

    var mayReadAgain: Bool { isInDoubt && state == .idle }

    /// A full batch waits at most, so a lane holds three at most whatever the log has.
    func mayReadNew(_ rules: WebhookRules) -> Bool { !isInDoubt && waiting.count < rules.batchMax }

    /// Whether a call is under way.
    var isBusy: Bool {
        switch state {
        case .sending, .acknowledging: true
        case .idle, .backingOff, .unacknowledged: false
        }
    }

    /// The oldest event that is not acknowledged, of those read.
    var oldest: PresenceEvent? {
        switch state {
        case .idle: waiting.first
        case .sending(let batch), .backingOff(let batch, _), .acknowledging(let batch),
            .unacknowledged(let batch, _):
            batch.first
        }
    }

    /// A read that asked for this partition was answered.
    mutating func read(
        _ events: [PresenceEvent],
        again: Bool,
        at now: WebhookTime,
        random: Double,
        _ rules: WebhookRules
    ) -> Step {
        if again, events.isEmpty { isInDoubt = false }
        waiting += events
        return advance(at: now, random: random, rules)
    }

    /// A read of this partition was lost, and maybe events with it that nobody will be given as new.
    mutating func doubt() { isInDoubt = true }

    mutating func accepted() -> Step {
        guard case .sending(let batch) = state else { return .nothing }
        failures = 0
        state = .acknowledging(batch)
        return .acknowledge(batch)
    }

    mutating func failed(
        retryAfter: Duration?,
        at now: WebhookTime,
        random: Double,
        _ rules: WebhookRules
    ) -> Step {
        guard case .sending(let batch) = state else { return .nothing }
        failures += 1
        guard !rules.isTooOld(batch, at: now) else {
            state = .acknowledging(batch)
            return .giveUp(batch)
        }
        return backOff(batch, retryAfter: retryAfter, at: now, random: random, rules)
    }

    mutating func acknowledged(at now: WebhookTime, random: Double, _ rules: WebhookRules) -> Step {
        guard case .acknowledging = state else { return .nothing }
        state = .idle
        return advance(at: now, random: random, rules)
    }

    mutating func acknowledgeFailed(at now: WebhookTime, _ rules: WebhookRules) -> Step {
        guard case .acknowledging(let batch) = state else { return .nothing }
        state = .unacknowledged(batch, until: now.steady + rules.logPause)
        return .wake(after: rules.logPause)
    }

    /// Nothing more is begun here; what it holds stays pending in the log.
    mutating func rest() -> Step {
        waiting = []
        state = .idle
        return .nothing
    }

    /// A pause may be over.
    mutating func due(at now: WebhookTime) -> Step {
        switch state {
        case .backingOff(let batch, let until) where until <= now.steady:
            state = .sending(batch)
            return .send(batch)
        case .unacknowledged(let batch, let until) where until <= now.steady:
            state = .acknowledging(batch)
            return .acknowledge(batch)
        case .idle, .sending, .backingOff, .acknowledging, .unacknowledged: return .nothing
        }
    }

    /// While the receiver fails, the next batch does not go at once either; what is too old by then, not at all.
    private mutating func advance(at now: WebhookTime, random: Double, _ rules: WebhookRules) -> Step {
        guard state == .idle, !waiting.isEmpty else { return .nothing }
        let batch = Array(waiting.prefix(rules.batchMax))
        waiting.removeFirst(batch.count)
        if failures == 0 {
            state = .sending(batch)
            return .send(batch)
        }
        if rules.isTooOld(batch, at: now) {
            state = .acknowledging(batch)
            return .giveUp(batch)
        }
        return backOff(batch, retryAfter: nil, at: now, random: random, rules)
    }

    private mutating func backOff(
        _ batch: [PresenceEvent],
        retryAfter: Duration?,
        at now: WebhookTime,
        random: Double,
        _ rules: WebhookRules
    ) -> Step {
        let pause = rules.pause(failures: failures, asked: retryAfter, random: random)
        state = .backingOff(batch, until: now.steady + pause)
        return .wake(after: pause)
    }
}
