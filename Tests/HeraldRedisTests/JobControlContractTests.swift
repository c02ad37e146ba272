import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// What every `JobQueue` promises to who controls jobs. Runs against the one in memory and the one on Redis.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct JobControlContractTests {
    private func withQueue(
        _ kind: Kind,
        _ change: (inout JobLimits) -> Void = { _ in },
        _ body: @Sendable (any JobQueue) async throws -> Void
    ) async throws {
        var limits = JobLimits()
        change(&limits)
        switch kind {
        case .memory: try await body(MemoryJobQueue(limits: limits))
        case .redis:
            let limits = limits
            try await withRedisTable { _, link async throws in
                try await body(RedisJobQueue(link: link, limits: limits))
            }
        }
    }

    @Test(arguments: Kind.allCases)
    func `a paused job keeps the step that was under way and goes on behind it`(_ kind: Kind) async throws {
        try await withQueue(kind) { queue async throws in
            let job = try newJob(steps: [["alice"], ["bob"]])
            _ = try await queue.add(job)
            let claim = try await queue.claimOne()
            #expect(try await queue.change(job.id, .pause) == .done(.paused))
            #expect(try await queue.change(job.id, .pause) == .done(.paused))
            let progress = JobProgress(step: 0, targets: 1, verdicts: ["routed": 1])
            #expect(try await queue.advance(claim, finished: progress, wantsStep: true) == .stop(.paused))
            #expect(try await queue.claimAll().isEmpty)
            #expect(try await queue.change(job.id, .resume) == .done(.queued))
            let next = try await queue.claimOne(by: "w2")
            #expect(next.step?.index == 1)
            #expect(try await queue.find(job.id)?.verdicts == ["routed": 1])
            // The first worker is out.
            let late = JobProgress(step: 1, targets: 1, verdicts: ["routed": 1])
            #expect(try await queue.advance(claim, finished: late, wantsStep: true) == .stop(.running))
        }
    }

    @Test(arguments: Kind.allCases)
    func `a job that was paused before its time waits on for it`(_ kind: Kind) async throws {
        try await withQueue(kind) { queue async throws in
            let far = RedisTime(milliseconds: 4_000_000_000_000)
            let job = try newJob(steps: [["alice"]], dueAt: far)
            _ = try await queue.add(job)
            #expect(try await queue.change(job.id, .pause) == .done(.paused))
            #expect(try await queue.find(job.id)?.due == far)
            #expect(try await queue.change(job.id, .resume) == .done(.scheduled))
            #expect(try await queue.find(job.id)?.due == far)
            #expect(try await queue.claimAll().isEmpty)
            #expect(try await queue.change(job.id, .cancel) == .done(.cancelled))
        }
    }

    @Test(arguments: Kind.allCases)
    func `a cancelled job ends wherever it is`(_ kind: Kind) async throws {
        try await withQueue(kind) { queue async throws in
            var ids = JobIDSource(random: 5)
            var jobs: [NewJob] = []
            for name in ["queued", "running", "retrying", "paused"] {
                let job = NewJob(id: ids.next(), message: [1], steps: [[.user(try UserID(name))]])
                _ = try await queue.add(job)
                jobs.append(job)
            }
            let claims = try await queue.claimAll()
            #expect(claims.count == 4)
            for claim in claims where claim.id == jobs[0].id { try await queue.release(claim) }
            for claim in claims where claim.id == jobs[2].id {
                _ = try await queue.fail(claim, reason: "x", pause: .seconds(50))
            }
            _ = try await queue.change(jobs[3].id, .pause)
            for job in jobs {
                #expect(try await queue.change(job.id, .cancel) == .done(.cancelled))
                #expect(try await queue.change(job.id, .cancel) == .done(.cancelled))
                #expect(try await queue.change(job.id, .resume) == .impossible(.cancelled))
                #expect(try await queue.change(job.id, .requeue) == .impossible(.cancelled))
            }
            #expect(try await queue.claimAll().isEmpty)
            for claim in claims where claim.id == jobs[1].id {
                #expect(try await queue.advance(claim, finished: nil, wantsStep: true) == .stop(.cancelled))
            }
            #expect(try await queue.counts().jobs[.cancelled] == 4)
            #expect(try await queue.counts().bytes == 0)
        }
    }

    @Test(arguments: Kind.allCases)
    func `what is not possible says where the job stands`(_ kind: Kind) async throws {
        try await withQueue(kind) { queue async throws in
            let job = try newJob(steps: [["alice"]])
            for action in JobAction.allCases { #expect(try await queue.change(job.id, action) == .unknown) }
            _ = try await queue.add(job)
            #expect(try await queue.change(job.id, .resume) == .done(.queued))
            #expect(try await queue.change(job.id, .delete) == .impossible(.queued))
            #expect(try await queue.change(job.id, .requeue) == .impossible(.queued))
            let claim = try await queue.claimOne()
            let progress = JobProgress(step: 0, targets: 1, verdicts: [:])
            #expect(try await queue.advance(claim, finished: progress, wantsStep: true) == .finished)
            #expect(try await queue.change(job.id, .cancel) == .impossible(.done))
            #expect(try await queue.change(job.id, .pause) == .impossible(.done))
            #expect(try await queue.change(job.id, .delete) == .done(nil))
        }
    }

    @Test(arguments: Kind.allCases)
    func `jobs are listed newest first, page by page`(_ kind: Kind) async throws {
        try await withQueue(kind) { queue async throws in
            var ids = JobIDSource(random: 5)
            var all: [JobID] = []
            for index in 0..<25 {
                let job = NewJob(id: ids.next(), message: [], steps: [[.everyone]])
                _ = try await queue.add(job)
                if index % 5 == 0 { _ = try await queue.change(job.id, .pause) }
                all.append(job.id)
            }
            for (state, count) in [(nil, 25), (JobState.paused, 5), (.queued, 20), (.dead, 0)] {
                var seen: [JobRecord] = []
                var cursor: JobCursor?
                repeat {
                    let page = try await queue.list(state, after: cursor, limit: 4)
                    #expect(page.jobs.count <= 4)
                    seen += page.jobs
                    cursor = page.next.flatMap { JobCursor($0.description) }
                } while cursor != nil
                #expect(seen.count == count && Set(seen.map(\.id)).count == count)
                #expect(seen.allSatisfy { state == nil || $0.state == state })
                let times = seen.map { state == nil ? $0.created : $0.since }
                #expect(times == times.sorted(by: >))
            }
            let counts = try await queue.counts()
            #expect(counts.jobs[.paused] == 5 && counts.jobs[.queued] == 20 && counts.jobs[.running] == 0)
        }
    }

    @Test(arguments: Kind.allCases)
    func `a full queue takes no more until a job is done`(_ kind: Kind) async throws {
        try await withQueue(kind, { $0.jobsMax = 2 * JobID.partitionCount }) { queue async throws in
            var ids = JobIDSource(random: 5)
            var last: JobID?
            for _ in 0..<(2 * JobID.partitionCount) {
                let job = NewJob(id: ids.next(), message: [], steps: [[.everyone]])
                _ = try await queue.add(job)
                last = job.id
            }
            let next = NewJob(id: ids.next(), message: [], steps: [[.everyone]])
            await #expect(throws: JobQueueError.full("as many jobs wait as may")) {
                try await queue.add(next)
            }
            #expect(try await queue.find(next.id) == nil)
            _ = try await queue.change(try #require(last), .cancel)
            var other = ids.next()
            while other.partition != last?.partition { other = ids.next() }
            let room = NewJob(id: other, message: [], steps: [[.everyone]])
            #expect(try await queue.add(room) == .queued)
        }
    }
}
