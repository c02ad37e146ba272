import ArgumentParser
import HeraldClient
import HeraldCore
import HeraldWire

/// What turns `herald push` into a job.
struct QueueOptions: ParsableArguments {
    @Flag(
        name: .customLong("queued"),
        help: "Leave it to a worker, and print the job: --confirm then says how far its verdicts are counted."
    )
    var isQueued = false
    @Option(
        name: .customLong("rate"),
        help: ArgumentHelp("With --queued: so many targets a second at most.", valueName: "number")
    )
    var ratePerSecond: Int?
    @Option(
        name: .customLong("at"),
        help: ArgumentHelp(
            "With --queued: not before then; RFC 3339, or Unix milliseconds.",
            valueName: "time"
        ),
        transform: { text in
            guard let milliseconds = UInt64(text) ?? Timestamp.parse(text) else {
                throw ValidationError(
                    "--at must be RFC 3339 such as 2026-01-31T23:59:59Z, or Unix milliseconds"
                )
            }
            return RedisTime(milliseconds: milliseconds)
        }
    )
    var dueAt: RedisTime?

    func validate() throws {
        guard isQueued || (ratePerSecond == nil && dueAt == nil) else {
            throw ValidationError("--rate and --at are for --queued")
        }
        if let ratePerSecond, !(1...JobJSON.rateMax).contains(ratePerSecond) {
            throw ValidationError("--rate must be from 1 to \(JobJSON.rateMax)")
        }
    }

    /// Queues a push and says which job it is.
    func queue(_ request: PushRequest, at client: HeraldPushClient, json: Bool) async throws {
        let queued = try await client.queue(request, ratePerSecond: ratePerSecond, dueAt: dueAt)
        guard !json else {
            var writer = JSONWriter()
            writer.object { writer in
                writer.member("job", queued.job.description)
                writer.member("state", queued.state.rawValue)
                writer.member("targets", queued.targets)
                writer.member("steps", queued.steps)
            }
            return Console.say(writer.bytes)
        }
        Console.say(
            "job \(queued.job) \(queued.state.rawValue), \(queued.targets) target\(queued.targets == 1 ? "" : "s")"
        )
        Console.say("herald jobs show \(queued.job)")
    }
}
