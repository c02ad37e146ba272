import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// A queue and the clock by which it judges.
struct JobQueueUnderTest: Sendable {
    let queue: any JobQueue
    /// Lets time pass by the queue's clock.
    let pass: @Sendable (Duration) async throws -> Void
    let forget: @Sendable () async throws -> Void
    let now: @Sendable () async throws -> RedisTime
}

/// How long a claim lives in these tests.
let jobClaimIdle = Duration.seconds(30)

/// A queue with three tries for a step.
func withJobQueue(
    _ kind: Kind,
    _ change: (inout JobLimits) -> Void = { _ in },
    _ body: @Sendable (JobQueueUnderTest) async throws -> Void
) async throws {
    var limits = JobLimits()
    limits.claimIdle = jobClaimIdle
    limits.triesMax = 3
    change(&limits)
    switch kind {
    case .memory:
        let queue = MemoryJobQueue(limits: limits)
        try await body(
            JobQueueUnderTest(
                queue: queue,
                pass: { queue.advance(by: $0 + .milliseconds(1)) },
                forget: { queue.forget() },
                now: { queue.now }
            )
        )
    case .redis: try await withRedisJobQueue(limits) { under, _ async throws in try await body(under) }
    }
}

func withRedisJobQueue(
    _ limits: JobLimits,
    _ body: @Sendable (JobQueueUnderTest, RedisLink) async throws -> Void
) async throws {
    try await withRedisTable { _, link async throws in
        try await body(
            JobQueueUnderTest(
                queue: RedisJobQueue(link: link, limits: limits),
                pass: { try await passTime($0, at: link) },
                forget: { try await link.send(RedisCommand("FLUSHALL")) },
                now: { RedisTime(milliseconds: UInt64(try await redisMilliseconds(link))) }
            ),
            link
        )
    }
}

/// What every `JobQueue` promises. Runs against the one in memory and the one on Redis.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct JobQueueContractTests {
    // MARK: Steps

    @Test(arguments: Kind.allCases)
    func `a job is carried out step by step, and each step counts once`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            let queue = under.queue
            let job = try newJob(steps: [["alice", "bob"], ["carol"]])
            #expect(try await queue.add(job) == .queued)
            #expect(try await queue.add(job) == .queued)
            let claim = try await queue.claimOne()
            #expect(claim.message == job.message && claim.tries == 1 && claim.ratePerSecond == 7)
            #expect(claim.step == JobStep(index: 0, targets: job.steps[0]))
            let first = JobProgress(step: 0, targets: 2, verdicts: ["routed": 1, "offline": 1])
            let second = JobStep(index: 1, targets: job.steps[1])
            #expect(try await queue.advance(claim, finished: first, wantsStep: false) == .carryOn)
            // The same again, as after a lost reply.
            #expect(try await queue.advance(claim, finished: first, wantsStep: true) == .run(second))
            let half = try #require(try await queue.find(job.id))
            #expect(half.state == .running && half.stepsDone == 1 && half.targetsDone == 2)
            #expect(half.worker == "w1" && half.targets == 3 && half.steps == 2)
            let last = JobProgress(step: 1, targets: 1, verdicts: ["routed": 1])
            #expect(try await queue.advance(claim, finished: last, wantsStep: true) == .finished)
            #expect(try await queue.advance(claim, finished: last, wantsStep: true) == .finished)
            let done = try #require(try await queue.find(job.id))
            #expect(done.state == .done && done.targetsDone == 3)
            #expect(done.verdicts == ["routed": 2, "offline": 1])
            #expect(try await queue.claimAll().isEmpty)
        }
    }

    @Test(arguments: Kind.allCases)
    func `all kinds of targets come back as they were`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            var ids = JobIDSource(random: 1)
            let targets: [Target] = [
                .everyone, .room(try RoomID("k:news")), .key(try UserKey("a/b/phone")),
                .user(try UserID("ü*~=1")),
            ]
            let job = NewJob(id: ids.next(), message: [0, 255, 10], steps: [targets])
            #expect(try await under.queue.add(job) == .queued)
            let claim = try await under.queue.claimOne()
            #expect(claim.step?.targets == targets)
            #expect(claim.message == [0, 255, 10])
        }
    }

    @Test(arguments: Kind.allCases)
    func `a claim that lapsed is another worker's, and the first is refused`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            let queue = under.queue
            let job = try newJob(steps: [["alice"], ["bob"]])
            _ = try await queue.add(job)
            let frozen = try await queue.claimOne()
            #expect(try await queue.claimAll(by: "w2").isEmpty)
            try await under.pass(jobClaimIdle)
            let taken = try await queue.claimOne(by: "w2")
            #expect(taken.fence > frozen.fence && taken.tries == 2 && taken.step?.index == 0)
            let progress = JobProgress(step: 0, targets: 1, verdicts: ["routed": 1])
            #expect(try await queue.advance(frozen, finished: progress, wantsStep: true) == .stop(.running))
            #expect(try await queue.fail(frozen, reason: "late", pause: .zero) == nil)
            try await queue.release(frozen)
            #expect(try await queue.find(job.id)?.targetsDone == 0)
            guard case .run = try await queue.advance(taken, finished: progress, wantsStep: true) else {
                Issue.record("the new claim is the right one")
                return
            }
            // What is renewed does not lapse.
            try await under.pass(jobClaimIdle * 0.7)
            #expect(try await queue.advance(taken, finished: nil, wantsStep: false) == .carryOn)
            try await under.pass(jobClaimIdle * 0.7)
            #expect(try await queue.claimAll(by: "w3").isEmpty)
        }
    }

    @Test(arguments: Kind.allCases)
    func `a job that comes again is as it was, however long it waits since`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            let queue = under.queue
            var job = try newJob(steps: [["alice"], ["bob"]], dueAt: try await under.now() + .seconds(7200))
            job.digest = "one"
            #expect(try await queue.add(job) == .scheduled)
            #expect(try await queue.add(job) == .scheduled)
            var other = try newJob(steps: [["eve"], ["mallory"]])
            other.digest = "two"
            #expect(try await queue.add(other) == nil)
            try await under.pass(.seconds(7200))
            let claim = try await queue.claimOne()
            #expect(claim.step == JobStep(index: 0, targets: job.steps[0]))
            let progress = JobProgress(step: 0, targets: 1, verdicts: [:])
            let next = JobStep(index: 1, targets: job.steps[1])
            #expect(try await queue.advance(claim, finished: progress, wantsStep: true) == .run(next))
            #expect(try await queue.add(job) == .running)
        }
    }

    @Test(arguments: Kind.allCases)
    func `a released job is the next worker's at once`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            _ = try await under.queue.add(try newJob(steps: [["alice"]]))
            let claim = try await under.queue.claimOne()
            try await under.queue.release(claim)
            #expect(try await under.queue.claimOne(by: "w2").tries == 1)
        }
    }

    // MARK: Times

    @Test(arguments: Kind.allCases)
    func `a scheduled job is claimed when it is due, once`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            let due = try await under.now() + .seconds(20)
            let job = try newJob(steps: [["alice"]], dueAt: due)
            #expect(try await under.queue.add(job) == .scheduled)
            #expect(try await under.queue.find(job.id)?.due == due)
            #expect(try await under.queue.claimAll().isEmpty)
            try await under.pass(.seconds(20))
            async let one = under.queue.claimAll()
            async let two = under.queue.claimAll(by: "w2")
            #expect(try await (one + two).map(\.id) == [job.id])
            let past = try newJob(steps: [["bob"]], dueAt: RedisTime(milliseconds: 5), random: 2)
            #expect(try await under.queue.add(past) == .queued)
        }
    }

    @Test(arguments: Kind.allCases)
    func `finished jobs are forgotten after their time`(_ kind: Kind) async throws {
        try await withJobQueue(kind, { $0.finishedKept = .seconds(20) }) { under async throws in
            let job = try newJob(steps: [["alice"]])
            _ = try await under.queue.add(job)
            _ = try await under.queue.change(job.id, .cancel)
            #expect(try await under.queue.claimAll().isEmpty)
            #expect(try await under.queue.find(job.id)?.state == .cancelled)
            try await under.pass(.seconds(20))
            #expect(try await under.queue.claimAll().isEmpty)
            #expect(try await under.queue.find(job.id) == nil)
            #expect(try await under.queue.list(nil, after: nil, limit: 5) == JobPage())
        }
    }

    // MARK: Trouble

    @Test(arguments: Kind.allCases)
    func `a step that fails is tried again and then given up`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            let queue = under.queue
            let job = try newJob(steps: [["alice"]])
            _ = try await queue.add(job)
            for attempt in 1...3 {
                let claim = try await queue.claimOne()
                #expect(claim.tries == attempt)
                let state = try await queue.fail(claim, reason: "no luck", pause: .seconds(10))
                #expect(state == (attempt < 3 ? .retrying : .dead))
                #expect(try await queue.claimAll().isEmpty)
                try await under.pass(.seconds(10))
            }
            let dead = try #require(try await queue.find(job.id))
            #expect(dead.failure == "no luck" && dead.state == .dead)
            #expect(try await queue.list(.dead, after: nil, limit: 5).jobs == [dead])
            #expect(try await queue.change(job.id, .requeue) == .done(.queued))
            let again = try await queue.claimOne()
            #expect(again.tries == 1 && again.message == job.message && again.step?.targets == job.steps[0])
            #expect(try await queue.fail(again, reason: "hopeless", pause: nil) == .dead)
            #expect(try await queue.change(job.id, .delete) == .done(nil))
            #expect(try await queue.find(job.id) == nil)
        }
    }

    @Test(arguments: Kind.allCases)
    func `a job that its workers do not survive is given up`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            let queue = under.queue
            let job = try newJob(steps: [["alice"], ["poison"]])
            _ = try await queue.add(job)
            for _ in 0..<2 {
                _ = try await queue.claimOne()
                try await under.pass(jobClaimIdle)
            }
            // A step that is saved begins the count anew.
            let progress = JobProgress(step: 0, targets: 1, verdicts: [:])
            _ = try await queue.advance(try await queue.claimOne(), finished: progress, wantsStep: true)
            for _ in 0..<2 {
                try await under.pass(jobClaimIdle)
                #expect(try await queue.claimOne().step?.index == 1)
            }
            try await under.pass(jobClaimIdle)
            #expect(try await queue.claimAll().isEmpty)
            let dead = try #require(try await queue.find(job.id))
            #expect(dead.state == .dead && dead.failure.contains("step 1"))
        }
    }

    @Test(arguments: Kind.allCases)
    func `a queue that lost everything goes on with what comes`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            let queue = under.queue
            _ = try await queue.add(try newJob(steps: [["alice"]]))
            let claim = try await queue.claimOne()
            try await under.forget()
            let progress = JobProgress(step: 0, targets: 1, verdicts: [:])
            #expect(try await queue.advance(claim, finished: progress, wantsStep: true) == .stop(nil))
            #expect(try await queue.fail(claim, reason: "", pause: nil) == nil)
            #expect(try await queue.find(claim.id) == nil)
            #expect(try await queue.claimAll().isEmpty)
            let next = try newJob(steps: [["bob"]], random: 2)
            _ = try await queue.add(next)
            #expect(try await queue.claimOne().id == next.id)
        }
    }
}

// MARK: Fixtures

func newJob(
    steps: [[String]],
    dueAt: RedisTime? = nil,
    random: UInt64 = 1
) throws -> NewJob {
    var ids = JobIDSource(random: random)
    return NewJob(
        id: ids.next(),
        message: Array("hello".utf8),
        steps: try steps.map { try $0.map { .user(try UserID($0)) } },
        ratePerSecond: 7,
        dueAt: dueAt
    )
}

extension JobQueue {
    func claimAll(by worker: String = "w1", each limit: Int = 10) async throws -> [JobClaim] {
        try await claim(by: worker, limits: Array(repeating: limit, count: JobID.partitionCount)).jobs
    }

    func claimOne(by worker: String = "w1") async throws -> JobClaim {
        try #require(try await claimAll(by: worker, each: 1).first)
    }
}
