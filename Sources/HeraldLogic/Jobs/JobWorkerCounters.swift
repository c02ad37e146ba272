import HeraldCore

/// What a worker has done. Everything only grows.
struct JobWorkerCounters: Sendable, Equatable {
    var claimed = 0
    /// Jobs whose last step it saved.
    var finished = 0
    /// Jobs that were paused, cancelled, claimed by another or gone while it had them.
    var stopped = 0
    /// Jobs that are to be tried again after a failed step.
    var retried = 0
    /// Jobs that were given up after a failed step.
    var dead = 0
    /// Jobs given back because it stops.
    var released = 0
    /// Jobs of which it could not tell the queue what became.
    var lost = 0
    /// Steps that went out.
    var steps = 0
    /// Times that targets of a step were unreachable, and are to be sent again.
    var stepsRepeated = 0
    /// The targets of the steps that went out by verdict, a small closed set.
    var targets: [String: Int] = [:]

    /// - Parameter next: what the run does after the pipeline's answer.
    mutating func sent(_ next: JobRunStateMachine.Command) {
        switch next {
        case .advance(let progress?, _):
            steps += 1
            targets.merge(progress.verdicts, uniquingKeysWith: +)
        case .sleep: stepsRepeated += 1
        case .send, .advance(nil, _), .fail, .release, .end: break
        }
    }

    /// - Parameter state: what the queue made of it; nil when the claim was lost before.
    mutating func failed(_ state: JobState?) {
        switch state {
        case .retrying: retried += 1
        case .dead: dead += 1
        default: stopped += 1
        }
    }

    mutating func ended(_ ending: JobRunStateMachine.Ending) {
        switch ending {
        case .finished: finished += 1
        case .stopped: stopped += 1
        case .lost: lost += 1
        }
    }
}
