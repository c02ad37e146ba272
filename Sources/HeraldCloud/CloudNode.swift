public import HeraldCore
public import HeraldSockets
public import Logging
public import ServiceLifecycle
import Synchronization

/// A cloud node: holds WebSocket connections, keeps their routes in Redis alive and delivers what its channel
/// brings (DESIGN.md §7).
///
/// It takes the node's lease and subscribes to its channel first and listens then, so that no client connects to
/// a node that cannot be reached. On graceful shutdown it takes no more clients, closes those it has with a
/// code that says come back, takes their routes out, gives the lease back, and ends; all of it bounded.
///
/// `run` may be called once. It throws `CloudNodeError`, or the engine's error when the port cannot be had.
public final class CloudNode<Routes: RouteTable, LeaseRoutes: RouteTable, Channel: Bus>: Service {
    private let configuration: CloudConfiguration
    private let routes: Routes
    private let bus: Channel
    private let messages: any Inbox
    private let logger: Logger
    private let status = NodeStatus()
    private let keeper: RouteKeeper
    private let inbox: BusInbox
    private let replier: Replier
    private let context: NodeContext
    private let engine: SocketEngine<SessionHandler>
    private let lease: NodeLease<LeaseRoutes>

    /// What the parts of `run` end with.
    private enum Ending: Sendable { case drained, leaseGivenBack, part }

    /// How long the routes may take to be taken out once all sockets are closed.
    private static var unbindLimit: Duration { .seconds(5) }
    /// Sockets closed in a second while the node stops: so many may come back elsewhere at once.
    private static var closesPerSecond: Int { 10_000 }

    /// - Parameters:
    ///   - configuration: checked by `run`.
    ///   - routes: for sessions and rooms.
    ///   - leaseRoutes: the same table through a link of its own, for the node's lease.
    ///   - bus: brings this node's envelopes, and tells other nodes of sessions they lost.
    ///   - messages: the inboxes that clients follow.
    ///   - moreMetrics: what other parts of the process have to tell on `/metrics`.
    ///   - logger: never sees a payload.
    public init(
        configuration: CloudConfiguration,
        routes: Routes,
        leaseRoutes: LeaseRoutes,
        bus: Channel,
        messages: any Inbox,
        moreMetrics: @escaping @Sendable () -> [Metric] = { [] },
        logger: Logger
    ) {
        var logger = logger
        logger[metadataKey: "node"] = "\(configuration.node)"
        self.configuration = configuration
        self.routes = routes
        self.bus = bus
        self.messages = messages
        self.logger = logger
        let (status, limits) = (status, configuration.limits)
        var settings = RouteKeeper.StateMachine.Settings(node: configuration.node)
        settings.renewal = limits.routeRenewal
        settings.rules.routeTTL = limits.routeTTL
        settings.rules.patience = configuration.bindPatience
        settings.listedMembersMax = limits.listedMembersMax
        let keeper = RouteKeeper(settings, logger: logger)
        let gauges = (0..<max(1, configuration.loops)).map { _ in
            LoopGauges(directory: configuration.loops > 1 ? LoopDirectory() : nil)
        }
        let replier = Replier(node: configuration.node, logger: logger)
        let inbox = BusInbox(
            keeper: keeper,
            replier: replier,
            gauges: gauges,
            status: status,
            logger: logger
        )
        let context = NodeContext(
            configuration,
            keeper: keeper,
            status: status,
            inbox: inbox,
            replier: replier,
            inboxReader: InboxReader(patience: configuration.bindPatience, logger: logger),
            gauges: gauges,
            moreMetrics: moreMetrics
        )
        self.keeper = keeper
        self.inbox = inbox
        self.replier = replier
        self.context = context
        let engine = SocketEngine<SessionHandler>(configuration.engine) { port in
            SessionHandler(context, loop: port.loop)
        }
        self.engine = engine
        context.countSockets { [weak engine] in engine?.counters ?? SocketCounters() }
        lease = NodeLease(
            routes: leaseRoutes,
            rules: .init(ttl: limits.leaseTTL, renewal: limits.leaseRenewal),
            status: status,
            keeper: keeper,
            logger: logger,
            profile: { configuration.profile(port: status.current.port) },
            load: {
                let kept = keeper.snapshot
                return NodeLoad(
                    connections: context.loopValues.live,
                    users: kept.users,
                    rooms: kept.rooms
                )
            },
            stop: Signal()
        )
    }

    /// Reads the certificate and its key anew: connections that are open stay on the old one, new ones get the new.
    ///
    /// - Throws: what is wrong with the files; the old certificate stays in use then.
    public func reloadCertificate() throws(SocketEngineError) { try engine.reloadCertificate() }

    /// Where it listens; 0 before that. Of use when the configuration says 0.
    public var port: Int { status.current.port }

    // For tests.
    var loopValues: LoopGauges.Values { context.loopValues }
    var socketCounters: SocketCounters { engine.counters }
    var inboxCounts: BusInbox.Counts { inbox.counts }
    func received(_ event: BusEvent) { inbox.receive(event, for: engine.ports) }
    var keeperCounts: RouteKeeper.StateMachine.Counts { keeper.snapshot.counts }
    var currentLease: Lease? { status.current.lease }

    public func run() async throws {
        try configuration.check()
        let shutdown = Signal()
        do {
            try await withGracefulShutdownHandler {
                try await runParts(until: shutdown)
            } onGracefulShutdown: {
                shutdown.raise()
            }
        } catch {
            await engine.stop(code: CloseCode.goingAway.number, reason: CloseCode.goingAway.reason)
            throw error
        }
        await engine.stop(code: CloseCode.goingAway.number, reason: CloseCode.goingAway.reason)
        logger.info("The node has stopped")
    }

    private func runParts(until shutdown: Signal) async throws {
        try await withThrowingTaskGroup(of: Ending.self) { group in
            group.addTask {
                try await self.listenToBus()
                return .part
            }
            group.addTask {
                await self.keeper.run(routes: self.routes, bus: self.bus, ports: self.engine.ports)
                return .part
            }
            group.addTask {
                await self.replier.run(bus: self.bus)
                return .part
            }
            group.addTask {
                await self.context.inboxReader.run(self.messages, ports: self.engine.ports)
                return .part
            }
            group.addTask {
                try await self.lease.run()
                return .leaseGivenBack
            }
            group.addTask {
                try await self.live(until: shutdown)
                return .drained
            }
            defer { group.cancelAll() }
            while let ending = try await group.next() {
                switch ending {
                case .drained: lease.stop.raise()
                case .leaseGivenBack: return
                // The others run as long as they are not cancelled.
                case .part: try Task.checkCancellation()
                }
            }
        }
    }

    private func listenToBus() async throws {
        do {
            try await bus.listen(to: .node(configuration.node)) { [inbox, ports = engine.ports] event in
                inbox.receive(event, for: ports)
            }
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            throw CloudNodeError.bus(error)
        }
    }

    // MARK: Its life

    private func live(until shutdown: Signal) async throws {
        let isWanted = try await waitUntilReachable(unless: shutdown)
        guard isWanted else { return }
        try engine.start()
        status.listening(on: engine.port)
        logger.info(
            "The node takes clients",
            metadata: ["port": "\(engine.port)", "url": "\(configuration.profile(port: engine.port).url)"]
        )
        try await shutdown.raised()
        try await drain()
    }

    /// - Returns: false when the node was asked to stop before it had begun.
    private func waitUntilReachable(unless shutdown: Signal) async throws -> Bool {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                try await shutdown.raised()
                // For `live`, should it come to that.
                shutdown.raise()
                return false
            }
            group.addTask { [status] in
                while await status.changed.next() {
                    let now = status.current
                    if now.lease != nil, now.isSubscribed { return true }
                }
                throw CancellationError()
            }
            defer { group.cancelAll() }
            return try await group.next() ?? false
        }
    }

    /// Closes the sockets at a bearable pace, then waits until their routes are out.
    private func drain() async throws {
        status.drainingBegan()
        engine.stopAccepting()
        logger.info("The node is stopping", metadata: ["sockets": "\(engine.counters.open)"])
        let pause = Duration.milliseconds(50)
        let perSecond = max(
            Self.closesPerSecond,
            engine.counters.open * 1000 / max(1, Int(configuration.drainDuration.wholeMilliseconds))
        )
        let closed = Moment.now() + configuration.drainDuration
        while engine.counters.open > 0, Moment.now() < closed {
            let share = perSecond / 20 / engine.ports.count + 1
            for port in engine.ports { _ = port.post([.closeSome(share, .goingAway)]) }
            try await Task.sleep(for: pause)
        }
        let unbound = Moment.now() + Self.unbindLimit
        while !keeper.snapshot.isEmpty, Moment.now() < unbound {
            try await Task.sleep(for: pause)
        }
        let left = keeper.snapshot.keys
        if left > 0 {
            logger.warning(
                "Not all routes could be taken out; they end with the node's lease",
                metadata: ["keys": "\(left)"]
            )
        }
    }
}
