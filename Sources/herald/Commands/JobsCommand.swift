import ArgumentParser
import HeraldCore
import HeraldRedis
import HeraldWire

struct JobsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "jobs",
        abstract: "Shows queued, scheduled and large pushes, and changes them.",
        discussion: """
            Examples:
              herald jobs                    all, newest first
              herald jobs list --state running
              herald jobs dead               what was given up, and why
              herald jobs requeue JOB        a dead one gets all its tries again

            Exit codes: 0 done, 1 there is none or it is not possible, 2 wrong usage, 69 Redis is out of reach.
            """,
        subcommands: [
            List.self, Dead.self, Show.self, Pause.self, Resume.self, Cancel.self, Requeue.self, Delete.self,
        ],
        defaultSubcommand: List.self
    )

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists jobs, newest first.")

        @Option(help: ArgumentHelp("Only those in one state.", valueName: "state")) var state: String?
        @Option(help: ArgumentHelp("How many at most.", valueName: "number")) var limit = 20
        @Option(help: ArgumentHelp("Go on behind this place of an earlier list.", valueName: "next"))
        var cursor: String?
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var shared: SharedOptions

        func validate() throws {
            guard (1...1000).contains(limit) else { throw ValidationError("--limit must be from 1 to 1000") }
        }

        func run() async throws {
            var wanted: JobState?
            if let state {
                wanted = JobState(rawValue: state)
                guard wanted != nil else {
                    let all = JobState.allCases.map(\.rawValue).joined(separator: ", ")
                    throw Failure(.usage, "--state must be one of \(all)")
                }
            }
            try await JobsCommand.list(wanted, limit, cursor, json, shared)
        }
    }

    struct Dead: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Lists what was given up, and why.")

        @Option(help: ArgumentHelp("How many at most.", valueName: "number")) var limit = 20
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var shared: SharedOptions

        func run() async throws { try await JobsCommand.list(.dead, limit, nil, json, shared) }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Shows one job.")

        @Argument(help: "The job's id.") var job: String
        @Flag(help: "Print JSON.") var json = false
        @OptionGroup var shared: SharedOptions

        func run() async throws {
            let id = try JobsCommand.id(job)
            let (record, now) = try await JobsCommand.ask(shared) { queue, link in
                (try await queue.find(id), try await RedisClock.now(link))
            }
            guard let record else { throw Failure(.no, "there is no job \(id), or it was done too long ago") }
            if json {
                var writer = JSONWriter()
                JobJSON.write(record, to: &writer)
                return Console.say(writer.bytes)
            }
            for (name, value) in JobsCommand.lines(record, now) {
                Console.say(name + String(repeating: " ", count: max(1, 10 - name.count)) + value)
            }
        }
    }

    struct Pause: JobChangeCommand {
        static let configuration = CommandConfiguration(abstract: "Begins no further step.")
        static let action = JobAction.pause
        @Argument(help: "The job's id.") var job: String
        @OptionGroup var shared: SharedOptions
    }

    struct Resume: JobChangeCommand {
        static let configuration = CommandConfiguration(abstract: "Goes on where it was paused.")
        static let action = JobAction.resume
        @Argument(help: "The job's id.") var job: String
        @OptionGroup var shared: SharedOptions
    }

    struct Cancel: JobChangeCommand {
        static let configuration = CommandConfiguration(abstract: "Ends it before its time.")
        static let action = JobAction.cancel
        @Argument(help: "The job's id.") var job: String
        @OptionGroup var shared: SharedOptions
    }

    struct Requeue: JobChangeCommand {
        static let configuration = CommandConfiguration(abstract: "Gives a dead one all its tries again.")
        static let action = JobAction.requeue
        @Argument(help: "The job's id.") var job: String
        @OptionGroup var shared: SharedOptions
    }

    struct Delete: JobChangeCommand {
        static let configuration = CommandConfiguration(abstract: "Forgets a finished one, dead ones too.")
        static let action = JobAction.delete
        @Argument(help: "The job's id.") var job: String
        @OptionGroup var shared: SharedOptions
    }
}

/// One change of one job.
protocol JobChangeCommand: AsyncParsableCommand {
    static var action: JobAction { get }
    var job: String { get }
    var shared: SharedOptions { get }
}

extension JobChangeCommand {
    func run() async throws {
        let id = try JobsCommand.id(job)
        let change = try await JobsCommand.ask(shared) { queue, _ in try await queue.change(id, Self.action) }
        switch change {
        case .done(let state): Console.say("\(id) \(state?.rawValue ?? "deleted")")
        case .unknown: throw Failure(.no, "there is no job \(id), or it was done too long ago")
        case .impossible(let state):
            throw Failure(.no, "\(id) is \(state.rawValue): \(Self.action.rawValue) is not possible")
        }
    }
}

// MARK: Asking and showing

extension JobsCommand {
    fileprivate static func id(_ text: String) throws -> JobID {
        do { return try JobID(text) } catch { throw Failure(.usage, "\(error)") }
    }

    fileprivate static func ask<Answer: Sendable>(
        _ shared: SharedOptions,
        _ body: @escaping @Sendable (RedisJobQueue, RedisLink) async throws -> Answer
    ) async throws -> Answer {
        let settings = try shared.settings()
        return try await RedisSession.open(settings) { link in
            do {
                return try await body(settings.jobQueue(link), link)
            } catch let error as JobQueueError {
                throw Failure(.unavailable, error.description)
            }
        }
    }

    fileprivate static func list(
        _ state: JobState?,
        _ limit: Int,
        _ cursorText: String?,
        _ json: Bool,
        _ shared: SharedOptions
    ) async throws {
        let cursor = cursorText.flatMap { JobCursor($0) }
        guard cursorText == nil || cursor != nil else {
            throw Failure(.usage, "--cursor must be `next` of an earlier list")
        }
        let (page, now) = try await ask(shared) { queue, link in
            (try await queue.list(state, after: cursor, limit: limit), try await RedisClock.now(link))
        }
        if json {
            var writer = JSONWriter()
            JobJSON.write(page, to: &writer)
            Console.say(writer.bytes)
        } else if page.jobs.isEmpty {
            Console.say(state.map { "no job is \($0.rawValue)" } ?? "there are no jobs")
        } else {
            var table = TextTable("JOB", "STATE", "SINCE", "TARGETS", "DONE", "TRIES", "WORKER", "FAILURE")
            for job in page.jobs {
                table.add(
                    .init(job.id.description),
                    .init(job.state.rawValue, colour(job.state)),
                    .init(Elapsed.text(from: job.since.milliseconds, to: now.milliseconds)),
                    .init(String(job.targets)),
                    .init(percentage(job)),
                    .init(String(job.tries)),
                    .init(job.worker),
                    .init(job.failure)
                )
            }
            table.show()
            if let next = page.next { Console.say("more: --cursor \(next)") }
        }
        if page.jobs.isEmpty { throw ExitCode(Failure.Code.no.rawValue) }
    }

    private static func colour(_ state: JobState) -> Colour? {
        switch state {
        case .running, .done: .good
        case .retrying, .paused: .warning
        case .dead: .bad
        case .scheduled, .queued, .cancelled: nil
        }
    }

    private static func percentage(_ job: JobRecord) -> String {
        "\(job.targets == 0 ? 100 : job.targetsDone * 100 / job.targets) %"
    }

    fileprivate static func lines(_ job: JobRecord, _ now: RedisTime) -> [(String, String)] {
        var lines = [
            ("job", job.id.description),
            (
                "state",
                "\(job.state.rawValue), since \(Elapsed.text(from: job.since.milliseconds, to: now.milliseconds))"
            ),
            ("made", Elapsed.text(from: job.created.milliseconds, to: now.milliseconds) + " ago"),
            ("targets", "\(job.targetsDone) of \(job.targets), in \(job.stepsDone) of \(job.steps) steps"),
            ("tries", String(job.tries)),
        ]
        if let due = job.due {
            let isOver = due <= now
            lines.append(
                ("due", isOver ? "now" : "in " + Elapsed.text(from: now.milliseconds, to: due.milliseconds))
            )
        }
        for (verdict, count) in job.verdicts.sorted(by: { $0.key < $1.key }) {
            lines.append((verdict, String(count)))
        }
        if job.ratePerSecond > 0 { lines.append(("rate", "\(job.ratePerSecond) targets/s at most")) }
        if !job.worker.isEmpty { lines.append(("worker", job.worker)) }
        if !job.failure.isEmpty { lines.append(("failure", job.failure)) }
        return lines
    }
}
