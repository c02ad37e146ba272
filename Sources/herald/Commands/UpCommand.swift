import ArgumentParser
import HeraldWire
import ServiceLifecycle
import UnixSignals

struct UpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "up",
        abstract: "Runs a whole Herald on this machine: Redis, logic, jobs and cloud nodes, a process each.",
        discussion: """
            Prints one line that starts with `ready` when all of them serve, and stops them in order (cloud nodes, \
            logic and job, Redis) at SIGINT or SIGTERM; a second signal kills them. They also end when `up` itself is \
            killed. A process that dies later is told of on standard error, and the others go on.

            Everything it leaves behind is in --dir: NAME.pid and NAME.log for redis, logic, job, cloud-1, …, and the \
            redis.conf that was used.

            Exit codes: 0 stopped as asked, 2 wrong usage or setting, 69 a Redis that was named is out of reach, \
            70 something could not start or all servers died.
            """
    )

    @Option(help: ArgumentHelp("How many cloud nodes.", valueName: "n")) var nodes = 3
    @Option(help: ArgumentHelp("Port of logic (setting logic.port).", valueName: "port")) var logicPort:
        String?
    @Option(
        help: ArgumentHelp(
            "Port of the first cloud node; the others follow (setting cloud.port).",
            valueName: "port"
        )
    )
    var cloudPort: String?
    @Option(help: ArgumentHelp("Port of the private Redis.", valueName: "port")) var redisPort = 6399
    @Option(name: .customLong("dir"), help: ArgumentHelp("Folder of this run.", valueName: "folder"))
    var directory = ".herald"
    @Option(
        help: ArgumentHelp(
            "Configuration of the private Redis; the project's own is built in.",
            valueName: "file"
        )
    )
    var redisConf: String?
    @Option(help: ArgumentHelp("The program of the private Redis.", valueName: "program")) var redisServer =
        "redis-server"
    @Flag(help: "Print the ready line as JSON.") var json = false
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        guard (1...64).contains(nodes) else { throw ValidationError("--nodes must be from 1 to 64") }
        guard (1...65_535).contains(redisPort) else {
            throw ValidationError("--redis-port must be from 1 to 65535")
        }
    }

    func run() async throws {
        let settings = try shared.settings([
            ("--logic-port", "logic.port", logicPort), ("--cloud-port", "cloud.port", cloudPort),
        ])
        guard settings.logic.port > 0, settings.cloud.port > 0, settings.cloud.port + nodes <= 65_536 else {
            throw Failure(.usage, "`up` needs ports that are known and below 65536")
        }
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let directory = try RunDirectory(directory)
        let plan = try plan(settings, directory)
        let (events, continuation) = AsyncStream.makeStream(of: Household.Event.self)
        let household = Household(plan: plan, directory: directory, settings: settings) {
            continuation.yield($0)
        }
        let failure = await withTaskGroup(of: Void.self, returning: Failure?.self) { group in
            group.addTask {
                var isSecond = false
                for await _ in signals {
                    if isSecond { household.kill() } else { continuation.yield(.signalled) }
                    isSecond = true
                }
            }
            let failure = await live(household, plan, directory, events, continuation)
            await household.stop()
            group.cancelAll()
            return failure
        }
        if let failure { throw failure }
    }

    /// Starts all and watches them.
    ///
    /// - Returns: why it came to an end; nil for a signal.
    private func live(
        _ household: Household,
        _ plan: UpPlan,
        _ directory: RunDirectory,
        _ events: AsyncStream<Household.Event>,
        _ continuation: AsyncStream<Household.Event>.Continuation
    ) async -> Failure? {
        await withTaskGroup(of: Void.self, returning: Failure?.self) { group in
            group.addTask {
                do {
                    try await household.start()
                    continuation.yield(.ready)
                } catch let failure as Failure {
                    continuation.yield(.failed(failure))
                } catch {
                    continuation.yield(.failed(Failure(.failed, "\(error)")))
                }
            }
            defer { group.cancelAll() }
            var isReady = false
            var dead: [String] = []
            for await event in events {
                switch event {
                case .signalled: return nil
                case .failed(let failure): return failure
                case .ready:
                    guard dead.isEmpty else {
                        return Failure(.failed, "\(dead.joined(separator: ", ")) died before all were ready")
                    }
                    isReady = true
                    sayReady(plan, directory)
                case .ended(let name, let exit):
                    dead.append(name)
                    guard isReady else { continue }
                    Console.complain(
                        "herald: \(name) \(exit); the others go on; its log: \(directory.log(of: name))"
                    )
                    guard household.hasServers else { return Failure(.failed, "all servers have died") }
                }
            }
            return nil
        }
    }

    private func sayReady(_ plan: UpPlan, _ directory: RunDirectory) {
        guard json else {
            let clouds = plan.clouds.map(\.url).joined(separator: ",")
            let redis = plan.redisForPeople
            return Console.say(
                "ready logic=\(plan.logic.url) cloud=\(clouds) redis=\(redis) dir=\(directory.path)"
            )
        }
        var writer = JSONWriter()
        writer.object { writer in
            writer.object("ready") { writer in
                writer.member("logic", plan.logic.url)
                writer.array("cloud") { writer in for cloud in plan.clouds { writer.string(cloud.url) } }
                writer.member("redis", plan.redisForPeople)
                writer.member("dir", directory.path)
            }
        }
        Console.say(writer.bytes)
    }

    private func plan(_ settings: HeraldSettings, _ directory: RunDirectory) throws -> UpPlan {
        var options = UpPlan.Options()
        options.nodes = nodes
        options.redisPort = redisPort
        options.directory = directory.path
        options.herald = Executable.path
        options.passedOn = shared.passedOn
        options.redisConfiguration = "\(directory.path)/redis.conf"
        var plan = UpPlan(options, settings: settings)
        if let (one, other) = plan.clash {
            throw Failure(.usage, "\(one.name) and \(other.name) would both want port \(one.port)")
        }
        guard plan.redis != nil else { return plan }
        guard let server = Executable.find(redisServer) else {
            throw Failure(
                .failed,
                "\(redisServer) is not there to be run: apt-get install redis-server, or give --redis URL"
            )
        }
        options.redisServer = server
        do {
            let text = try redisConf.map { try FileContents.text(of: $0) }
            try directory.write(
                text ?? String(decoding: PackageResources.redis_conf, as: UTF8.self),
                to: "redis.conf"
            )
        } catch let error as FileContents.Unreadable {
            throw Failure(.usage, "--redis-conf \(redisConf ?? "") cannot be read: \(error)")
        }
        plan = UpPlan(options, settings: settings)
        return plan
    }
}
