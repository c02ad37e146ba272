/// Who reaps, and whether it may call a node dead.
///
///     standby ──held──▶ acting ──refused──▶ standby
///        ▲                │ doubt: the role is given back
///        └── releasing ◀──┘
///
/// **Trust.** When Redis was away all leases lapse at once, though the nodes live; a process that was frozen sees the
/// same. So nobody is judged by one who has not itself had answers without a gap for as long as the nodes need to
/// take new leases and carry their routes over. A gap, or a new connection (to a Redis that may have forgotten),
/// begins the time anew. Those in standby ask as often as the one who acts, so that they have the trust when it dies.
///
/// **The role.** One acts at a time, to save Redis the work twice: two at once do no harm, since what a script tells
/// it tells once. One who has no trust takes the role only after it was free at two looks, so that one who has comes
/// first; and one who loses the trust gives the role back.
struct ReaperStateMachine: ~Copyable {
    struct Rules: Sendable {
        /// Between two signs of life, and between two rounds of work: four fit into `silenceMax`.
        var tick: Duration = .milliseconds(500)
        /// A longer gap between answers is an absence.
        var silenceMax: Duration = .seconds(2)
        /// The role lapses after it, well before the lease of a node that died with the role's holder.
        var role: Duration = .seconds(3)
        /// Answers must have come for so long before nodes are judged.
        var trustAfter: Duration
    }

    enum Step: Equatable {
        case wait(until: Moment)
        /// Ask whether the role is free.
        case look
        /// Take the role, or extend it.
        case hold
        case release
        case work(judges: Bool)
    }

    private enum State {
        case standby(next: Moment, wasFree: Bool)
        case acting(nextHold: Moment, nextWork: Moment)
        case releasing
    }

    /// Answers without a gap.
    private struct Hearing {
        var since: Moment
        var last: Moment
        var connection: Int
    }

    private var state: State
    private var hearing: Hearing?
    private let rules: Rules

    init(_ rules: Rules, at now: Moment) {
        self.rules = rules
        state = .standby(next: now, wasFree: false)
    }

    var isActing: Bool {
        switch state {
        case .acting: true
        case .standby, .releasing: false
        }
    }

    /// Whether answers have come for long enough, up to this moment.
    func isTrusting(at now: Moment) -> Bool { hasHeard(for: rules.trustAfter, at: now) }

    func nextStep(at now: Moment) -> Step {
        switch state {
        case .releasing: return .release
        case .standby(let next, let wasFree):
            if next > now { return .wait(until: next) }
            return wasFree || isTrusting(at: now) ? .hold : .look
        case .acting(let nextHold, let nextWork):
            // After an absence the role may be another's.
            if nextHold <= now { return .hold }
            if nextWork > now { return .wait(until: min(nextHold, nextWork)) }
            // A departure is told after a moment of hearing: whoever came back while Redis was away is bound by then.
            guard hasHeard(for: rules.silenceMax, at: now) else { return .wait(until: nextHold) }
            return .work(judges: isTrusting(at: now))
        }
    }

    mutating func looked(isFree: Bool, at now: Moment, connection: Int) {
        hear(at: now, connection)
        state = .standby(next: now + rules.tick, wasFree: isFree)
    }

    mutating func holdAnswered(isOurs: Bool, at now: Moment, connection: Int) {
        let wasTrusting = hearing.map { $0.last >= $0.since + rules.trustAfter } ?? false
        hear(at: now, connection)
        guard isOurs else {
            state = .standby(next: now + rules.tick, wasFree: false)
            return
        }
        switch state {
        case .acting where wasTrusting && !isTrusting(at: now), .releasing: state = .releasing
        case .acting(_, let nextWork): state = .acting(nextHold: now + rules.tick, nextWork: nextWork)
        case .standby: state = .acting(nextHold: now + rules.tick, nextWork: now)
        }
    }

    /// `hasMore`: work is left that need not wait.
    mutating func worked(hasMore: Bool, at now: Moment, connection: Int) {
        hear(at: now, connection)
        switch state {
        case .acting(let nextHold, _):
            state = .acting(nextHold: nextHold, nextWork: hasMore ? now : now + rules.tick)
        case .standby, .releasing: break
        }
    }

    mutating func released(at now: Moment) { state = .standby(next: now + rules.tick, wasFree: false) }

    /// Redis did not answer.
    mutating func failed(at now: Moment) {
        switch state {
        case .acting: state = .acting(nextHold: now + rules.tick, nextWork: now + rules.tick)
        case .standby, .releasing: state = .standby(next: now + rules.tick, wasFree: false)
        }
    }

    private mutating func hear(at now: Moment, _ connection: Int) {
        let isContinued =
            hearing.map { $0.connection == connection && now <= $0.last + rules.silenceMax } ?? false
        let since = isContinued ? hearing?.since ?? now : now
        hearing = Hearing(since: since, last: now, connection: connection)
    }

    private func hasHeard(for duration: Duration, at now: Moment) -> Bool {
        guard let hearing, now <= hearing.last + rules.silenceMax else { return false }
        return hearing.last >= hearing.since + duration
    }
}
