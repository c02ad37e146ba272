import ArgumentParser
import HeraldLogic
import HeraldRedis
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import UnixSignals

struct LogicCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "logic",
        abstract: "Runs one logic process: takes pushes over HTTP.",
        discussion: "SIGTERM or SIGINT: no new connections, requests under way are answered, then it ends."
    )

    @Option(help: "Its name among its like (setting logic.name).") var name: String?
    @Option(help: "Where to listen (setting logic.host).") var host: String?
    @Option(help: "Where to listen; 0 for any free port (setting logic.port).") var port: String?
    @OptionGroup var shared: SharedOptions

    func run() async throws {
        let settings = try shared.settings([
            ("--name", "logic.name", name), ("--host", "logic.host", host), ("--port", "logic.port", port),
        ])
        StandardErrorLog.install(level: settings.level)
        let name = settings.logic.name
        try PortCheck.check(host: settings.logic.host, port: settings.logic.port, for: name)
        let logger = Logger(label: name)
        // One thread for requests, pipeline and Redis: a push changes threads nowhere. More cores are used by more
        // logic processes.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let address = try settings.redisAddress()
        let options = settings.linkOptions(name: "herald-\(name)", logger: logger)
        do {
            let link = try RedisLink(to: address, options: options, on: group.any())
            let bus = RedisBus(
                link: link,
                address: address,
                options: options,
                on: group,
                prefix: settings.redis.prefix
            )
            let webhooks = try webhooks(settings, link, logger: logger)
            let reaper = settings.reaper(link, logger: logger)
            let logic = try Logic(
                configuration: configuration(settings),
                routes: settings.routeTable(link, logger: logger),
                bus: bus,
                inbox: settings.inboxes(link),
                direct: bus,
                loops: group,
                jobs: settings.jobQueue(link),
                once: RedisOnceTable(link: link, prefix: settings.redis.prefix),
                webhooks: webhooks.map { dispatcher in { @Sendable in dispatcher.counters } },
                moreMetrics: { reaper?.counts.metrics ?? [] },
                logger: logger
            ) { port in
                logger.info("listening", metadata: ["host": "\(settings.logic.host)", "port": "\(port)"])
            }
            var services: [any Service] = [link]
            if let reaper { services.append(reaper) }
            if let webhooks { services.append(webhooks) }
            try await Serving.run(services + [logic], logger: logger)
        } catch let error as LogicError {
            throw Failure(Serving.isSettings(error) ? .usage : .failed, "logic cannot run: \(error)")
        } catch let error as WebhookError {
            throw Failure(.usage, "logic cannot run: \(error)")
        } catch let error as RedisError {
            throw Failure(.unavailable, "logic cannot use Redis at \(address): \(error)")
        }
    }

    /// The dispatcher of presence events, when they are to be sent anywhere.
    private func webhooks(
        _ settings: HeraldSettings,
        _ link: RedisLink,
        logger: Logger
    ) throws -> WebhookDispatcher<RedisPresenceLog>? {
        guard let configuration = try settings.webhookConfiguration() else { return nil }
        // Two processes of one name on two machines are still two.
        let holder = "\(settings.logic.name)-\(String(UInt64.random(in: 0 ... .max), radix: 36))"
        return try WebhookDispatcher(
            configuration: configuration,
            log: RedisPresenceLog(link: link, prefix: settings.redis.prefix, logger: logger),
            holder: holder,
            logger: logger
        )
    }

    private func configuration(_ settings: HeraldSettings) throws -> LogicConfiguration {
        LogicConfiguration(
            host: settings.logic.host,
            port: settings.logic.port,
            name: settings.logic.name,
            limits: settings.limits,
            jobLimits: settings.jobs.limits,
            http: settings.http,
            apiKey: settings.logic.apiKey.isEmpty ? nil : try APIKey(settings.logic.apiKey)
        )
    }
}

/// What the servers have in common: services that live until a signal.
enum Serving {
    /// Runs services until one fails or a signal comes; the last is stopped first.
    static func run(_ services: [any Service], logger: Logger) async throws {
        var configuration = ServiceGroupConfiguration(
            services: services.map {
                .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup)
            },
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger
        )
        // Longer than any drain that was asked for makes sense to a supervisor that waits 10 s or more.
        configuration.maximumGracefulShutdownDuration = .seconds(30)
        try await ServiceGroup(configuration: configuration).run()
        logger.info("stopped")
    }

    static func isSettings(_ error: LogicError) -> Bool {
        switch error {
        case .keyMissing, .weakKey: true
        case .cannotListen: false
        }
    }
}
