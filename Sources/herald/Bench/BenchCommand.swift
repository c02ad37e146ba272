import ArgumentParser
import FoundationEssentials
import Glibc
import UnixSignals

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract:
            "Measures a Herald: connects many clients, pushes to them, and counts what arrives, when, at what cost.",
        discussion: """
            Works, done in this order:
              storm            all clients connect at once
              idle             nothing is sent for a while: memory and CPU of the connections
              fan-out:3/s      pushes to the room that all clients are in, at a rate
              fan-out:64       the same, with so many pushes under way at any time
              unicast:5000/s   pushes to one user each, drawn by chance
              unicast:64
              batch:8          100 pushes in a request, each to one user with data of its own; 8 requests under way

            Without --running it starts a system of its own on free ports (`herald up`), and stops it again. CPU time \
            and memory are those of the system's processes on this machine; the load has processes of its own. A \
            percentile at a rate counts from when a push was due. Cores: --system-cpus 0 --load-cpus 1 keep the two apart.

            The last line of standard output is JSON. Exit codes: 0 each message came once, 1 something was lost, \
            repeated, refused or cut, 2 wrong usage, 69 the system is out of reach, 70 something could not start.
            """
    )

    @Argument(help: ArgumentHelp("What to measure.", valueName: "work")) var works: [BenchWork] = BenchWork
        .all
    @Option(help: ArgumentHelp("How many clients.", valueName: "n")) var clients = 10_000
    @Option(help: ArgumentHelp("How long each work is measured.", valueName: "time")) var duration = "10s"
    @Option(help: ArgumentHelp("How long each work runs before.", valueName: "time")) var warmUp = "2s"
    @Option(help: ArgumentHelp("Bytes of each message's data.", valueName: "n")) var payloadBytes = 100
    @Option(help: ArgumentHelp("Cloud nodes of the system that is started.", valueName: "n")) var nodes = 1
    @Option(help: ArgumentHelp("Cores of the system that is started, such as 0 or 0-3.", valueName: "list"))
    var systemCpus: String?
    @Option(help: ArgumentHelp("Cores of the load.", valueName: "list")) var loadCpus: String?
    @Flag(help: "Measure the system that runs already: that of --redis and --url.") var running = false
    @Option(
        help: ArgumentHelp(
            "Where logic is, with --running (else logic.host and logic.port).",
            valueName: "url"
        )
    )
    var url: String?
    @Flag(help: "Print only the line of JSON.") var json = false
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard (1...900_000).contains(clients) else {
            throw ValidationError("--clients must be from 1 to 900000")
        }
        guard (0...65_536).contains(payloadBytes) else {
            throw ValidationError("--payload-bytes must be from 0 to 65536")
        }
        guard (1...64).contains(nodes) else { throw ValidationError("--nodes must be from 1 to 64") }
        guard url == nil || running else { throw ValidationError("--url goes with --running") }
        guard systemCpus == nil || !running else {
            throw ValidationError("--system-cpus does not go with --running")
        }
    }

    func run() async throws {
        let settings = try shared.settings()
        let (warmUp, duration) = (try time("--warm-up", warmUp), try time("--duration", duration))
        let folder = try Self.makeFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let plan = BenchRun.Plan(
            clients: clients,
            works: works,
            payloadBytes: payloadBytes,
            warmUp: warmUp,
            duration: duration,
            loadCPUs: loadCpus,
            folder: folder
        )
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let report = try await withThrowingTaskGroup(of: BenchReport.self) { group in
            group.addTask { try await self.measure(plan, settings) }
            group.addTask {
                for await _ in signals { break }
                throw Failure(.failed, "stopped by a signal")
            }
            defer { group.cancelAll() }
            guard let report = try await group.next() else { throw CancellationError() }
            return report
        }
        if !json { for line in report.lines(colour: Console.hasColour) { Console.say(line) } }
        Console.say(report.json)
        if !report.isClean { throw ExitCode(Failure.Code.no.rawValue) }
    }

    private func measure(_ plan: BenchRun.Plan, _ settings: HeraldSettings) async throws -> BenchReport {
        let tell: @Sendable (String) -> Void = { Console.complain("herald: \($0)") }
        guard !running else {
            let system = try await BenchSystem.running(settings, logicURL: url)
            return try await BenchRun(plan, on: system, tell: tell).run()
        }
        tell("a system of \(nodes) \(nodes == 1 ? "node" : "nodes") starts")
        let own = try OwnSystem(
            folder: plan.folder,
            nodes: nodes,
            cpus: systemCpus,
            passedOn: shared.passedOn
        )
        do {
            let report = try await BenchRun(plan, on: own.ready(), tell: tell).run()
            await own.stop()
            return report
        } catch {
            await own.stop()
            throw error
        }
    }

    private func time(_ flag: String, _ text: String) throws(Failure) -> Duration {
        do { return try SettingValue.duration(text, in: .milliseconds(100)...(.seconds(86_400))) } catch {
            throw Failure(.usage, "\(flag) \(error.reason)")
        }
    }

    private static func makeFolder() throws(Failure) -> String {
        let parent = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(parent)/herald-bench-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw Failure(.failed, "no folder can be made in \(parent): \(String(cString: strerror(errno)))")
        }
        return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}
