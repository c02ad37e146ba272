import HeraldCore

/// Jobs as Prometheus's text format: what the queue holds, and what one worker has done.
struct JobMetricsText {
    private(set) var text = ""

    /// - Parameter counts: nil while the queue does not answer: a gap tells more than an old number.
    init(queue counts: JobCounts?) {
        guard let counts else { return }
        family("jobs", "gauge", "Jobs by state; those of every worker.")
        for state in JobState.allCases {
            sample("jobs", counts.jobs[state] ?? 0, label: ("state", state.rawValue))
        }
        family("jobs_bytes", "gauge", "Messages and targets that unfinished and dead jobs hold.")
        sample("jobs_bytes", counts.bytes)
        family("jobs_lag_milliseconds", "gauge", "How long the oldest queued job has waited.")
        sample("jobs_lag_milliseconds", Int(clamping: counts.lag.wholeMilliseconds))
    }

    init(queue: JobCounts?, worker: JobWorkerCounters, running: Int) {
        self.init(queue: queue)
        family("job_claimed_total", "counter", "Jobs that this worker claimed.")
        sample("job_claimed_total", worker.claimed)
        family("job_ended_total", "counter", "Jobs that this worker let go, by why.")
        let endings = [
            ("finished", worker.finished), ("stopped", worker.stopped), ("retried", worker.retried),
            ("dead", worker.dead), ("released", worker.released), ("lost", worker.lost),
        ]
        for (why, count) in endings { sample("job_ended_total", count, label: ("why", why)) }
        family("job_running", "gauge", "Jobs that this worker is at.")
        sample("job_running", running)
        family("job_steps_total", "counter", "Steps that this worker sent.")
        sample("job_steps_total", worker.steps)
        family(
            "job_steps_repeated_total",
            "counter",
            "Times that a step's unreachable targets were to be sent again."
        )
        sample("job_steps_repeated_total", worker.stepsRepeated)
        family("job_targets_total", "counter", "Targets of those steps, by verdict.")
        for (verdict, count) in worker.targets.sorted(by: { $0.key < $1.key }) {
            sample("job_targets_total", count, label: ("verdict", verdict))
        }
    }

    private mutating func family(_ name: String, _ type: String, _ help: String) {
        text += "# HELP herald_\(name) \(help)\n# TYPE herald_\(name) \(type)\n"
    }

    private mutating func sample(_ name: String, _ value: Int, label: (name: String, value: String)? = nil) {
        let labels = label.map { "{\($0.name)=\"\($0.value)\"}" } ?? ""
        text += "herald_\(name)\(labels) \(value)\n"
    }
}
