public import HeraldCore
import Hummingbird
public import Logging
public import NIOCore
public import NIOPosix
public import ServiceLifecycle

/// One logic process: takes pushes over HTTP, runs them through the pipeline, and answers what became of them.
///
/// It keeps nothing that matters: any number of them work side by side on one Redis. Told to shut down
/// gracefully, it takes no more connections, answers the requests it has, and then ends.
///
/// Table and bus are the caller's to run.
public struct Logic<Table: RouteTable, Channel: Bus, Time: Clock>: Service where Time.Duration == Duration {
    private let configuration: LogicConfiguration
    private let table: Table
    private let bus: Channel
    private let inbox: (any Inbox)?
    private let direct: (any DirectBus)?
    private let clock: Time
    private let loops: any EventLoopGroup
    private let jobs: (any JobQueue)?
    private let once: (any OnceTable)?
    private let webhooks: (@Sendable () -> WebhookCounters)?
    private let moreMetrics: @Sendable () -> [Metric]
    private let logger: Logger
    private let onListening: @Sendable (Int) async -> Void

    /// - Parameters:
    ///   - configuration: where to listen, and the limits.
    ///   - routes: where targets are looked up.
    ///   - bus: what carries envelopes to the nodes.
    ///   - inbox: where durable pushes are kept; nil for none.
    ///   - direct: takes a push that comes alone in one step; nil: look-up and publish are always two.
    ///   - loops: one of them reads the sockets and runs the pipeline, so that a push wakes no other thread (see
    ///     `LoopExecutor`), least of all when the table and the bus live on it too. Not shut down by this.
    ///   - jobs: where queued pushes go; nil for no jobs.
    ///   - once: what remembers requests with an idempotency key; nil refuses them.
    ///   - webhooks: what the process's webhook dispatcher has done, for `/metrics`; nil when there is none.
    ///   - moreMetrics: what other parts of the process have to tell on `/metrics`.
    ///   - logger: for starts, stops and changes; never a message.
    ///   - onListening: called once with the port, when requests are taken.
    /// - Throws: `LogicError.keyMissing` when other machines could push without a key.
    public init(
        configuration: LogicConfiguration,
        routes: Table,
        bus: Channel,
        inbox: (any Inbox)? = nil,
        direct: (any DirectBus)? = nil,
        loops: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        jobs: (any JobQueue)? = nil,
        once: (any OnceTable)? = nil,
        webhooks: (@Sendable () -> WebhookCounters)? = nil,
        moreMetrics: @escaping @Sendable () -> [Metric] = { [] },
        logger: Logger,
        onListening: @escaping @Sendable (_ port: Int) async -> Void = { _ in }
    ) throws(LogicError) where Time == ContinuousClock {
        try self.init(
            configuration: configuration,
            routes: routes,
            bus: bus,
            inbox: inbox,
            direct: direct,
            clock: ContinuousClock(),
            loops: loops,
            jobs: jobs,
            once: once,
            webhooks: webhooks,
            moreMetrics: moreMetrics,
            logger: logger,
            onListening: onListening
        )
    }

    /// - Parameters:
    ///   - configuration: where to listen, and the limits.
    ///   - routes: where targets are looked up.
    ///   - bus: what carries envelopes to the nodes.
    ///   - inbox: where durable pushes are kept; nil for none.
    ///   - direct: takes a push that comes alone in one step; nil: look-up and publish are always two.
    ///   - clock: what deadlines and durations are measured with.
    ///   - loops: one of them reads the sockets and runs the pipeline.
    ///   - jobs: where queued pushes go; nil for no jobs.
    ///   - once: what remembers requests with an idempotency key; nil refuses them.
    ///   - webhooks: what the process's webhook dispatcher has done, for `/metrics`; nil when there is none.
    ///   - moreMetrics: what other parts of the process have to tell on `/metrics`.
    ///   - logger: for starts, stops and changes; never a message.
    ///   - onListening: called once with the port, when requests are taken.
    /// - Throws: `LogicError.keyMissing` when other machines could push without a key.
    public init(
        configuration: LogicConfiguration,
        routes: Table,
        bus: Channel,
        inbox: (any Inbox)? = nil,
        direct: (any DirectBus)? = nil,
        clock: Time,
        loops: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        jobs: (any JobQueue)? = nil,
        once: (any OnceTable)? = nil,
        webhooks: (@Sendable () -> WebhookCounters)? = nil,
        moreMetrics: @escaping @Sendable () -> [Metric] = { [] },
        logger: Logger,
        onListening: @escaping @Sendable (_ port: Int) async -> Void = { _ in }
    ) throws(LogicError) {
        guard configuration.apiKey != nil || configuration.isLoopback else {
            throw .keyMissing(host: configuration.host)
        }
        self.configuration = configuration
        self.table = routes
        self.bus = bus
        self.inbox = inbox
        self.direct = direct
        self.clock = clock
        self.loops = loops
        self.jobs = jobs
        self.once = once
        self.webhooks = webhooks
        self.moreMetrics = moreMetrics
        self.logger = logger
        self.onListening = onListening
    }

    /// Serves until it is shut down.
    ///
    /// - Throws: `LogicError.cannotListen`, or what ended it.
    public func run() async throws {
        let loop = loops.any()
        let pipeline = PushPipeline(
            table: table,
            bus: bus,
            inbox: inbox,
            direct: direct,
            sender: configuration.name,
            limits: configuration.limits,
            clock: clock,
            executor: LoopExecutor(loop),
            logger: logger
        )
        let watch = TableWatch(table: table, clock: clock, logger: logger)
        let jobWatch = jobs.map { JobWatch(queue: $0, clock: clock) }
        let requests = RequestCounters()
        let batcher = PushBatcher(
            pipeline: pipeline,
            limits: configuration.limits,
            ids: SharedPushIDs(random: .random(in: 0...(.max))),
            requests: requests
        )
        let access = AccessRule(key: configuration.apiKey)
        let api = LogicAPI(
            endpoints: endpoints(batcher, watch, jobWatch),
            access: access,
            counters: requests
        )
        let desk = PushDesk(batcher: batcher, access: access)
        // Shut down from the last to the first: no requests come any more when the pipeline empties itself.
        var services: [any Service] = [pipeline, watch]
        if let jobWatch { services.append(jobWatch) }
        let group = ServiceGroup(
            configuration: .init(services: services + [server(api, desk, loop, requests)], logger: logger)
        )
        do {
            try await group.run()
        } catch let error as IOError {
            throw LogicError.cannotListen(
                host: configuration.host,
                port: configuration.port,
                reason: "\(error)"
            )
        }
    }

    private func endpoints(
        _ batcher: PushBatcher<Table, Channel, Time>,
        _ watch: TableWatch<Table, Time>,
        _ jobWatch: JobWatch<Time>?
    ) -> [Endpoint] {
        let (pipeline, requests) = (batcher.pipeline, batcher.requests)
        let jobs = jobs.map { queue in
            JobController(
                queue: queue,
                limits: configuration.limits,
                jobLimits: configuration.jobLimits,
                random: .random(in: 0...(.max)),
                logger: logger
            )
        }
        let pushes = PushController(
            pipeline: pipeline,
            limits: configuration.limits,
            intake: jobs?.intake,
            once: once.map { PushOnce(table: $0, limits: configuration.limits, clock: clock) },
            ids: batcher.ids
        )
        let batches = PushBatchController(batcher: batcher)
        let routes = RouteController(table: table, bus: bus, sender: configuration.name)
        let presence = PresenceController(table: table, limits: configuration.limits)
        let nodes = NodeController(table: table, limits: configuration.limits) { watch.recentNodes }
        let service = ServiceController(
            obstacles: { watch.obstacles },
            metrics: { [webhooks, moreMetrics] in
                let (done, waiting) = pipeline.counters
                var metrics = MetricsText(pipeline: done, waiting: waiting, requests: requests)
                if let webhooks { metrics.add(webhooks(), at: WallClock.now) }
                metrics.add(moreMetrics())
                return metrics.text + (jobWatch.map { JobMetricsText(queue: $0.counts).text } ?? "")
            }
        )
        let stories = PushStoryController(process: pipeline.sender) { pipeline.story(of: $0) }
        let inboxes = inbox.map { InboxController(inbox: $0, limits: configuration.limits) }
        return pushes.endpoints + batches.endpoints + stories.endpoints + routes.endpoints
            + presence.endpoints
            + nodes.endpoints + (inboxes?.endpoints ?? []) + (jobs?.endpoints ?? []) + service.endpoints
    }

    private func server(
        _ api: LogicAPI,
        _ desk: any LeanDesk,
        _ loop: any EventLoop,
        _ requests: RequestCounters
    ) -> Application<LogicAPI> {
        APIServer(
            host: configuration.host,
            port: configuration.port,
            limits: configuration.http,
            bodyBytesMax: max(
                configuration.limits.batchBytesMax,
                jobs == nil ? configuration.limits.pushBytesMax : configuration.jobLimits.bodyBytesMax
            ),
            requests: requests,
            loops: loop,
            logger: logger,
            onListening: onListening,
            desk: configuration.isLean ? desk : nil
        ).application(api)
    }
}
