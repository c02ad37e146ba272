public import HeraldCore

/// The scripts of jobs; each begins with the words that they share.
extension RedisScript {
    static let jobAdd = job("job_add", PackageResources.job_add_lua)
    static let jobClaim = job("job_claim", PackageResources.job_claim_lua)
    static let jobAdvance = job("job_advance", PackageResources.job_advance_lua)
    static let jobFail = job("job_fail", PackageResources.job_fail_lua)
    static let jobChange = job("job_change", PackageResources.job_change_lua)
    static let jobList = job("job_list", PackageResources.job_list_lua)
    static let jobCounts = job("job_counts", PackageResources.job_counts_lua)

    static let jobs = [jobAdd, jobClaim, jobAdvance, jobFail, jobChange, jobList, jobCounts]

    private static func job(_ name: String, _ source: [UInt8]) -> RedisScript {
        RedisScript(name: name, source: PackageResources.job_words_lua + source)
    }
}

extension RedisKeys {
    /// A stream: what of a partition waits for a worker, or is being worked on.
    public func jobs(_ partition: Int) -> String { "\(prefix)jobs:{\(partition)}" }
    /// A hash: one job.
    public func job(_ id: JobID) -> String { "\(jobs(id.partition)):job:\(id)" }
    /// A hash: step → its targets, one a line, of a job that one writer is bringing in.
    func jobComing(_ partition: Int, _ writer: UInt64) -> String {
        "\(jobs(partition)):coming:\(String(writer, radix: 16))"
    }
}
