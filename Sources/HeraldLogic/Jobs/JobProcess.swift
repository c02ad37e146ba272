public import HeraldCore
import Hummingbird
public import Logging
public import NIOCore
public import NIOPosix
public import ServiceLifecycle

/// One job process: a worker, the pipeline through which its jobs go, and the pages that operators ask.
///
/// A process of its own rather than a part of logic: a fan-out to everybody shall not make the pushes wait that
/// somebody waits for, and a job that takes its worker down takes nothing else with it. It keeps nothing: any number
/// of them share the queue. Told to shut down gracefully, it ends the steps under way and gives its jobs back.
///
/// Table, bus and queue are the caller's to run.
public struct JobProcess<Table: RouteTable, Channel: Bus>: Service {
    private let configuration: JobProcessConfiguration
    private let table: Table
    private let bus: Channel
    private let inbox: (any Inbox)?
    private let queue: any JobQueue
    private let loops: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (Int) async -> Void

    /// - Parameters:
    ///   - configuration: where to listen, and the limits.
    ///   - routes: where targets are looked up.
    ///   - bus: what carries envelopes to the nodes.
    ///   - inbox: where durable pushes are kept; nil: jobs that are durable fail.
    ///   - queue: where the jobs are.
    ///   - loops: what the sockets are read on, and the pipeline runs on. Not shut down by this.
    ///   - logger: for starts, stops and changes.
    ///   - onListening: called once with the port, when requests are taken.
    /// - Throws: `LogicError.keyMissing` when other machines could read the metrics without a key.
    public init(
        configuration: JobProcessConfiguration,
        routes: Table,
        bus: Channel,
        inbox: (any Inbox)? = nil,
        queue: any JobQueue,
        loops: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger,
        onListening: @escaping @Sendable (_ port: Int) async -> Void = { _ in }
    ) throws(LogicError) {
        guard configuration.apiKey != nil || LogicConfiguration.isLoopback(configuration.host) else {
            throw .keyMissing(host: configuration.host)
        }
        self.configuration = configuration
        self.table = routes
        self.bus = bus
        self.inbox = inbox
        self.queue = queue
        self.loops = loops
        self.logger = logger
        self.onListening = onListening
    }

    /// Works until it is shut down.
    ///
    /// - Throws: `LogicError.cannotListen`, or what ended it.
    public func run() async throws {
        let clock = ContinuousClock()
        let pipeline = PushPipeline(
            table: table,
            bus: bus,
            inbox: inbox,
            sender: configuration.name,
            limits: configuration.limits,
            clock: clock,
            executor: LoopExecutor(loops.any()),
            logger: logger
        )
        let worker = JobWorker(
            name: configuration.name,
            queue: queue,
            slots: configuration.slots,
            limits: configuration.jobLimits,
            pushLimits: configuration.limits,
            clock: clock,
            logger: logger
        ) { push async throws(PushRefusal) in try await pipeline.push(push) }
        let tableWatch = TableWatch(table: table, clock: clock, logger: logger)
        let jobWatch = JobWatch(queue: queue, clock: clock)
        let requests = RequestCounters()
        let pages = ServiceController(
            obstacles: { tableWatch.obstacles },
            metrics: {
                let (done, waiting) = pipeline.counters
                let (worked, running) = worker.counters
                return MetricsText(pipeline: done, waiting: waiting, requests: requests).text
                    + JobMetricsText(queue: jobWatch.counts, worker: worked, running: running).text
            }
        )
        let server = APIServer(
            host: configuration.host,
            port: configuration.port,
            limits: configuration.http,
            bodyBytesMax: configuration.limits.pushBytesMax,
            requests: requests,
            loops: loops,
            logger: logger,
            onListening: onListening
        ).application(
            LogicAPI(
                endpoints: pages.endpoints,
                access: AccessRule(key: configuration.apiKey),
                counters: requests
            )
        )
        // Shut down from the last to the first: the worker's last steps still find their pipeline.
        let group = ServiceGroup(
            configuration: .init(
                services: [pipeline, tableWatch, jobWatch, worker, server],
                logger: logger
            )
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
}

/// How one job process is set up.
public struct JobProcessConfiguration: Sendable {
    /// Where health and metrics are served: a loopback address unless there is an API key.
    public var host: String
    /// 0 for any free one.
    public var port: Int
    /// This process's name among all that send envelopes, such as `job-1`.
    public var name: String
    /// Jobs at once.
    public var slots: Int
    public var limits: Limits
    public var jobLimits: JobLimits
    public var http: HTTPLimits
    /// What has to be shown to read the metrics. Nil lets everybody on this machine.
    public var apiKey: APIKey?

    public init(
        host: String = "127.0.0.1",
        port: Int = 0,
        name: String = "job-1",
        slots: Int = 16,
        limits: Limits = .standard,
        jobLimits: JobLimits = .standard,
        http: HTTPLimits = HTTPLimits(),
        apiKey: APIKey? = nil
    ) {
        self.host = host
        self.port = port
        self.name = name
        self.slots = slots
        self.limits = limits
        self.jobLimits = jobLimits
        self.http = http
        self.apiKey = apiKey
    }
}
