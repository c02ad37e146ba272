import HeraldCore

/// Decides how presence events become webhooks; `WebhookDispatcher` does it.
///
///     waiting ── has the hold ──▶ delivering ── hold lost, or it may have lapsed ──▶ waiting
///        │ stop                    │ stop  │ 410
///        ▼                         ▼       ▼
///      ended ◀── nothing under ── leaving  ended
///                way any more
///
/// While delivering, one read at a time asks for all partitions that have room, and each partition has its
/// `WebhookLane`: sending, backing off, acknowledging. Lanes do not wait for each other.
///
/// Rules:
/// 1. Whoever does not hold the group sends nothing. The hold counts from the moment in which it was asked for, and
///    ends a margin before it can lapse in Redis.
/// 2. Leaving the state `delivering` drops all that is under way, unless it is stopping, which lets it finish.
struct WebhookDispatcherStateMachine: ~Copyable {
    private(set) var counts = WebhookCounters()
    private var state: State = .waiting
    private let rules: WebhookRules
    private var isAsking = false
    /// When the hold is asked for again.
    private var askAt: Duration = .zero
    private var hasLogTrouble = false

    private enum State {
        /// Another process has the hold, or nobody knows.
        case waiting
        case delivering(WebhookDelivery)
        case leaving(WebhookDelivery)
        case ended
    }

    enum Wake: Hashable, Sendable {
        case hold, lapse, reading
        case lane(Int)
    }

    enum Effect: Equatable {
        case askHold
        case read([Int], again: Bool)
        case send(Int, [PresenceEvent])
        case acknowledge(Int, [PresenceEvent])
        case wake(Wake, after: Duration)
        /// Whatever is under way is cancelled; what it would answer is not told.
        case drop
        case release
        case end
        case tell(WebhookNews)
    }

    init(rules: WebhookRules) { self.rules = rules }

    var isEnded: Bool {
        switch state {
        case .ended: true
        case .waiting, .delivering, .leaving: false
        }
    }

    mutating func began(_ effects: inout [Effect]) { ask(&effects) }

    // MARK: the hold

    /// `askedAt`: when the question was sent.
    mutating func holdAnswered(
        _ isHeld: Bool,
        askedAt: Duration,
        at now: WebhookTime,
        _ effects: inout [Effect]
    ) {
        isAsking = false
        let stopAt = askedAt + rules.hold - rules.holdMargin
        switch state {
        case .waiting:
            if isHeld {
                state = .delivering(WebhookDelivery(stopAt: stopAt))
                effects.append(.tell(.holding))
            }
        case .delivering(var delivery):
            guard isHeld else { return lose(at: now, &effects) }
            delivery.stopAt = stopAt
            if delivery.reading == .withoutGroup { delivery.reading = .idle }
            state = .delivering(delivery)
        case .leaving(var delivery):
            guard isHeld else { return finish(&effects) }
            delivery.stopAt = stopAt
            state = .leaving(delivery)
        case .ended: return
        }
        logAnswered(&effects)
        askLater(rules.holdInterval, at: now, &effects)
        if isHeld { effects.append(.wake(.lapse, after: stopAt - now.steady)) }
        settle(&effects)
    }

    mutating func holdFailed(_ error: PresenceLogError, at now: WebhookTime, _ effects: inout [Effect]) {
        isAsking = false
        logFailed(error, &effects)
        askLater(rules.logPause, at: now, &effects)
    }

    mutating func holdDue(at now: WebhookTime, _ effects: inout [Effect]) {
        if !isEnded, !isAsking, now.steady >= askAt { ask(&effects) }
    }

    mutating func lapseDue(at now: WebhookTime, _ effects: inout [Effect]) {
        switch state {
        case .delivering(let delivery): if delivery.stopAt <= now.steady { lose(at: now, &effects) }
        case .leaving(let delivery): if delivery.stopAt <= now.steady { finish(&effects) }
        case .waiting, .ended: break
        }
    }

    // MARK: reading

    mutating func eventsRead(
        _ events: [PresenceEvent],
        at now: WebhookTime,
        random: Double,
        _ effects: inout [Effect]
    ) {
        logAnswered(&effects)
        guard case .delivering(var delivery) = state,
            case .underWay(let partitions, let again) = delivery.reading
        else { return }
        delivery.reading = .idle
        var found = [Int: [PresenceEvent]](uniqueKeysWithValues: partitions.map { ($0, []) })
        for event in events { found[event.id.partition]?.append(event) }
        for partition in partitions {
            let events = found[partition] ?? []
            let step = delivery.lanes[partition].read(events, again: again, at: now, random: random, rules)
            perform(step, partition, &effects)
        }
        state = .delivering(delivery)
        settle(&effects)
    }

    mutating func readFailed(_ error: PresenceLogError, at now: WebhookTime, _ effects: inout [Effect]) {
        logFailed(error, &effects)
        guard case .delivering(var delivery) = state, case .underWay(let partitions, _) = delivery.reading
        else { return }
        for partition in partitions { delivery.lanes[partition].doubt() }
        if error == .groupLost {
            delivery.reading = .withoutGroup
            state = .delivering(delivery)
            if !isAsking { ask(&effects) }
        } else {
            delivery.reading = .paused(until: now.steady + rules.logPause)
            state = .delivering(delivery)
            effects.append(.wake(.reading, after: rules.logPause))
        }
    }

    mutating func readingDue(at now: WebhookTime, _ effects: inout [Effect]) {
        guard case .delivering(var delivery) = state, case .paused(let until) = delivery.reading,
            until <= now.steady
        else { return }
        delivery.reading = .idle
        state = .delivering(delivery)
        settle(&effects)
    }

    // MARK: lanes

    mutating func answered(
        _ outcome: WebhookOutcome,
        lane: Int,
        at now: WebhookTime,
        random: Double,
        _ effects: inout [Effect]
    ) {
        guard case .delivering = state else { return answeredWhileLeaving(outcome, lane: lane, &effects) }
        let wasFailing = isFailing
        switch outcome {
        case .accepted:
            sent(lane)
            change(lane, &effects) { $0.accepted() }
        case .gone: return gone(&effects)
        case .refused(_, let retryAfter):
            fail(lane, retryAfter: retryAfter, at: now, random: random, &effects)
        case .failed: fail(lane, retryAfter: nil, at: now, random: random, &effects)
        }
        if wasFailing, !isFailing { effects.append(.tell(.recovered)) }
        if !wasFailing, isFailing, let first = lanes[lane].oldest {
            effects.append(.tell(.failing(outcome, first: first.id)))
        }
    }

    mutating func acknowledged(lane: Int, at now: WebhookTime, random: Double, _ effects: inout [Effect]) {
        logAnswered(&effects)
        change(lane, &effects) { [rules, isLeaving] lane in
            isLeaving ? lane.rest() : lane.acknowledged(at: now, random: random, rules)
        }
    }

    mutating func acknowledgeFailed(
        _ error: PresenceLogError,
        lane: Int,
        at now: WebhookTime,
        random: Double,
        _ effects: inout [Effect]
    ) {
        // Nothing is pending in a group that is not there.
        if error == .groupLost { return acknowledged(lane: lane, at: now, random: random, &effects) }
        logFailed(error, &effects)
        change(lane, &effects) { [rules] in $0.acknowledgeFailed(at: now, rules) }
    }

    mutating func laneDue(_ lane: Int, at now: WebhookTime, _ effects: inout [Effect]) {
        if !isLeaving { change(lane, &effects) { $0.due(at: now) } }
    }

    /// Finishes what is under way, begins nothing more.
    mutating func stopped(_ effects: inout [Effect]) {
        switch state {
        case .waiting, .leaving: finish(&effects)
        case .delivering(let delivery):
            state = .leaving(delivery)
            settle(&effects)
        case .ended: break
        }
    }

    // MARK: what only events call

    private var isLeaving: Bool {
        if case .leaving = state { return true }
        return false
    }

    private var lanes: [WebhookLane] {
        switch state {
        case .delivering(let delivery), .leaving(let delivery): delivery.lanes
        case .waiting, .ended: []
        }
    }

    private var isFailing: Bool { lanes.contains { $0.failures > 0 } }

    private mutating func sent(_ lane: Int) {
        guard case .sending(let batch) = lanes[lane].state else { return }
        counts.batchesSent += 1
        counts.eventsSent += batch.count
    }

    private mutating func fail(
        _ lane: Int,
        retryAfter: Duration?,
        at now: WebhookTime,
        random: Double,
        _ effects: inout [Effect]
    ) {
        change(lane, &effects) { [rules] lane in
            lane.failed(retryAfter: retryAfter, at: now, random: random, rules)
        }
        if case .backingOff = lanes[lane].state { counts.batchesRetried += 1 }
    }

    private mutating func gone(_ effects: inout [Effect]) {
        counts.isGone = true
        effects.append(.tell(.gone))
        finish(&effects)
    }

    /// What was not taken stays pending for the next holder.
    private mutating func answeredWhileLeaving(
        _ outcome: WebhookOutcome,
        lane: Int,
        _ effects: inout [Effect]
    ) {
        guard isLeaving else { return }
        guard outcome == .accepted else { return change(lane, &effects) { $0.rest() } }
        sent(lane)
        change(lane, &effects) { $0.accepted() }
    }

    private mutating func change(
        _ index: Int,
        _ effects: inout [Effect],
        _ event: (inout WebhookLane) -> WebhookLane.Step
    ) {
        switch state {
        case .delivering(var delivery):
            let step = event(&delivery.lanes[index])
            state = .delivering(delivery)
            perform(step, index, &effects)
        case .leaving(var delivery):
            let step = event(&delivery.lanes[index])
            state = .leaving(delivery)
            perform(step, index, &effects)
        case .waiting, .ended: return
        }
        settle(&effects)
    }

    private mutating func perform(_ step: WebhookLane.Step, _ lane: Int, _ effects: inout [Effect]) {
        switch step {
        case .nothing: break
        case .send(let batch): effects.append(.send(lane, batch))
        case .acknowledge(let batch): effects.append(.acknowledge(lane, batch))
        case .giveUp(let batch):
            counts.batchesGivenUp += 1
            counts.eventsGivenUp += batch.count
            if let first = batch.first {
                effects.append(.tell(.gaveUp(events: batch.count, first: first.id)))
            }
            effects.append(.acknowledge(lane, batch))
        case .wake(let pause): effects.append(.wake(.lane(lane), after: pause))
        }
    }

    /// What follows from whatever happened: the next read, or the end of leaving.
    private mutating func settle(_ effects: inout [Effect]) {
        defer { note() }
        switch state {
        case .waiting, .ended: break
        case .leaving(let delivery): if !delivery.isBusy { finish(&effects) }
        case .delivering(var delivery):
            guard let next = delivery.nextRead(rules) else { return }
            delivery.reading = .underWay(next.partitions, again: next.again)
            state = .delivering(delivery)
            effects.append(.read(next.partitions, again: next.again))
        }
    }

    private mutating func lose(at now: WebhookTime, _ effects: inout [Effect]) {
        state = .waiting
        effects += [.tell(.lost), .drop]
        isAsking = false
        note()
        askLater(rules.holdInterval, at: now, &effects)
    }

    private mutating func finish(_ effects: inout [Effect]) {
        state = .ended
        effects += [.drop, .release, .end]
        note()
    }

    private mutating func ask(_ effects: inout [Effect]) {
        isAsking = true
        effects.append(.askHold)
    }

    private mutating func askLater(_ pause: Duration, at now: WebhookTime, _ effects: inout [Effect]) {
        askAt = now.steady + pause
        effects.append(.wake(.hold, after: pause))
    }

    private mutating func note() {
        switch state {
        case .delivering(let delivery), .leaving(let delivery):
            counts.isHolding = true
            counts.oldest = delivery.oldest
        case .waiting, .ended:
            counts.isHolding = false
            counts.oldest = nil
        }
    }

    private mutating func logFailed(_ error: PresenceLogError, _ effects: inout [Effect]) {
        guard !hasLogTrouble, !isEnded else { return }
        hasLogTrouble = true
        effects.append(.tell(.logFailed(error)))
    }

    private mutating func logAnswered(_ effects: inout [Effect]) {
        guard hasLogTrouble else { return }
        hasLogTrouble = false
        effects.append(.tell(.logAnswers))
    }
}
