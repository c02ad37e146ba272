import HeraldCore

/// When to ask for the node's lease, and when to give up.
///
///     unregistered ──registered──▶ held ──renewed──▶ held
///          │  ▲                      │ (failed: again in a second; the lease may lapse meanwhile)
///          │  └────── lost ──────────┘
///          └─ held by a run that renews ──▶ refused (an error)
///
/// A node that was killed comes back by itself: the lease of its earlier run lapses within `leaseTTL`, so a
/// lease that nobody renews is waited for. One that moves on while we look is somebody alive under our name:
/// the registration is refused at once, with the holder's name.
struct NodeLeaseStateMachine: ~Copyable {
    struct Rules: Sendable {
        var ttl: Duration = .seconds(10)
        var renewal: Duration = .seconds(3)
        /// Between two tries when Redis is away, or somebody else's lease is running out.
        var retry: Duration = .seconds(1)
        /// How long after a lapse we still wait for it to be seen.
        var grace: Duration = .seconds(2)
    }

    enum Step: Equatable {
        case register
        case renew(Lease)
        case wait(until: Moment)
        case fail(HeldBy)
    }

    /// Who else has the name.
    struct HeldBy: Error, Equatable {
        var incarnation: Incarnation
        var url: String
    }

    private enum State {
        case unregistered(next: Moment, Obstacle?)
        case held(Lease, next: Moment)
        case refused(HeldBy)
    }

    /// Another run's lease that is waited for.
    private struct Obstacle {
        var holder: HeldBy
        /// When it lapses, as first seen.
        var lapses: Moment
        var giveUp: Moment
    }

    private var state: State
    private let rules: Rules

    init(_ rules: Rules, at now: Moment) {
        self.rules = rules
        state = .unregistered(next: now, nil)
    }

    func nextStep(at now: Moment) -> Step {
        switch state {
        case .unregistered(let next, _): next <= now ? .register : .wait(until: next)
        case .held(let lease, let next): next <= now ? .renew(lease) : .wait(until: next)
        case .refused(let holder): .fail(holder)
        }
    }

    /// - Returns: when the lease ends by this node's clock.
    mutating func registered(_ lease: Lease, asked: Moment, at now: Moment) -> Moment {
        state = .held(lease, next: now + rules.renewal)
        return asked + rules.ttl
    }

    /// `renewed`: nil when the lease is lost.
    /// - Returns: when the lease ends by this node's clock; nil when it is lost.
    mutating func renewAnswered(_ renewed: Lease?, asked: Moment, at now: Moment) -> Moment? {
        guard let renewed else {
            state = .unregistered(next: now, nil)
            return nil
        }
        state = .held(renewed, next: now + rules.renewal)
        return asked + rules.ttl
    }

    /// Another run has the name.
    ///
    /// - Returns: whether it is waited for, and this is the first time that it is heard of.
    mutating func nodeHeld(by holder: HeldBy, left: Duration, at now: Moment) -> Bool {
        guard case .unregistered(_, let obstacle) = state else { return false }
        let lapses = now + left
        guard let obstacle else {
            let giveUp = now + min(left, rules.ttl) + rules.grace
            state = .unregistered(
                next: now + min(left, rules.retry),
                Obstacle(holder: holder, lapses: lapses, giveUp: giveUp)
            )
            return true
        }
        // Half a second for what the clocks and the way may differ between two looks; a renewal is seconds.
        let isAlive = holder != obstacle.holder || lapses > obstacle.lapses + .milliseconds(500)
        if isAlive || now >= obstacle.giveUp {
            state = .refused(holder)
        } else {
            let pause = max(.milliseconds(50), min(left, rules.retry))
            state = .unregistered(next: now + pause, obstacle)
        }
        return false
    }

    /// Redis did not answer.
    mutating func failed(at now: Moment) {
        switch state {
        case .unregistered(_, let obstacle): state = .unregistered(next: now + rules.retry, obstacle)
        case .held(let lease, _): state = .held(lease, next: now + rules.retry)
        case .refused: break
        }
    }
}
