// From the log of presence events to the receiver's webhooks.
//
// Every logic process runs one of these; the one that holds the group reads and sends, the others wait for its hold
// to lapse. All decisions are the state machine's. Here is one task that owns it and takes one happening after the
// other; whatever takes time (a call of the log, a request, a pause) is a child task that reports back. Children
// live in one group for each term: when the machine says `drop`, the group is cancelled, awaited and made anew, so
// nothing of an earlier term is under way in the next.

public import HeraldCore
import HeraldWire
public import Logging
public import NIOCore
public import NIOPosix
public import ServiceLifecycle
import Synchronization

/// Sends presence events to a webhook: signed, at least once, in order for each user.
///
/// Runs until graceful shutdown, which lets the requests under way finish. When cancelled it ends at once, and another
/// process takes over when its hold has lapsed. After a 410 it sends nothing more, and waits for its end.
public final class WebhookDispatcher<Log: PresenceLog>: Service {
    private let core: WebhookDispatcherCore<Log, HTTPWebhookTransport, ContinuousClock>
    private let transport: HTTPWebhookTransport

    /// - Parameters:
    ///   - configuration: where to, and how.
    ///   - log: where events are read. The caller's to run.
    ///   - holder: this process's name, like no other's that is running.
    ///   - loops: what connections live on. Not shut down by this.
    ///   - logger: for changes; never an event's content.
    /// - Throws: `WebhookError.badTrust`.
    public init(
        configuration: WebhookConfiguration,
        log: Log,
        holder: String,
        loops: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        logger: Logger
    ) throws(WebhookError) {
        var rules = WebhookRules()
        rules.giveUpAfter = configuration.giveUpAfter
        transport = try HTTPWebhookTransport(configuration, loops: loops)
        core = WebhookDispatcherCore(
            rules: rules,
            secret: configuration.secret,
            log: log,
            transport: transport,
            holder: holder,
            clock: ContinuousClock(),
            logger: logger
        )
    }

    /// As of now; from anywhere.
    public var counters: WebhookCounters { core.counters }

    public func run() async {
        await core.run()
        transport.close()
        // Throws on cancellation, which ends it as well.
        try? await gracefulShutdown()
    }
}

/// The dispatcher apart from HTTP and from the clock.
final class WebhookDispatcherCore<Log: PresenceLog, Transport: WebhookTransport, Time: Clock>: Sendable
where Time.Duration == Duration {
    private let rules: WebhookRules
    private let secret: WebhookSecret
    private let log: Log
    private let transport: Transport
    private let holder: String
    private let clock: Time
    private let began: Time.Instant
    private let unix: @Sendable () -> RedisTime
    private let logger: Logger
    private let counts = Mutex(WebhookCounters())

    typealias Machine = WebhookDispatcherStateMachine

    /// What a child task reports. `term` is that of its group; a stop belongs to every term.
    private struct Report: Sendable {
        var term: Int?
        var happening: Happening
    }

    private enum Happening: Sendable {
        case holdAnswered(Bool, askedAt: Duration)
        case holdFailed(PresenceLogError)
        case read([PresenceEvent])
        case readFailed(PresenceLogError)
        case answered(Int, WebhookOutcome)
        case acknowledged(Int)
        case acknowledgeFailed(Int, PresenceLogError)
        case due(Machine.Wake)
        case stop
    }

    static var group: String { "webhooks" }

    init(
        rules: WebhookRules,
        secret: WebhookSecret,
        log: Log,
        transport: Transport,
        holder: String,
        clock: Time,
        unix: @escaping @Sendable () -> RedisTime = { WallClock.now },
        logger: Logger
    ) {
        self.rules = rules
        self.secret = secret
        self.log = log
        self.transport = transport
        self.holder = holder
        self.clock = clock
        self.began = clock.now
        self.unix = unix
        self.logger = logger
    }

    var counters: WebhookCounters { counts.withLock { $0 } }

    func run() async {
        // Bounded by what is under way: one report a child, one child a lane and a few for hold, read and pauses.
        let (reports, reporter) = AsyncStream.makeStream(of: Report.self)
        await withGracefulShutdownHandler {
            var machine = Machine(rules: rules)
            var iterator = reports.makeAsyncIterator()
            var effects: [Machine.Effect] = []
            machine.began(&effects)
            var term = 0
            while !Task.isCancelled, !effects.isEmpty {
                term += 1
                effects = await serve(term, &machine, effects, &iterator, reporter)
            }
            counts.withLock { $0 = machine.counts }
        } onGracefulShutdown: {
            reporter.yield(Report(term: nil, happening: .stop))
        }
    }

    // MARK: one term

    /// - Returns: the effects behind a `drop`, for the next term; none at the end.
    private func serve(
        _ term: Int,
        _ machine: inout Machine,
        _ first: [Machine.Effect],
        _ reports: inout AsyncStream<Report>.Iterator,
        _ reporter: AsyncStream<Report>.Continuation
    ) async -> [Machine.Effect] {
        await withDiscardingTaskGroup { group in
            var effects = first
            while true {
                counts.withLock { $0 = machine.counts }
                for (index, effect) in effects.enumerated() {
                    if effect == .drop {
                        group.cancelAll()
                        return Array(effects[(index + 1)...])
                    }
                    if effect == .end { return [] }
                    await perform(effect, in: &group) {
                        reporter.yield(Report(term: term, happening: $0))
                    }
                }
                effects = []
                guard let report = await reports.next() else {
                    group.cancelAll()
                    return []
                }
                if report.term ?? term == term { take(report.happening, &machine, &effects) }
            }
        }
    }

    private func take(
        _ happening: Happening,
        _ machine: inout Machine,
        _ effects: inout [Machine.Effect]
    ) {
        let now = now
        let random = Double.random(in: 0...1)
        switch happening {
        case .holdAnswered(let isHeld, let askedAt):
            machine.holdAnswered(isHeld, askedAt: askedAt, at: now, &effects)
        case .holdFailed(let error): machine.holdFailed(error, at: now, &effects)
        case .read(let events): machine.eventsRead(events, at: now, random: random, &effects)
        case .readFailed(let error): machine.readFailed(error, at: now, &effects)
        case .answered(let lane, let outcome):
            machine.answered(outcome, lane: lane, at: now, random: random, &effects)
        case .acknowledged(let lane): machine.acknowledged(lane: lane, at: now, random: random, &effects)
        case .acknowledgeFailed(let lane, let error):
            machine.acknowledgeFailed(error, lane: lane, at: now, random: random, &effects)
        case .due(.hold): machine.holdDue(at: now, &effects)
        case .due(.lapse): machine.lapseDue(at: now, &effects)
        case .due(.reading): machine.readingDue(at: now, &effects)
        case .due(.lane(let lane)): machine.laneDue(lane, at: now, &effects)
        case .stop: machine.stopped(&effects)
        }
    }

    private func perform(
        _ effect: Machine.Effect,
        in group: inout DiscardingTaskGroup,
        _ report: @escaping @Sendable (Happening) -> Void
    ) async {
        switch effect {
        case .askHold: group.addTask { report(await self.askHold()) }
        case .read(let partitions, let again): group.addTask { report(await self.read(partitions, again)) }
        case .send(let lane, let batch):
            group.addTask { report(.answered(lane, await self.send(batch, lane))) }
        case .acknowledge(let lane, let batch): group.addTask { report(await self.acknowledge(batch, lane)) }
        case .wake(let wake, let pause):
            group.addTask {
                guard (try? await self.clock.sleep(for: pause)) != nil else { return }
                report(.due(wake))
            }
        // It lapses by itself too.
        case .release: try? await log.release(Self.group, by: holder)
        case .tell(let news): tell(news)
        case .drop, .end: break
        }
    }

    // MARK: what takes time

    private func askHold() async -> Happening {
        let askedAt = now.steady
        do throws(PresenceLogError) {
            return .holdAnswered(
                try await log.hold(Self.group, by: holder, for: rules.hold),
                askedAt: askedAt
            )
        } catch { return .holdFailed(error) }
    }

    private func read(_ partitions: [Int], _ again: Bool) async -> Happening {
        do throws(PresenceLogError) {
            return .read(
                try await log.read(
                    Self.group,
                    partitions: partitions,
                    again: again,
                    limit: rules.batchMax,
                    wait: again ? .zero : rules.readWait
                )
            )
        } catch { return .readFailed(error) }
    }

    private func acknowledge(_ batch: [PresenceEvent], _ lane: Int) async -> Happening {
        do throws(PresenceLogError) {
            try await log.acknowledge(batch.map(\.id), in: Self.group)
            return .acknowledged(lane)
        } catch { return .acknowledgeFailed(lane, error) }
    }

    private func send(_ batch: [PresenceEvent], _ lane: Int) async -> WebhookOutcome {
        let body = PresenceJSON.encode(batch: batch)
        let request = WebhookRequest(
            body: body,
            signature: secret.signature(of: body, seconds: unix().milliseconds / 1000),
            delivery: batch.first?.id.description ?? ""
        )
        return await withTaskGroup(of: WebhookOutcome?.self) { group in
            group.addTask { await self.transport.post(request, lane: lane) }
            group.addTask {
                guard (try? await self.clock.sleep(for: self.rules.requestTimeout)) != nil else { return nil }
                return .failed("it did not answer within \(self.rules.requestTimeout)")
            }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first ?? .failed("it was cancelled")
        }
    }

    private var now: WebhookTime { WebhookTime(steady: began.duration(to: clock.now), unix: unix()) }

    // MARK: what operators are told

    private func tell(_ news: WebhookNews) {
        switch news {
        case .holding: logger.info("this process sends the webhooks")
        case .lost: logger.info("this process does not send the webhooks any more")
        case .failing(let outcome, let first):
            logger.warning(
                "webhooks are not taken, and tried again",
                metadata: ["reason": "\(outcome)", "event": "\(first)"]
            )
        case .recovered: logger.info("webhooks are taken again")
        case .gaveUp(let events, let first):
            logger.error(
                "webhooks are given up: the receiver has not taken them in time",
                metadata: ["events": "\(events)", "from": "\(first)"]
            )
        case .gone:
            logger.error(
                "the receiver wants no more webhooks (410): none are sent until this process starts anew"
            )
        case .logFailed(.corrupt(let reason)):
            logger.error("presence events cannot be read", metadata: ["reason": "\(reason)"])
        case .logFailed(let error):
            logger.warning("presence events cannot be read", metadata: ["reason": "\(error)"])
        case .logAnswers: logger.info("presence events are read again")
        }
    }
}

extension WebhookOutcome: CustomStringConvertible {
    var description: String {
        switch self {
        case .accepted: "accepted"
        case .gone: "status 410"
        case .refused(let status, _): "status \(status)"
        case .failed(let reason): reason
        }
    }
}
