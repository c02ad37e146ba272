import HeraldCore
import Logging
import ServiceLifecycle
import Synchronization

/// Asks the table every second whether it answers, for `/readyz` and the log, and keeps the nodes it told.
///
/// A probe of its own rather than one per request: `/readyz` then costs Redis nothing however often it is asked,
/// answers at once when Redis hangs, and a change is logged once, when it happens.
final class TableWatch<Table: RouteTable, Time: Clock>: Service where Time.Duration == Duration {
    private let table: Table
    private let clock: Time
    private let began: Time.Instant
    private let logger: Logger
    private let health = Mutex(TableHealth())

    init(table: Table, clock: Time, logger: Logger) {
        self.table = table
        self.clock = clock
        self.began = clock.now
        self.logger = logger
    }

    /// Why no pushes should be sent here now; empty when they should.
    var obstacles: [String] { health.withLock { $0.obstacles(at: now) } }

    /// The live nodes as of the last probe; nil when that is too long ago.
    var recentNodes: [NodeRecord]? { health.withLock { $0.recentNodes(at: now) } }

    func run() async {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                await self.probe()
                try? await self.clock.sleep(
                    until: self.clock.now.advanced(by: TableHealth.interval),
                    tolerance: nil
                )
            }
        }
    }

    private func probe() async {
        do throws(RouteTableError) {
            let nodes = try await table.nodes()
            if health.withLock({ $0.answered(nodes, at: now) }) { logger.info("Redis answers") }
        } catch {
            guard !Task.isCancelled, health.withLock({ $0.failed() }) else { return }
            logger.warning("Redis does not answer", metadata: ["reason": "\(error)"])
        }
    }

    private var now: Duration { began.duration(to: clock.now) }
}

/// What the probes came to.
struct TableHealth {
    static let interval: Duration = .seconds(1)
    /// One probe may be slow; two and a half intervals without an answer are an outage.
    static let silenceMax: Duration = .milliseconds(2500)

    private var lastAnswer: Duration?
    private var hasFailed = false
    private var nodes: [NodeRecord] = []

    /// - Returns: whether this is a change worth telling.
    mutating func answered(_ nodes: [NodeRecord] = [], at now: Duration) -> Bool {
        defer {
            self.nodes = nodes
            lastAnswer = now
            hasFailed = false
        }
        return lastAnswer == nil || hasFailed
    }

    /// - Returns: whether this is a change worth telling.
    mutating func failed() -> Bool {
        defer { hasFailed = true }
        return !hasFailed
    }

    /// A failed probe does not make them wrong at once: what Redis said is good while it is not too old.
    func recentNodes(at now: Duration) -> [NodeRecord]? {
        guard let lastAnswer, now - lastAnswer <= Self.silenceMax else { return nil }
        return nodes
    }

    func obstacles(at now: Duration) -> [String] {
        if hasFailed { return ["Redis does not answer"] }
        guard let lastAnswer else { return ["Redis has not answered yet"] }
        let silence = now - lastAnswer
        guard silence > Self.silenceMax else { return [] }
        return ["Redis has not answered for \(silence.wholeMilliseconds) ms"]
    }
}
