// What the probe of a subscription decides, apart from I/O and clock.
//
//   idle ──needed──▶ asked ──Redis took the probe──▶ awaited ──nothing arrived in time──▶ idle (starved)
//                    │   ▲                               │
//   anything arrived,│   │quiet for an interval          │anything arrived
//   or Redis did not │   │                               │
//   take the probe   ▼   │                               │
//                    quiet ◀─────────────────────────────┘
//   any ──lost──▶ idle
//
// A probe goes out on the command link and comes back on the subscription. Only when Redis says that it took the
// probe, and nothing arrives for `probePatience` after that, is the subscription starved: a Redis that is frozen,
// loading or away takes no probe, and then nothing is known. Whatever arrives is life, so a busy subscription is
// not probed. Only the first probe after subscribing, or one that was asked for, must arrive itself: it carries
// where the hop ends, which the listener needs. Until it does other arrivals only give it more time.

struct RedisBusProbeStateMachine: ~Copyable {
    private var state = State.idle
    private let limits: RedisBusLimits
    /// Of the probes that were sent, so that the answer to an old one is not taken for the present one's.
    private var attempts = 0

    private enum State {
        case idle
        case quiet(until: Moment, needsProbe: Bool)
        case asked(attempt: Int, needsProbe: Bool)
        case awaited(deadline: Moment, needsProbe: Bool)
    }

    init(limits: RedisBusLimits) { self.limits = limits }

    /// The subscription stands, or where the hop ends is to be told again: a probe must arrive itself.
    ///
    /// - Returns: the probe that is to be sent now.
    mutating func needed() -> Int { ask(needsProbe: true) }

    private mutating func ask(needsProbe: Bool) -> Int {
        attempts += 1
        state = .asked(attempt: attempts, needsProbe: needsProbe)
        return attempts
    }

    /// Redis took the probe.
    mutating func taken(_ attempt: Int, now: Moment) {
        switch state {
        case .asked(attempt, let needsProbe):
            state = .awaited(deadline: now + limits.probePatience, needsProbe: needsProbe)
        case .idle, .quiet, .asked, .awaited:
            break
        }
    }

    /// Redis did not answer, or refused: that says nothing about the subscription.
    mutating func failed(_ attempt: Int, now: Moment) {
        switch state {
        case .asked(attempt, let needsProbe):
            let pause = needsProbe ? limits.retryPause : limits.probeInterval
            state = .quiet(until: now + pause, needsProbe: needsProbe)
        case .idle, .quiet, .asked, .awaited:
            break
        }
    }

    /// Something arrived on the subscription, be it a whole message or a part of a long one.
    mutating func heard(now: Moment) {
        switch state {
        case .awaited(_, needsProbe: true):
            state = .awaited(deadline: now + limits.probePatience, needsProbe: true)
        case .quiet(_, needsProbe: false), .asked(_, needsProbe: false), .awaited(_, needsProbe: false):
            state = .quiet(until: now + limits.probeInterval, needsProbe: false)
        case .idle, .quiet, .asked:
            break
        }
    }

    /// A probe arrived, of whatever attempt: it carries what the last one would.
    mutating func arrived(now: Moment) {
        switch state {
        case .quiet, .asked, .awaited:
            state = .quiet(until: now + limits.probeInterval, needsProbe: false)
        case .idle:
            break
        }
    }

    /// The subscription ended.
    mutating func lost() { state = .idle }

    enum Passed: Equatable {
        case nothing
        /// To be sent now.
        case probe(Int)
        /// The subscription is to be rebuilt.
        case starved
    }

    mutating func timePassed(now: Moment) -> Passed {
        switch state {
        case .quiet(let until, let needsProbe) where until <= now:
            return .probe(ask(needsProbe: needsProbe))
        case .awaited(let deadline, _) where deadline <= now:
            state = .idle
            return .starved
        case .idle, .quiet, .asked, .awaited:
            return .nothing
        }
    }

    /// When `timePassed` has something to say; nil while nothing can run out.
    var alarm: Moment? {
        switch state {
        case .quiet(let until, _): until
        case .awaited(let deadline, _): deadline
        case .idle, .asked: nil
        }
    }
}
