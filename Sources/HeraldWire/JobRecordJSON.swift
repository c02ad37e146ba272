public import HeraldCore

/// A job as the API and the command line show it.
extension JobJSON {
    public static func write(_ job: JobRecord, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("job", job.id.description)
            writer.member("state", job.state.rawValue)
            writer.member("since", job.since.milliseconds)
            writer.member("created", job.created.milliseconds)
            if let due = job.due { writer.member("due", due.milliseconds) }
            writer.member("targets", job.targets)
            writer.member("targets_done", job.targetsDone)
            writer.member("steps", job.steps)
            writer.member("steps_done", job.stepsDone)
            writer.name("verdicts")
            writer.raw(verdicts(job.verdicts))
            if job.ratePerSecond > 0 { writer.member("rate", job.ratePerSecond) }
            writer.member("tries", job.tries)
            if !job.worker.isEmpty { writer.member("worker", job.worker) }
            if !job.failure.isEmpty { writer.member("failure", job.failure) }
        }
    }

    public static func write(_ page: JobPage, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.array("jobs") { writer in
                for job in page.jobs { write(job, to: &writer) }
            }
            if let next = page.next { writer.member("next", next.description) }
        }
    }

    /// In the order of their names.
    private static func verdicts(_ verdicts: [String: Int]) -> [UInt8] {
        var text: [UInt8] = [UInt8(ascii: "{")]
        for (name, count) in verdicts.sorted(by: { $0.key < $1.key }) {
            if text.count > 1 { text.append(UInt8(ascii: ",")) }
            var quoted = JSONWriter()
            quoted.string(name)
            text += quoted.bytes + Array(":\(count)".utf8)
        }
        return text + [UInt8(ascii: "}")]
    }
}
