// A job is a push that is carried out later, or in steps, by a worker.
//
//     scheduled ──due──▶ queued ──claim──▶ running ──last step──▶ done
//         ▲                 ▲ ▲               │ │
//       resume           resume└────due──── retrying ◀──a step failed
//         │                 │                 │ └──too many tries──▶ dead ──requeue──▶ queued
//         └───── paused ◀───┴── pause of any of the four ──┘
//     cancel leads from each unfinished state to cancelled.
//
// What can go wrong in each state, and what then holds:
//
// - scheduled, retrying: a set of due times holds the job. Whoever looks for work moves what is due into the stream,
//   by Redis's clock, in one script: once, however many look. Nobody looks while no worker lives; then it is late.
// - queued: the stream holds it. It is claimed by one worker at a time.
// - running: the worker may die, freeze, lose Redis, or be stopped. Its claim lapses unless each step or a beat
//   renews it; another then claims the job with a larger fencing number. Every script of a worker names its number,
//   so that a frozen worker that wakes is refused and stops. It may by then have published the one step that it was
//   about to: under the id that the step has for everybody.
// - paused, cancelled: the worker that runs the job learns of it at its next call, at the latest after one step.
// - done, cancelled: kept for reading for a while, without its targets and message.
// - dead: kept longer, with everything that a requeue needs.
//
// A claim counts as a try, and a step that is saved begins the count anew: a worker that is killed in step 90 and
// another in step 200 do not add up, while a step that kills each worker is given up. Targets that were unreachable are
// sent again before the step is saved, after a pause each time, as long as tries are left: with the default of five
// for 7.5 to 15 s, in which a dead node's lease ends and its users come back elsewhere.

/// What is to be queued.
public struct NewJob: Sendable, Equatable {
    public var id: JobID
    /// The message and the push's options, as bytes that only who wrote them reads.
    public var message: [UInt8]
    /// The targets, one list for each step; no list is empty.
    public var steps: [[Target]]
    /// Targets a second at most; 0 for as fast as it goes.
    public var ratePerSecond: Int
    /// When to begin, by Redis's clock; nil or a time that is over for at once.
    public var dueAt: RedisTime?
    /// Of the request, where its caller named the job: the same name with another digest is a mistake of the
    /// caller's. Empty: the name says all.
    public var digest: String

    public init(
        id: JobID,
        message: [UInt8],
        steps: [[Target]],
        ratePerSecond: Int = 0,
        dueAt: RedisTime? = nil,
        digest: String = ""
    ) {
        self.id = id
        self.message = message
        self.steps = steps
        self.ratePerSecond = ratePerSecond
        self.dueAt = dueAt
        self.digest = digest
    }

    public var targetCount: Int { steps.reduce(0) { $0 + $1.count } }
}

public enum JobState: String, Hashable, Sendable, CaseIterable {
    /// Waits for its time.
    case scheduled
    /// Waits for a worker.
    case queued
    case running
    /// A step failed; waits for the next try.
    case retrying
    case paused
    case done
    case cancelled
    /// Given up after its tries; can be requeued.
    case dead

    /// Whether nothing more happens by itself.
    public var isFinished: Bool {
        switch self {
        case .scheduled, .queued, .running, .retrying, .paused: false
        case .done, .cancelled, .dead: true
        }
    }
}

/// A job as it stands.
public struct JobRecord: Sendable, Equatable {
    public var id: JobID
    public var state: JobState
    /// Since when it is in this state.
    public var since: RedisTime
    public var created: RedisTime
    /// When it is to be queued; nil unless scheduled, retrying, or paused before its time.
    public var due: RedisTime?
    public var targets: Int
    /// Targets of the steps that are saved.
    public var targetsDone: Int
    public var steps: Int
    public var stepsDone: Int
    /// The verdicts of the targets that are done, by name.
    public var verdicts: [String: Int]
    public var ratePerSecond: Int
    /// Claims since the last step that was saved.
    public var tries: Int
    /// Who claimed it last; empty when nobody did.
    public var worker: String
    /// Why the last try failed; empty when none did.
    public var failure: String

    public init(
        id: JobID,
        state: JobState,
        since: RedisTime,
        created: RedisTime,
        due: RedisTime? = nil,
        targets: Int,
        targetsDone: Int = 0,
        steps: Int,
        stepsDone: Int = 0,
        verdicts: [String: Int] = [:],
        ratePerSecond: Int = 0,
        tries: Int = 0,
        worker: String = "",
        failure: String = ""
    ) {
        self.id = id
        self.state = state
        self.since = since
        self.created = created
        self.due = due
        self.targets = targets
        self.targetsDone = targetsDone
        self.steps = steps
        self.stepsDone = stepsDone
        self.verdicts = verdicts
        self.ratePerSecond = ratePerSecond
        self.tries = tries
        self.worker = worker
        self.failure = failure
    }
}

/// A worker's right to go on with a job, for as long as nobody else has claimed it.
public struct JobClaim: Sendable, Equatable {
    public var id: JobID
    /// When the job was made.
    public var created: RedisTime
    public var worker: String
    /// Larger with each claim of the job, also when its name was used before: what an older one asks for is refused.
    public var fence: UInt64
    /// This claim included; the last one that is allowed has `JobLimits.triesMax`.
    public var tries: Int
    public var ratePerSecond: Int
    public var message: [UInt8]
    /// The step to begin with; nil when all are done and only that has to be said.
    public var step: JobStep?

    public init(
        id: JobID,
        created: RedisTime,
        worker: String,
        fence: UInt64,
        tries: Int = 1,
        ratePerSecond: Int = 0,
        message: [UInt8] = [],
        step: JobStep?
    ) {
        self.id = id
        self.created = created
        self.worker = worker
        self.fence = fence
        self.tries = tries
        self.ratePerSecond = ratePerSecond
        self.message = message
        self.step = step
    }
}

/// What a worker got when it asked for jobs.
public struct JobClaims: Sendable, Equatable {
    public var jobs: [JobClaim]
    /// Why some partitions gave nothing, or a job of theirs could not be read; nil when all is well.
    public var trouble: JobQueueError?

    public init(jobs: [JobClaim] = [], trouble: JobQueueError? = nil) {
        self.jobs = jobs
        self.trouble = trouble
    }
}

/// One step's share of a job's targets.
public struct JobStep: Sendable, Equatable {
    /// From 0.
    public var index: Int
    public var targets: [Target]

    public init(index: Int, targets: [Target]) {
        self.index = index
        self.targets = targets
    }
}

/// What became of a step.
public struct JobProgress: Sendable, Equatable {
    public var step: Int
    public var targets: Int
    /// How many targets got which verdict.
    public var verdicts: [String: Int]

    public init(step: Int, targets: Int, verdicts: [String: Int]) {
        self.step = step
        self.targets = targets
        self.verdicts = verdicts
    }
}

/// What a worker does next.
public enum JobOrder: Sendable, Equatable {
    case run(JobStep)
    /// Still the worker's; nothing new.
    case carryOn
    /// Every step is done, and the job with it.
    case finished
    /// Not the worker's any more: paused, cancelled, claimed by another, or gone (nil).
    case stop(JobState?)
}

/// What may be asked of a job from outside.
public enum JobAction: String, Hashable, Sendable, CaseIterable {
    /// Unfinished jobs: no further step begins.
    case pause
    /// Paused jobs go on where they stopped, or wait on for their time.
    case resume
    /// Unfinished jobs end.
    case cancel
    /// Dead jobs get all their tries again, from the step that failed on.
    case requeue
    /// Finished jobs are forgotten.
    case delete
}

public enum JobChange: Sendable, Equatable {
    /// It is as asked for, also when it was before; nil when it was deleted.
    case done(JobState?)
    /// There is no such job.
    case unknown
    /// Not possible in this state.
    case impossible(JobState)
}

/// A page of jobs, newest first.
public struct JobPage: Sendable, Equatable {
    public var jobs: [JobRecord]
    /// Where the next page begins; nil when this is the last.
    public var next: JobCursor?

    public init(jobs: [JobRecord] = [], next: JobCursor? = nil) {
        self.jobs = jobs
        self.next = next
    }
}

/// The last job of a page: by when it was made or came into its state, then by id.
public struct JobCursor: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var at: RedisTime
    public var id: JobID

    public init(at: RedisTime, id: JobID) {
        self.at = at
        self.id = id
    }

    /// Reads what `description` writes; nil for anything else.
    public init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let at = UInt64(parts[0]), let id = try? JobID(String(parts[1])) else {
            return nil
        }
        self.init(at: RedisTime(milliseconds: at), id: id)
    }

    public var description: String { "\(at).\(id)" }

    public static func < (left: Self, right: Self) -> Bool {
        left.at == right.at ? left.id < right.id : left.at < right.at
    }
}

/// How many jobs there are.
public struct JobCounts: Sendable, Equatable {
    public var jobs: [JobState: Int]
    /// What unfinished and dead jobs hold.
    public var bytes: Int
    /// How long the oldest queued job has waited; zero when none waits.
    public var lag: Duration

    public init(jobs: [JobState: Int] = [:], bytes: Int = 0, lag: Duration = .zero) {
        self.jobs = jobs
        self.bytes = bytes
        self.lag = lag
    }
}
