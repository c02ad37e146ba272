import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// What jobs outlive: names that are used again, and Redis's own troubles.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct JobQueueTroubleTests {
    private let progress = JobProgress(step: 0, targets: 1, verdicts: ["routed": 1])

    private var limits: JobLimits {
        var limits = JobLimits()
        limits.claimIdle = jobClaimIdle
        limits.finishedKept = .seconds(20)
        return limits
    }

    // MARK: Names and numbers

    @Test(arguments: Kind.allCases)
    func `a claim of a job that was deleted is none of the next job of its name`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            let queue = under.queue
            let job = try newJob(steps: [["alice"]])
            var claims: [JobClaim] = []
            // As fast as can be: no millisecond needs to pass.
            for _ in 0..<5 {
                _ = try await queue.add(job)
                let claim = try await queue.claimOne()
                for old in claims {
                    #expect(old.fence < claim.fence)
                    #expect(try await queue.advance(old, finished: nil, wantsStep: true) == .stop(.running))
                    let late = try await queue.advance(old, finished: progress, wantsStep: false)
                    #expect(late == .stop(.running))
                    #expect(try await queue.fail(old, reason: "late", pause: nil) == nil)
                }
                #expect(try await queue.find(job.id)?.targetsDone == 0)
                claims.append(claim)
                #expect(try await queue.change(job.id, .cancel) == .done(.cancelled))
                #expect(try await queue.change(job.id, .delete) == .done(nil))
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `a claim tells which life of a name it is of`(_ kind: Kind) async throws {
        try await withJobQueue(kind) { under async throws in
            let job = try newJob(steps: [["alice"]])
            var pushes: Set<PushID> = []
            for life in 1...3 {
                _ = try await under.queue.add(job)
                let created = try #require(try await under.queue.find(job.id)?.created)
                try await under.pass(.milliseconds(1))
                let claim = try await under.queue.claimOne()
                #expect(claim.created == created)
                pushes.insert(claim.id.push(ofStep: 0, created: claim.created))
                #expect(pushes.count == life)
                // Another try of the step has its id.
                try await under.queue.release(claim)
                #expect(try await under.queue.claimOne().created == created)
                _ = try await under.queue.change(job.id, .cancel)
                _ = try await under.queue.change(job.id, .delete)
            }
        }
    }

    @Test func `a claim that Redis has lost is refused once the job is claimed again`() async throws {
        try await withRedisJobQueue(limits) { under, link async throws in
            let job = try newJob(steps: [["alice"]])
            _ = try await under.queue.add(job)
            let key = RedisArgument.text("herald:jobs:{0}:job:\(job.id)")
            let lost = try await under.queue.claimOne()
            // All that was written of the claim's number is gone, as after a crash.
            try await link.send(RedisCommand("HSET", key, "fence", 0))
            try await link.send(RedisCommand("HDEL", "herald:jobs:{0}:sums", "fence"))
            try await under.pass(jobClaimIdle)
            let next = try await under.queue.claimOne(by: "w2")
            #expect(next.fence > lost.fence)
            #expect(
                try await under.queue.advance(lost, finished: progress, wantsStep: true) == .stop(.running)
            )
            #expect(try await under.queue.advance(next, finished: progress, wantsStep: true) == .finished)
        }
    }

    // MARK: One partition's trouble

    @Test func `what one partition cannot give does not cost what the others gave`() async throws {
        try await withRedisJobQueue(limits) { under, link async throws in
            var ids = JobIDSource(random: 5)
            var jobs: Set<JobID> = []
            for _ in 0..<JobID.partitionCount {
                let job = NewJob(id: ids.next(), message: [1], steps: [[.everyone]])
                _ = try await under.queue.add(job)
                jobs.insert(job.id)
            }
            let (foreign, broken) = ("herald:jobs:{5}", 3)
            try await link.send(RedisCommand("RENAME", .text(foreign), "aside"))
            try await link.send(RedisCommand("SET", .text(foreign), "theirs"))
            for job in jobs where job.partition == broken {
                let key = RedisArgument.text("herald:jobs:{\(broken)}:job:\(job)")
                try await link.send(RedisCommand("HSET", key, "rate", "fast"))
            }
            let asked = Array(repeating: 1, count: JobID.partitionCount)
            let claimed = try await under.queue.claim(by: "w1", limits: asked)
            #expect(Set(claimed.jobs.map(\.id)) == jobs.filter { ![5, broken].contains($0.partition) })
            guard case .corrupt(let reason) = claimed.trouble else {
                Issue.record("\(claimed) tells no trouble")
                return
            }
            #expect(reason.contains("job ") && reason.contains("another shape"))
            for claim in claimed.jobs {
                #expect(try await under.queue.advance(claim, finished: nil, wantsStep: false) == .carryOn)
            }
            // The next time only the partition that is not Herald's is in trouble.
            guard case .corrupt(let foreign) = try await under.queue.claim(by: "w1", limits: asked).trouble
            else {
                Issue.record("a foreign key is no trouble")
                return
            }
            #expect(foreign.contains("WRONGTYPE"))
        }
    }

    @Test func `a queue that is broken everywhere answers nobody`() async throws {
        try await withRedisJobQueue(limits) { under, link async throws in
            for partition in 0..<JobID.partitionCount {
                try await link.send(RedisCommand("SET", .text("herald:jobs:{\(partition)}"), "theirs"))
            }
            let error = await #expect(throws: JobQueueError.self) { try await under.queue.claimAll() }
            guard case .corrupt = error else {
                Issue.record("\(String(describing: error))")
                return
            }
        }
    }

    // MARK: No memory

    /// Adds a job of two steps for each name, and claims them all.
    private func claimed(_ names: String..., from queue: any JobQueue) async throws -> [String: JobClaim] {
        var jobs: [JobID: String] = [:]
        for (index, name) in names.enumerated() {
            let job = try newJob(steps: [["a"], ["b"]], random: UInt64(index))
            _ = try await queue.add(job)
            jobs[job.id] = name
        }
        let claims = try await queue.claimAll().compactMap { claim in jobs[claim.id].map { ($0, claim) } }
        return Dictionary(uniqueKeysWithValues: claims)
    }

    @Test func `a step is saved and a job ends while Redis is out of memory`() async throws {
        try await withRedisJobQueue(limits) { under, link async throws in
            let queue = under.queue
            let claims = try await claimed("goes", "ends", "paused", "fails", "hopeless", "free", from: queue)
            let ends = try #require(claims["ends"])
            let paused = try #require(claims["paused"])
            _ = try await queue.advance(ends, finished: progress, wantsStep: false)
            _ = try await queue.change(paused.id, .pause)
            try await link.send(RedisCommand("CONFIG", "SET", "maxmemory", "1"))

            let goes = try #require(claims["goes"])
            let next = JobStep(index: 1, targets: [.user(try UserID("b"))])
            #expect(try await queue.advance(goes, finished: progress, wantsStep: true) == .run(next))
            let last = JobProgress(step: 1, targets: 1, verdicts: [:])
            #expect(try await queue.advance(ends, finished: last, wantsStep: true) == .finished)
            let order = try await queue.advance(paused, finished: progress, wantsStep: true)
            #expect(order == .stop(.paused))
            for (claim, done) in [(goes, 1), (ends, 2), (paused, 1)] {
                #expect(try await queue.find(claim.id)?.stepsDone == done)
            }
            let retried = try await queue.fail(#require(claims["fails"]), reason: "", pause: .seconds(90))
            #expect(retried == .retrying)
            let hopeless = try #require(claims["hopeless"])
            #expect(try await queue.fail(hopeless, reason: "", pause: nil) == .dead)
            let free = try #require(claims["free"])
            try await queue.release(free)
            #expect(try await queue.change(paused.id, .resume) == .done(.queued))
            #expect(try await queue.change(hopeless.id, .requeue) == .done(.queued))
            let again = try await queue.claimAll(by: "w2").map(\.id)
            #expect(Set(again) == [paused.id, hopeless.id, free.id])
        }
    }

    @Test func `a Redis that is out of memory takes no job, and can be emptied of them`() async throws {
        try await withRedisJobQueue(limits) { under, link async throws in
            let queue = under.queue
            let claims = try await claimed("done", "dead", "cancelled", from: queue)
            let done = try #require(claims["done"])
            let last = JobProgress(step: 1, targets: 1, verdicts: [:])
            _ = try await queue.advance(done, finished: progress, wantsStep: false)
            #expect(try await queue.advance(done, finished: last, wantsStep: false) == .finished)
            let dead = try #require(claims["dead"])
            #expect(try await queue.fail(dead, reason: "", pause: nil) == .dead)
            let cancelled = try #require(claims["cancelled"])
            let soon = try newJob(steps: [["a"]], dueAt: try await under.now() + .seconds(20), random: 50)
            let far = try newJob(steps: [["a"]], dueAt: try await under.now() + .seconds(900), random: 51)
            for job in [soon, far] { #expect(try await queue.add(job) == .scheduled) }
            try await under.pass(.seconds(20))
            try await link.send(RedisCommand("CONFIG", "SET", "maxmemory", "1"))

            #expect(try await queue.change(dead.id, .delete) == .done(nil))
            #expect(try await queue.change(far.id, .cancel) == .done(.cancelled))
            #expect(try await queue.change(cancelled.id, .cancel) == .done(.cancelled))
            // Forgets what is past its keeping, and moves what is due.
            #expect(try await queue.claimAll(by: "w2").map(\.id) == [soon.id])
            #expect(try await queue.find(done.id) == nil)
            #expect(try await queue.find(dead.id) == nil)
            let refused = try newJob(steps: [["a"]], random: 52)
            let full = JobQueueError.full("Redis is out of memory")
            await #expect(throws: full) { try await queue.add(refused) }
            #expect(try await queue.find(refused.id) == nil)
            // Only what ended is left, without what it held, and what runs.
            _ = try await queue.change(soon.id, .cancel)
            #expect(try await queue.counts().bytes == 0)
        }
    }

    @Test func `a job that memory ends under leaves nothing`() async throws {
        try await withRedisJobQueue(limits) { under, link async throws in
            let facts = try #require(try await link.send(RedisCommand("INFO", "memory")).text)
            let used = facts.split(whereSeparator: \.isNewline).first { $0.hasPrefix("used_memory:") }
            let bytes = try #require(used.flatMap { Int64($0.dropFirst("used_memory:".count)) })
            try await link.send(RedisCommand("CONFIG", "SET", "maxmemory", .integer(bytes + 2 << 20)))
            let step = (0..<500).map { "user-of-a-rather-long-name-\($0)" }
            let job = try newJob(steps: Array(repeating: step, count: 500))
            await #expect(throws: JobQueueError.full("Redis is out of memory")) {
                try await under.queue.add(job)
            }
            #expect(try await link.send(RedisCommand("KEYS", "*")).elements == [])
            #expect(try await under.queue.add(try newJob(steps: [["alice"]])) == .queued)
        }
    }
}
