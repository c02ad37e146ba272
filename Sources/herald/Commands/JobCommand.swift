import ArgumentParser
import HeraldLogic
import HeraldRedis
import Logging
import NIOCore
import NIOPosix

struct JobCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "job",
        abstract: "Runs one job process: carries out queued, scheduled and large pushes.",
        discussion: """
            Any number of them share the work; one that dies loses nothing, another goes on with its jobs. SIGTERM or \
            SIGINT: the steps under way are ended, the jobs given back, then it ends.
            """
    )

    @Option(help: "Its name among its like (setting jobs.name).") var name: String?
    @Option(help: "Where to serve health and metrics (setting jobs.host).") var host: String?
    @Option(help: "Where to; 0 for any free port (setting jobs.port).") var port: String?
    @OptionGroup var shared: SharedOptions

    func run() async throws {
        let settings = try shared.settings([
            ("--name", "jobs.name", name), ("--host", "jobs.host", host), ("--port", "jobs.port", port),
        ])
        StandardErrorLog.install(level: settings.level)
        let jobs = settings.jobs
        try PortCheck.check(host: jobs.host, port: jobs.port, for: jobs.name)
        let logger = Logger(label: jobs.name)
        let group = MultiThreadedEventLoopGroup.singleton
        let address = try settings.redisAddress()
        let options = settings.linkOptions(name: "herald-\(jobs.name)", logger: logger)
        do {
            let link = try RedisLink(to: address, options: options, on: group.any())
            let bus = RedisBus(
                link: link,
                address: address,
                options: options,
                on: group,
                prefix: settings.redis.prefix
            )
            let process = try JobProcess(
                configuration: configuration(settings),
                routes: settings.routeTable(link, logger: logger),
                bus: bus,
                inbox: settings.inboxes(link),
                queue: settings.jobQueue(link),
                logger: logger
            ) { port in
                logger.info("listening", metadata: ["host": "\(jobs.host)", "port": "\(port)"])
            }
            try await Serving.run([link, process], logger: logger)
        } catch let error as LogicError {
            throw Failure(
                Serving.isSettings(error) ? .usage : .failed,
                "the job process cannot run: \(error)"
            )
        } catch let error as RedisError {
            throw Failure(.unavailable, "the job process cannot use Redis at \(address): \(error)")
        }
    }

    private func configuration(_ settings: HeraldSettings) throws -> JobProcessConfiguration {
        JobProcessConfiguration(
            host: settings.jobs.host,
            port: settings.jobs.port,
            name: settings.jobs.name,
            slots: settings.jobs.atOnce,
            limits: settings.limits,
            jobLimits: settings.jobs.limits,
            http: settings.http,
            apiKey: settings.logic.apiKey.isEmpty ? nil : try APIKey(settings.logic.apiKey)
        )
    }
}

extension HeraldSettings {
    func jobQueue(_ link: RedisLink) -> RedisJobQueue {
        RedisJobQueue(link: link, prefix: redis.prefix, limits: jobs.limits)
    }
}
