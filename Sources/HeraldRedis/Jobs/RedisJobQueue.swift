// Jobs in Redis.
//
//     herald:jobs:{3}            stream  what waits for a worker or is being worked on; consumer group `workers`
//     herald:jobs:{3}:job:ID     hash    the job: state, progress, verdicts, tries, fencing number, message
//     herald:jobs:{3}:steps:ID   hash    step → its targets, until the job is finished
//     herald:jobs:{3}:coming:N   hash    the same, of a job that is just coming in
//     herald:jobs:{3}:due        zset    job → when it is to be queued: scheduled ones, and those between two tries
//     herald:jobs:{3}:all        zset    job → when it was made
//     herald:jobs:{3}:STATE      zset    job → since when; `:dead` has the dead letters
//     herald:jobs:{3}:sums       hash    bytes of what waits, and the last fencing number
//
// Every change is one script in one slot, so that a job is always in exactly one state and its claim, its progress
// and its place in the stream never disagree. The scripts judge by Redis's clock and by the fencing number; what this
// type adds is the words.
//
// Workers ask (`claim`) instead of blocking in XREADGROUP: a blocking read needs a connection of its own for each
// worker, hands out an entry before it is fenced, and wakes for neither a lapsed claim nor a due time. Asking all
// eight partitions is one turn on the wire: an idle worker, asking ten times a second, costs Redis 7.0 3 ms of CPU a
// second. A push that is queued alone costs it 140 µs from its arrival to its end.
//
// A job's targets are written before the job, in pieces that each take Redis about a millisecond, under a key of this
// writing's own that expires; the last script makes the job of it. A writer that dies half-way leaves nothing for
// long, and one that brings a job that is there already touches nothing of it.

public import HeraldCore

/// The job queue in Redis, over a link that somebody else runs.
public final class RedisJobQueue: JobQueue {
    let link: RedisLink
    let keys: RedisKeys
    let limits: JobLimits

    /// What one command may hold of a job's targets.
    private static let pieceBytesMax = 256 * 1024
    /// How long targets wait for their job: several times as long as any body takes to be written.
    private static let stepsWaitMilliseconds: Int64 = 600_000

    public init(link: RedisLink, prefix: String = "herald:", limits: JobLimits = .standard) {
        self.link = link
        keys = RedisKeys(prefix: prefix)
        self.limits = limits
    }

    // MARK: Coming in

    public func add(_ job: NewJob) async throws(JobQueueError) -> JobState? {
        let coming = keys.jobComing(job.id.partition, .random(in: 0...(.max)))
        do throws(JobQueueError) {
            return try await add(job, by: coming)
        } catch {
            // A Redis without memory shall not keep the pieces that it took before.
            if case .full = error { _ = try? await send([RedisCommand("UNLINK", .text(coming))]) }
            throw error
        }
    }

    private func add(_ job: NewJob, by coming: String) async throws(JobQueueError) -> JobState? {
        let stepsKey = RedisArgument.text(coming)
        var bytes = job.message.count
        var piece: [RedisArgument] = [stepsKey]
        var pieceBytes = 0
        var commands: [RedisCommand] = []
        for (index, targets) in job.steps.enumerated() {
            let text = JobText.text(targets)
            bytes += text.utf8.count
            pieceBytes += text.utf8.count
            piece += [.integer(Int64(index)), .text(text)]
            guard pieceBytes >= Self.pieceBytesMax || index == job.steps.count - 1 else { continue }
            commands.append(RedisCommand("HSET", arguments: piece))
            commands.append(RedisCommand("PEXPIRE", stepsKey, .integer(Self.stepsWaitMilliseconds)))
            piece = [stepsKey]
            pieceBytes = 0
            if index < job.steps.count - 1 {
                // One at a time: what others ask for goes in between.
                _ = try await send(commands)
                commands = []
            }
        }
        commands.append(
            RedisScript.jobAdd.call(
                keys: [keys.jobs(job.id.partition), coming],
                [
                    .text(job.id.description), .bytes(job.message), .integer(Int64(job.steps.count)),
                    .integer(Int64(job.targetCount)), .integer(Int64(bytes)),
                    .integer(Int64(job.ratePerSecond)),
                    .integer(Int64(clamping: job.dueAt?.milliseconds ?? 0)),
                    .integer(Int64(max(1, limits.jobsMax / JobID.partitionCount))),
                    .integer(Int64(max(1, limits.bytesMax / JobID.partitionCount))),
                    .text(job.digest),
                ]
            )
        )
        let replies = try await send(commands)
        switch replies[replies.count - 1].text ?? "" {
        case "jobs": throw .full("as many jobs wait as may")
        case "bytes": throw .full("the waiting jobs hold as many bytes as they may")
        case "mismatch": return nil
        case "steps": throw .unavailable("Redis lost a part of the job while it came in")
        case let text:
            guard let state = JobState(rawValue: text) else { throw corrupt("job \(job.id)", replies) }
            return state
        }
    }

    // MARK: Workers

    public func claim(by worker: String, limits wanted: [Int]) async throws(JobQueueError) -> JobClaims {
        precondition(wanted.count == JobID.partitionCount, "there is a limit for each partition")
        let replies = try await ask(
            wanted.enumerated().map { partition, limit in
                RedisScript.jobClaim.call(
                    keys: [keys.jobs(partition)],
                    [
                        .text(worker), .integer(Int64(limit)),
                        .integer(limits.claimIdle.wholeMilliseconds), .integer(Int64(limits.triesMax)),
                        .integer(limits.finishedKept.wholeMilliseconds),
                        .integer(limits.deadKept.wholeMilliseconds),
                        .integer(Int64(max(1, limits.finishedMax / JobID.partitionCount))),
                    ]
                )
            }
        )
        // What came is the worker's, whatever became of the rest: nobody else gets it until its claim lapses.
        var claimed = JobClaims()
        var answers = 0
        for reply in replies {
            guard let rows = reply.elements else {
                claimed.trouble = claimed.trouble ?? reply.failure.map(trouble) ?? corrupt("a claim", [reply])
                continue
            }
            answers += 1
            for row in rows {
                do throws(JobQueueError) {
                    claimed.jobs.append(try claim(row, worker))
                } catch {
                    claimed.trouble = claimed.trouble ?? error
                }
            }
        }
        if answers == 0, let trouble = claimed.trouble { throw trouble }
        return claimed
    }

    private func claim(_ row: RedisValue, _ worker: String) throws(JobQueueError) -> JobClaim {
        guard let words = row.elements, words.count >= 7, let id = words[0].text.flatMap({ try? JobID($0) }),
            let created = words[1].number, let fence = words[2].number, let tries = words[3].number,
            let rate = words[4].number, case .string(let message) = words[5], let step = words[6].number
        else { throw corrupt("job \(row.elements?.first?.text ?? "without a name")", [row]) }
        let targets = words.count > 7 ? words[7].text.flatMap(JobText.targets) : nil
        return JobClaim(
            id: id,
            created: RedisTime(milliseconds: UInt64(clamping: created)),
            worker: worker,
            fence: UInt64(clamping: fence),
            tries: Int(clamping: tries),
            ratePerSecond: Int(clamping: rate),
            message: message,
            step: targets.map { JobStep(index: Int(clamping: step), targets: $0) }
        )
    }

    public func advance(
        _ claim: JobClaim,
        finished: JobProgress?,
        wantsStep: Bool
    ) async throws(JobQueueError) -> JobOrder {
        var arguments: [RedisArgument] = [
            .text(claim.id.description), .text(String(claim.fence)), .integer(Int64(finished?.step ?? -1)),
            .integer(Int64(finished?.targets ?? 0)), wantsStep ? 1 : 0,
        ]
        for (verdict, count) in finished?.verdicts ?? [:] {
            arguments += [.text(verdict), .integer(Int64(count))]
        }
        let reply = try await call(RedisScript.jobAdvance, claim.id, arguments)
        let words = reply.elements ?? []
        switch words.first?.text {
        case "on": return .carryOn
        case "done": return .finished
        case "stop": return .stop(words.last?.text.flatMap(JobState.init(rawValue:)))
        case "run":
            guard words.count == 3, let step = words[1].number,
                let targets = words[2].text.flatMap(JobText.targets)
            else { throw .corrupt("the targets of the next step of job \(claim.id) are gone") }
            return .run(JobStep(index: Int(clamping: step), targets: targets))
        default: throw corrupt("job \(claim.id)", [reply])
        }
    }

    public func fail(
        _ claim: JobClaim,
        reason: String,
        pause: Duration?
    ) async throws(JobQueueError) -> JobState? {
        try await giveUp(claim, reason, milliseconds: pause.map { max(0, $0.wholeMilliseconds) } ?? -1)
    }

    public func release(_ claim: JobClaim) async throws(JobQueueError) {
        _ = try await giveUp(claim, "", milliseconds: -2)
    }

    private func giveUp(
        _ claim: JobClaim,
        _ reason: String,
        milliseconds: Int64
    ) async throws(JobQueueError) -> JobState? {
        let reply = try await call(
            RedisScript.jobFail,
            claim.id,
            [
                .text(claim.id.description), .text(String(claim.fence)), .integer(milliseconds),
                .integer(Int64(limits.triesMax)), .text(reason),
            ]
        )
        if case .null = reply { return nil }
        guard let state = reply.text.flatMap(JobState.init(rawValue:)) else {
            throw corrupt("job \(claim.id)", [reply])
        }
        return state
    }
}

// MARK: Asking Redis

extension RedisJobQueue {
    func call(
        _ script: RedisScript,
        _ id: JobID,
        _ arguments: [RedisArgument]
    ) async throws(JobQueueError) -> RedisValue {
        try await send([script.call(keys: [keys.jobs(id.partition)], arguments)])[0]
    }

    /// One turn on the wire. No reply is an error.
    func send(_ commands: [RedisCommand]) async throws(JobQueueError) -> [RedisValue] {
        let replies = try await ask(commands)
        for case .error(let error) in replies { throw trouble(error) }
        return replies
    }

    /// One turn on the wire. Each reply is for the caller to judge.
    private func ask(_ commands: [RedisCommand]) async throws(JobQueueError) -> [RedisValue] {
        do throws(RedisError) {
            return try await link.send(commands)
        } catch {
            throw .unavailable(error.description)
        }
    }

    private func trouble(_ error: RedisReplyError) -> JobQueueError {
        if error.code == "OOM" { return .full("Redis is out of memory") }
        // A key that a script met with is not Herald's, or a script is wrong: neither passes.
        return error.isPassing ? .unavailable(error.description) : .corrupt(error.description)
    }

    func corrupt(_ what: String, _ replies: [RedisValue]) -> JobQueueError {
        .corrupt("\(what): \(replies.last?.failure?.description ?? "an answer of another shape")")
    }
}
