import HeraldCore

/// The decisions of a worker about one job that it has claimed. It does no I/O, reads no clock and throws no dice:
/// moments come in as the time since the worker began, and `JobRun` performs the answers.
///
///     asking ──run──▶ holding ──its time, and still ours──▶ sending ──answer──▶ saving ──run──▶ holding …
///
/// - asking: the claim came without a step. The queue is asked for one.
/// - holding: a step waits for its time, as the job's rate has it. Whenever it wakes it asks whether the job is still
///   its own, so that a pause or a cancel is known after `beat` at the latest, also in a slow job.
/// - sending: the step is in the pipeline. It can fail as a push can: for the moment (the job is given back with a
///   pause that grows), or for good (the job is dead). Targets that were unreachable are held for a pause that grows
///   and sent again, under the step's id and among its tries; what they are at the last of these is counted.
/// - saving: the step went out, and its progress is not yet known to be saved. While the queue does not answer it
///   is saved again and again until the claim must have lapsed; then whoever takes the job repeats the step under the
///   same push id. Saving twice counts once.
/// - over: nothing more is asked of it.
///
/// The queue refuses whoever has lost the claim, in each state that asks it, and that ends the run. A run that is told
/// to stop ends the step it is at and gives the job back.
struct JobRunStateMachine: ~Copyable {
    private let claim: JobClaim
    private let limits: JobLimits
    private var state: State
    private var isStopping = false
    /// This claim's failed tries, those before it included.
    private var tries: Int
    /// When the queue last answered: the claim holds at least until `claimIdle` later.
    private var heard: Duration
    /// The next step may begin then.
    private var paced: Duration

    private enum State {
        case asking
        case holding(Attempt)
        case sending(Attempt)
        case saving(JobProgress)
        case over
    }

    /// A step on its way.
    private struct Attempt {
        /// With those of its targets that are still to be sent.
        var step: JobStep
        /// The whole step, with the verdicts that stay.
        var progress: JobProgress

        init(_ step: JobStep) {
            self.step = step
            progress = JobProgress(step: step.index, targets: step.targets.count, verdicts: [:])
        }
    }

    enum Command: Equatable {
        /// Push these targets of the step under the step's id.
        case send(JobStep)
        case advance(finished: JobProgress?, wantsStep: Bool)
        /// Wait, then `woke`.
        case sleep(Duration)
        /// Give the job up for a pause, or for good; the run is over.
        case fail(String, pause: Duration?)
        /// Give the job back; the run is over.
        case release
        case end(Ending)
    }

    enum Ending: Equatable {
        case finished
        /// Paused, cancelled, another worker's, or gone.
        case stopped(JobState?)
        /// The queue did not answer for as long as the claim lives.
        case lost
    }

    /// How often a waiting run renews its claim and looks whether it still has it.
    private var beat: Duration { min(.milliseconds(500), limits.claimIdle / 3) }
    /// The pause before the queue is asked again after it did not answer.
    private static let askAgain: Duration = .milliseconds(250)

    init(_ claim: JobClaim, limits: JobLimits, at now: Duration) {
        self.claim = claim
        self.limits = limits
        tries = claim.tries
        state = .asking
        heard = now
        paced = now
    }

    mutating func begin(at now: Duration) -> Command {
        guard let step = claim.step else {
            state = .asking
            return .advance(finished: nil, wantsStep: true)
        }
        return plan(Attempt(step), at: now)
    }

    /// Ends with the step that is under way.
    mutating func stop() { isStopping = true }

    // MARK: What the pipeline said

    /// - Parameters:
    ///   - answer: the verdicts of the targets that were sent.
    ///   - now: since the worker began.
    ///   - random: 0 to 1, drawn by the caller.
    /// - Returns: what saves the step; or the pause before the targets that were unreachable are sent again.
    mutating func sent(_ answer: PushAnswer, at now: Duration, random: Double) -> Command {
        switch state {
        case .sending(var attempt):
            var again: [Target] = []
            for verdict in answer.verdicts {
                if tries < limits.triesMax, verdict.isWorthAnotherTry {
                    again.append(verdict.target)
                } else {
                    attempt.progress.verdicts[verdict.verdict.description, default: 0] += 1
                }
            }
            guard again.isEmpty else {
                paced = max(paced, now + limits.backOff(tries: tries, random: random))
                tries += 1
                attempt.step.targets = again
                return plan(attempt, at: now)
            }
            state = .saving(attempt.progress)
            return .advance(finished: attempt.progress, wantsStep: !isStopping)
        case .asking, .holding, .saving, .over:
            preconditionFailure("an answer comes to a step that was sent")
        }
    }

    /// - Parameters:
    ///   - refusal: why the step got no verdicts.
    ///   - random: 0 to 1, drawn by the caller.
    /// - Returns: what ends the run.
    mutating func refused(_ refusal: PushRefusal, random: Double) -> Command {
        state = .over
        if refusal.code == .stopping { return .release }
        let pause = limits.backOff(tries: tries, random: random)
        return .fail(refusal.description, pause: refusal.retryAfter == nil ? nil : pause)
    }

    /// The job's message cannot be made a push.
    mutating func unreadable(_ reason: String) -> Command {
        state = .over
        return .fail("the message cannot be read: \(reason)", pause: nil)
    }

    // MARK: What the queue said

    mutating func advanced(_ order: JobOrder, at now: Duration) -> Command {
        heard = now
        switch order {
        case .finished:
            state = .over
            return .end(.finished)
        case .stop(let state):
            self.state = .over
            return .end(.stopped(state))
        case .run(let step):
            if case .saving = state { tries = 1 }
            return plan(Attempt(step), at: now)
        case .carryOn:
            switch state {
            case .holding(let attempt):
                return plan(attempt, at: now)
            case .asking, .saving, .sending, .over:
                // Saved without asking for more: only who stops does that.
                state = .over
                return .release
            }
        }
    }

    mutating func unanswered(_ error: JobQueueError, at now: Duration) -> Command {
        switch error {
        case .corrupt(let reason):
            state = .over
            return .fail(reason, pause: nil)
        case .unavailable, .full:
            guard now - heard < limits.claimIdle else {
                state = .over
                return .end(.lost)
            }
            return .sleep(Self.askAgain)
        }
    }

    mutating func woke(at now: Duration) -> Command {
        switch state {
        case .holding(let attempt):
            state = .holding(attempt)
            return isStopping ? release() : .advance(finished: nil, wantsStep: false)
        case .saving(let progress):
            state = .saving(progress)
            return .advance(finished: progress, wantsStep: !isStopping)
        case .asking:
            state = .asking
            return .advance(finished: nil, wantsStep: true)
        case .sending, .over:
            preconditionFailure("only who waits can wake")
        }
    }

    // MARK: Deciding

    private mutating func plan(_ attempt: Attempt, at now: Duration) -> Command {
        if isStopping { return release() }
        guard paced <= now else {
            state = .holding(attempt)
            return .sleep(min(beat, paced - now))
        }
        if claim.ratePerSecond > 0 {
            // A run that fell behind does not catch up in a burst.
            paced = now + .seconds(1) * (Double(attempt.step.targets.count) / Double(claim.ratePerSecond))
        }
        state = .sending(attempt)
        return .send(attempt.step)
    }

    private mutating func release() -> Command {
        state = .over
        return .release
    }
}

extension TargetVerdict {
    /// Whether sending again may reach somebody who would else not get it, and nearly nobody twice. What is kept is
    /// shown anyway, and a room or everybody that was reached in part would mostly get a repeat.
    fileprivate var isWorthAnotherTry: Bool {
        guard verdict == .unreachable, position == nil else { return false }
        switch target {
        case .user, .key: return true
        case .room, .everyone: return nodes.isEmpty
        }
    }
}
