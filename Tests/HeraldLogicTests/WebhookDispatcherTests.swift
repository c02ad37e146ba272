import HeraldCore
import HeraldTesting
import HeraldWire
import Logging
import NIOPosix
import ServiceLifecycle
import Testing

@testable import HeraldLogic

/// Log, dispatcher and a real receiver. Pauses are short here; what they are is the state machine's to show.
struct WebhookDispatcherTests {
    private typealias Log = MemoryPresenceLog<ContinuousClock>
    private typealias Core = WebhookDispatcherCore<Log, HTTPWebhookTransport, ContinuousClock>

    private static let secret = "0123456789abcdef"

    private let log = Log(clock: ContinuousClock())

    private func core(
        _ port: Int,
        _ holder: String = "logic-1",
        _ change: (inout WebhookRules) -> Void = { _ in }
    ) throws -> Core {
        var rules = WebhookRules()
        rules.stepMin = .milliseconds(20)
        rules.stepMax = .milliseconds(100)
        rules.holdInterval = .milliseconds(50)
        rules.logPause = .milliseconds(20)
        rules.readWait = .milliseconds(200)
        change(&rules)
        var configuration = WebhookConfiguration(
            url: try WebhookURL("http://127.0.0.1:\(port)/hook"),
            secret: try WebhookSecret(Self.secret)
        )
        configuration.allowsPrivate = true
        return Core(
            rules: rules,
            secret: configuration.secret,
            log: log,
            transport: try HTTPWebhookTransport(configuration, loops: MultiThreadedEventLoopGroup.singleton),
            holder: holder,
            clock: ContinuousClock(),
            logger: .silent
        )
    }

    /// Runs a dispatcher while the body runs, once it has the hold; then stops it gracefully.
    private func running(
        _ core: Core,
        _ holder: String = "logic-1",
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withDeadline(.seconds(30)) {
            let group = ServiceGroup(services: [Runner(core: core)], logger: .silent)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                do {
                    try await eventually("the hold") { log.holder(of: "webhooks") == holder }
                    try await body()
                } catch {
                    await group.triggerGracefulShutdown()
                    throw error
                }
                await group.triggerGracefulShutdown()
                try await tasks.waitForAll()
            }
        }
    }

    private struct Runner: Service {
        let core: Core
        func run() async throws { await core.run() }
    }

    @discardableResult
    private func append(_ user: String, _ count: Int = 1) throws -> [PresenceEvent] {
        let name = try UserKey("\(user)/phone")
        return (0..<count).map { _ in log.append(of: name, at: WallClock.now) }
    }

    private func events(_ requests: [WebhookReceiver.Request]) throws -> [PresenceEvent] {
        try requests.flatMap { try PresenceJSON.decode(batch: $0.body) }
    }

    // MARK: the good way

    @Test func `events reach the receiver signed, in order, and are acknowledged`() async throws {
        try await WebhookReceiver.serving { receiver, port in
            let core = try core(port)
            try await running(core) {
                let alice = try append("alice", 3)
                try await eventually("all are taken") { core.counters.eventsSent == 3 }
                try await eventually("all are acknowledged") { log.pending(in: "webhooks").isEmpty }
                #expect(try events(receiver.requests) == alice)
                let bob = try append("bob", 250)
                try await eventually("all are taken") { core.counters.eventsSent == 253 }
                try await eventually("all are acknowledged") { core.counters.oldest == nil }
                let all = try events(receiver.requests)
                #expect(all.filter { $0.name.user.description == "bob" } == bob)
                #expect(receiver.requests.allSatisfy { $0.body.count < 100 * 400 })
            }
            let secret = try WebhookSecret(Self.secret)
            for request in receiver.requests {
                let signature = request.field("Herald-Signature")
                let seconds = try #require(UInt64(signature.dropFirst(2).prefix { $0 != "," }))
                #expect(signature == secret.signature(of: request.body, seconds: seconds))
                #expect(try request.field("Herald-Delivery") == events([request]).first?.id.description)
            }
            #expect(log.holder(of: "webhooks") == nil)
        }
    }

    @Test func `metrics tell what was done and how far behind it is`() {
        var counters = WebhookCounters()
        counters.eventsSent = 7
        counters.batchesRetried = 2
        counters.eventsGivenUp = 1
        counters.isHolding = true
        counters.oldest = RedisTime(milliseconds: 1000)
        var metrics = MetricsText(pipeline: PipelineCounters(), waiting: 0, requests: RequestCounters())
        metrics.add(counters, at: RedisTime(milliseconds: 3500))
        let lines = Set(metrics.text.split(separator: "\n"))
        for line in [
            "events_total 7", "batches_retried_total 2", "events_given_up_total 1", "lag_milliseconds 2500",
            "holding 1", "gone 0",
        ] {
            #expect(lines.contains("herald_logic_webhook_\(line)"))
        }
        // An event of a Redis whose clock is ahead is not older than new.
        counters.oldest = RedisTime(milliseconds: 9000)
        metrics.add(counters, at: RedisTime(milliseconds: 3500))
        #expect(metrics.text.contains("webhook_lag_milliseconds 0\n"))
    }

    // MARK: failures

    @Test func `a batch that fails in every way comes again as it was, before what follows`() async throws {
        let replies: [WebhookReceiver.Reply] = [
            .status(500), .breakOff, .close, .status(503, fields: ["Retry-After: 0"]), .silence,
            .status(301, fields: ["Location: http://169.254.169.254/"]),
        ]
        try await WebhookReceiver.serving { number, _ in
            number < replies.count ? replies[number] : .status(200)
        } _: { receiver, port in
            let core = try core(port) { $0.requestTimeout = .milliseconds(300) }
            try await running(core) {
                log.readGate.close()
                await log.readGate.waitUntilWaiting()
                let first = try append("alice", 2)
                log.readGate.open()
                _ = await receiver.next(1)
                let second = try append("alice", 2)
                try await eventually("all are taken") { core.counters.eventsSent == 4 }
                let requests = receiver.requests
                #expect(requests.count == replies.count + 2)
                for request in requests.dropLast() { #expect(try events([request]) == first) }
                #expect(try events([requests[requests.count - 1]]) == second)
                // What broke on the kept connection went again at once, without a pause.
                #expect(core.counters.batchesRetried == replies.count - 1)
            }
        }
    }

    @Test func `a receiver that is gone is left alone, and the hold is given back`() async throws {
        try await WebhookReceiver.serving { _, _ in
            .status(410)
        } _: { receiver, port in
            let core = try core(port)
            try await withDeadline(.seconds(30)) {
                async let end: Void = core.run()
                try await eventually("the hold") { log.holder(of: "webhooks") != nil }
                let events = try append("alice")
                await end
                #expect(core.counters.isGone && !core.counters.isHolding)
                #expect(log.holder(of: "webhooks") == nil)
                #expect(log.pending(in: "webhooks") == Set(events.map(\.id)))
                #expect(receiver.requests.count == 1)
            }
        }
    }

    @Test func `what is too old is given up, counted and acknowledged`() async throws {
        try await WebhookReceiver.serving { _, request in
            request.text.contains("alice") ? .status(500) : .status(200)
        } _: { _, port in
            let core = try core(port) { $0.giveUpAfter = .milliseconds(500) }
            try await running(core) {
                try append("alice", 2)
                try append("bob")
                try await eventually("given up") { core.counters.eventsGivenUp == 2 }
                try await eventually("acknowledged") { log.pending(in: "webhooks").isEmpty }
                #expect(core.counters.eventsSent == 1 && core.counters.batchesGivenUp == 1)
                #expect(core.counters.batchesRetried > 0)
            }
        }
    }

    @Test func `events whose reading was lost on the way are sent all the same`() async throws {
        try await WebhookReceiver.serving { receiver, port in
            let core = try core(port)
            try await running(core) {
                let first = try append("alice")
                _ = await receiver.next(1)
                log.loseNextRead()
                let second = try append("alice", 2)
                try await eventually("all are taken") { core.counters.eventsSent >= 3 }
                let third = try append("alice")
                try await eventually("all are taken") { core.counters.eventsSent >= 4 }
                #expect(try events(receiver.requests) == first + second + third)
            }
        }
    }

    @Test func `a log that is away and comes back costs nothing but time`() async throws {
        try await WebhookReceiver.serving { receiver, port in
            let core = try core(port)
            try await running(core) {
                let first = try append("alice")
                _ = await receiver.next(1)
                log.isUnavailable = true
                let second = try append("alice")
                let reads = log.reads.count
                try await eventually("reads fail") { log.reads.count > reads + 1 }
                log.isUnavailable = false
                try await eventually("all are taken") { core.counters.eventsSent == 2 }
                #expect(try events(receiver.requests) == first + second)
            }
        }
    }

    @Test func `after a log lost everything, nothing that comes since is missed`() async throws {
        try await WebhookReceiver.serving { receiver, port in
            let core = try core(port)
            try await running(core) {
                try append("alice")
                _ = await receiver.next(1)
                log.forget()
                let after = try append("alice")
                try await eventually("it is taken") { core.counters.eventsSent == 2 }
                #expect(try events(receiver.requests).last == after.last)
            }
        }
    }

    // MARK: more than one process

    @Test func `one process sends at a time`() async throws {
        try await WebhookReceiver.serving { receiver, port in
            let (one, other) = (try core(port), try core(port, "logic-2"))
            try await running(one) {
                async let _ = other.run()
                try await eventually("both want to") { log.askers == ["logic-1", "logic-2"] }
                let events = try append("alice", 5)
                try await eventually("all are taken") { one.counters.eventsSent == 5 }
                #expect(try self.events(receiver.requests) == events)
                #expect(!other.counters.isHolding && other.counters.eventsSent == 0)
            }
        }
    }

    @Test func `who takes over from one that died mid-batch sends the batch again, then what follows`()
        async throws
    {
        try await WebhookReceiver.serving { number, _ in
            number == 0 ? .silence : .status(200)
        } _: { receiver, port in
            let dying = try core(port) { $0.hold = .milliseconds(1500) }
            let (first, second) = try await withDeadline(.seconds(30)) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { await dying.run() }
                    try await eventually("the hold") { log.holder(of: "webhooks") == "logic-1" }
                    let first = try append("alice", 3)
                    _ = await receiver.next(1)
                    let second = try append("alice", 3)
                    try await eventually("all are read") { log.pending(in: "webhooks").count == 6 }
                    group.cancelAll()
                    return (first, second)
                }
            }
            // It ended without giving anything back, as one that was killed does.
            #expect(log.holder(of: "webhooks") == "logic-1")
            let heir = try core(port, "logic-2")
            try await running(heir, "logic-2") {
                try await eventually("all are taken") { heir.counters.eventsSent == 6 }
                let third = try append("alice")
                try await eventually("all are taken") { heir.counters.eventsSent == 7 }
                let sent = try events(receiver.requests)
                let begun = try events([receiver.requests[0]])
                #expect(first.starts(with: begun))
                #expect(Array(sent.dropFirst(begun.count)) == first + second + third)
            }
            #expect(log.pending(in: "webhooks").isEmpty)
        }
    }

    @Test func `a stop lets what is under way finish, and its events are not sent again`() async throws {
        try await WebhookReceiver.serving { receiver, port in
            let group = ServiceGroup(services: [Runner(core: try core(port))], logger: .silent)
            log.acknowledgeGate.close()
            try await withDeadline(.seconds(30)) {
                try await withThrowingTaskGroup(of: Void.self) { tasks in
                    tasks.addTask { try await group.run() }
                    try await eventually("the hold") { log.holder(of: "webhooks") != nil }
                    try append("alice")
                    await log.acknowledgeGate.waitUntilWaiting()
                    await group.triggerGracefulShutdown()
                    #expect(log.holder(of: "webhooks") == "logic-1")
                    log.acknowledgeGate.open()
                    try await tasks.waitForAll()
                }
            }
            #expect(log.pending(in: "webhooks").isEmpty && receiver.requests.count == 1)
            #expect(log.holder(of: "webhooks") == nil)
        }
    }
}
