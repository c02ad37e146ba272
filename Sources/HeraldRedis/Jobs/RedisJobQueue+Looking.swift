public import HeraldCore

/// What people ask: where a job stands, which there are, and to change them.
extension RedisJobQueue {
    public func change(_ id: JobID, _ action: JobAction) async throws(JobQueueError) -> JobChange {
        let reply = try await call(
            RedisScript.jobChange,
            id,
            [.text(id.description), .text(action.rawValue)]
        )
        if case .null = reply { return .unknown }
        guard let words = reply.elements, words.count == 2, let state = words[1].text else {
            throw corrupt("job \(id)", [reply])
        }
        if words[0].number == 1 { return .done(JobState(rawValue: state)) }
        guard let state = JobState(rawValue: state) else { throw corrupt("job \(id)", [reply]) }
        return .impossible(state)
    }

    public func find(_ id: JobID) async throws(JobQueueError) -> JobRecord? {
        let arguments = [.text(keys.job(id))] + JobText.fields.map(RedisArgument.text)
        let reply = try await send([RedisCommand("HMGET", arguments: arguments)])[0]
        guard let values = reply.elements else { throw corrupt("job \(id)", [reply]) }
        return JobText.record(id, values)
    }

    public func list(
        _ state: JobState?,
        after cursor: JobCursor?,
        limit: Int
    ) async throws(JobQueueError) -> JobPage {
        // One more than wanted shows whether there is a next page.
        let arguments =
            [
                .text(state?.rawValue ?? "all"), .text(cursor?.at.description ?? "+inf"),
                .text(cursor?.id.description ?? ""), .integer(Int64(limit + 1)),
            ] + JobText.fields.map(RedisArgument.text)
        let replies = try await send(
            (0..<JobID.partitionCount).map { partition in
                RedisScript.jobList.call(keys: [keys.jobs(partition)], arguments)
            }
        )
        var found: [(JobCursor, JobRecord)] = []
        for row in replies.flatMap({ $0.elements ?? [] }) {
            guard let words = row.elements, words.count == 3,
                let id = words[0].text.flatMap({ try? JobID($0) }),
                let at = words[1].number, let values = words[2].elements
            else { throw corrupt("a list of jobs", [row]) }
            guard let record = JobText.record(id, values) else { continue }
            found.append((JobCursor(at: RedisTime(milliseconds: UInt64(clamping: at)), id: id), record))
        }
        found.sort { $0.0 > $1.0 }
        let page = found.prefix(limit)
        return JobPage(jobs: page.map(\.1), next: found.count > limit ? page.last?.0 : nil)
    }

    public func counts() async throws(JobQueueError) -> JobCounts {
        let states = JobState.allCases
        let replies = try await send(
            (0..<JobID.partitionCount).map { partition in
                RedisScript.jobCounts.call(
                    keys: [keys.jobs(partition)],
                    states.map { RedisArgument.text($0.rawValue) }
                )
            }
        )
        var counts = JobCounts()
        for reply in replies {
            let numbers = (reply.elements ?? []).compactMap(\.number)
            guard numbers.count == 2 + states.count else { throw corrupt("the counts of jobs", [reply]) }
            counts.bytes += Int(clamping: numbers[0])
            counts.lag = max(counts.lag, .milliseconds(numbers[1]))
            for (state, number) in zip(states, numbers.dropFirst(2)) {
                counts.jobs[state, default: 0] += Int(clamping: number)
            }
        }
        return counts
    }
}
