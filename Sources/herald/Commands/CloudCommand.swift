import ArgumentParser
import HeraldCloud
import HeraldCore
import HeraldRedis
import HeraldSockets
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import UnixSignals

struct CloudCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cloud",
        abstract: "Runs one cloud node: holds the sockets of clients.",
        discussion: """
            With --auth none a client is who it says it is, so that is refused on an address that other machines \
            reach. SIGTERM or SIGINT: no new sockets, those there are told to come back elsewhere, their routes are \
            given back, then it ends.
            """
    )

    @Option(help: "Its name, like no other node's (setting cloud.id).") var id: String?
    @Option(help: "Where to listen (setting cloud.host).") var host: String?
    @Option(help: "Where to listen; 0 for any free port (setting cloud.port).") var port: String?
    @Option(help: "Where clients reach it (setting cloud.url).") var url: String?
    @Option(help: "How it finds out who a client is: none (setting cloud.auth).") var auth: String?
    @Option(help: "Threads that hold sockets (setting cloud.loops).") var loops: String?
    @OptionGroup var shared: SharedOptions

    func run() async throws {
        let settings = try shared.settings([
            ("--id", "cloud.id", id), ("--host", "cloud.host", host), ("--port", "cloud.port", port),
            ("--url", "cloud.url", url), ("--auth", "cloud.auth", auth), ("--loops", "cloud.loops", loops),
        ])
        StandardErrorLog.install(level: settings.level)
        let configuration = try configuration(settings)
        // The loops share their port (SO_REUSEPORT), and would share it with another node's as well.
        try PortCheck.check(
            host: configuration.host,
            port: configuration.port,
            for: "cloud node \(configuration.node)"
        )
        let logger = Logger(label: configuration.node.description)
        let group = MultiThreadedEventLoopGroup.singleton
        let address = try settings.redisAddress()
        do {
            let options = settings.linkOptions(name: "herald-\(configuration.node)", logger: logger)
            let leaseOptions = settings.linkOptions(
                name: "herald-\(configuration.node)-lease",
                logger: logger
            )
            let link = try RedisLink(to: address, options: options, on: group.next())
            // The lease's renewal never waits behind a storm of binds.
            let leaseLink = try RedisLink(to: address, options: leaseOptions, on: group.next())
            let prefix = settings.redis.prefix
            let reaper = settings.reaper(link, logger: logger)
            let node = CloudNode(
                configuration: configuration,
                routes: settings.routeTable(link, logger: logger),
                leaseRoutes: settings.routeTable(leaseLink, logger: logger),
                bus: RedisBus(link: link, address: address, options: options, on: group, prefix: prefix),
                messages: settings.inboxes(link),
                moreMetrics: { reaper?.counts.metrics ?? [] },
                logger: logger
            )
            var services: [any Service] = [link, leaseLink]
            if let reaper { services.append(reaper) }
            services.append(CertificateReload(node: node, logger: logger))
            try await Serving.run(services + [node], logger: logger)
        } catch let error as CloudNodeError {
            throw Failure(
                error.isConfiguration || error.isNodeHeld ? .usage : .unavailable,
                "cloud node cannot run: \(error)"
            )
        } catch let error as SocketEngineError {
            throw Failure(.failed, "cloud node cannot run: \(error)")
        } catch let error as RedisError {
            throw Failure(.unavailable, "cloud node cannot use Redis at \(address): \(error)")
        }
    }

    private func configuration(_ settings: HeraldSettings) throws -> CloudConfiguration {
        let cloud = settings.cloud
        var configuration = CloudConfiguration(node: try NodeID(cloud.id))
        configuration.host = cloud.host
        configuration.port = cloud.port
        configuration.loops = cloud.loops
        configuration.publicURL = cloud.url.isEmpty ? nil : cloud.url
        configuration.region = cloud.region
        configuration.weight = cloud.weight
        configuration.version = Herald.version
        configuration.auth = AuthPolicy(cloud.auth) ?? .none
        configuration.allowedOrigins = cloud.allowedOrigins
        configuration.limits = settings.limits
        configuration.socketLimits = settings.sockets
        configuration.bindPatience = cloud.bindPatience
        configuration.drainDuration = cloud.drainDuration
        try cloud.setEdge(of: &configuration)
        return configuration
    }
}

/// SIGHUP: the certificate is read anew.
private struct CertificateReload<Routes: RouteTable, LeaseRoutes: RouteTable, Channel: Bus>: Service {
    let node: CloudNode<Routes, LeaseRoutes, Channel>
    let logger: Logger

    func run() async throws {
        let signals = await UnixSignalsSequence(trapping: .sighup)
        for await _ in signals.cancelOnGracefulShutdown() {
            do throws(SocketEngineError) {
                try node.reloadCertificate()
                logger.notice("the certificate was read anew")
            } catch {
                logger.error("the certificate stays as it was", metadata: ["reason": "\(error)"])
            }
        }
    }
}
