import HeraldCore

/// What jobs and job processes are set up with.
struct JobSettings: Sendable {
    var name = "job-1"
    var host = "127.0.0.1"
    var port = 8082
    var atOnce = 16
    var limits = JobLimits()
}

extension SettingTable {
    static let jobs: [Setting] = jobProcess + jobBounds

    private static let jobProcess: [Setting] = [
        .text(
            "jobs.name",
            \.jobs.name,
            form: "[a-z0-9-]{1,64}",
            "A job process's name among its like and logic's.",
            check: processName
        ),
        .text("jobs.host", \.jobs.host, form: "address", "Where it serves health and metrics."),
        .integer("jobs.port", \.jobs.port, 0...65_535, "Where it does; 0 for any free port."),
        .integer("jobs.at_once", \.jobs.atOnce, 1...1024, "Jobs that it carries out at once."),
    ]

    @Sendable private static func processName(_ text: String) throws(BadValue) {
        do { _ = try NodeID(text) } catch { throw BadValue(error.rule) }
    }

    private static let jobBounds: [Setting] = [
        .integer("jobs.jobs_max", \.jobs.limits.jobsMax, 8...100_000_000, "Unfinished and dead jobs."),
        .bytes("jobs.bytes_max", \.jobs.limits.bytesMax, 1 << 20...(1 << 40), "What they hold in Redis."),
        .integer("jobs.targets_max", \.jobs.limits.targetsMax, 1...10_000_000, "Targets of a job."),
        .bytes("jobs.body_bytes_max", \.jobs.limits.bodyBytesMax, 1024...(64 << 20), "The body of a job."),
        .integer("jobs.step_targets_max", \.jobs.limits.stepTargetsMax, 1...1000, "Targets of a step."),
        .duration(
            "jobs.claim_idle",
            \.jobs.limits.claimIdle,
            .seconds(1)...(.seconds(600)),
            "When a dead worker's job is another's."
        ),
        .integer("jobs.tries_max", \.jobs.limits.triesMax, 1...1000, "Tries of a step."),
        .duration(
            "jobs.back_off_max",
            \.jobs.limits.backOffMax,
            .seconds(1)...(.seconds(86_400)),
            "The longest pause between two tries."
        ),
        .duration(
            "jobs.finished_kept",
            \.jobs.limits.finishedKept,
            .seconds(1)...(.seconds(30 * 86_400)),
            "How long done and cancelled jobs are shown."
        ),
        .integer(
            "jobs.finished_max",
            \.jobs.limits.finishedMax,
            8...100_000_000,
            "Done, and cancelled, jobs that are shown."
        ),
        .duration(
            "jobs.dead_kept",
            \.jobs.limits.deadKept,
            .seconds(1)...(.seconds(365 * 86_400)),
            "How long dead jobs can be requeued."
        ),
    ]
}
