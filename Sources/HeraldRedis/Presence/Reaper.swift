// Tells the departures that nobody else is there to tell.
//
// A connection's own node tells its end to Redis, and whoever changes a route writes the event in the same step. Two
// things are left over: departures whose grace runs out, and the connections of a node that died. For these every
// process of the system runs a reaper, and one of them acts.
//
// The dead node's connections are found in its own index in Redis: a set for each partition with a name for each
// mapping. A script walks it page by page, ends each mapping and writes its event in one step, so that a reaper that
// dies in the middle loses nothing and tells nothing twice. Considered and left: keyspace notifications of expired
// keys (fire and forget; LESSONS.md, row 25), and a sweep over all users (500 times the work for one node in 500).
//
// Between two pages it waits as long as the page took, so that it never has more than half of Redis, and nobody waits
// longer than for one page.

public import HeraldCore
public import Logging
public import ServiceLifecycle
import Synchronization

/// Ends what dead nodes left behind, and tells departures when their grace is over.
///
/// Run one in every logic and cloud process whose rules say that events are written.
public final class Reaper: Service {
    private let link: RedisLink
    private let keys: RedisKeys
    private let rules: PresenceRules
    private let leaseTTL: Duration
    private let logger: Logger
    private let name: String
    private let board = Mutex(Counts())

    /// What it does, for metrics.
    public struct Counts: Hashable, Sendable {
        /// Whether this process has the role.
        public var isActing = false
        /// Whether it has heard from Redis for long enough to call a node dead.
        public var isTrusting = false
        /// Dead incarnations whose connections it ended.
        public var fenced: UInt64 = 0
        /// Events `disconnected` that it wrote.
        public var told: UInt64 = 0
        /// How late the oldest departure was that the last settlement told.
        public var lag: Duration = .zero

        public init() {}
    }

    /// What the loop owns.
    private struct Work {
        var plan = WalkPlan()
        /// The last refusal that was logged: the next round is half a second away, and refused as well.
        var complaint = ""
    }

    /// Names or departures of one script call: about a millisecond of Redis.
    private static let pageMax = 100
    /// Departures that one partition settles at a time: all sixteen are one turn of some milliseconds.
    private static let settledMax = 50
    /// How long one round works before it shows a sign of life.
    private static let roundMax: Duration = .milliseconds(400)
    /// Pages of live incarnations in one round: 4,000 names a second.
    private static let livePagesMax = 20

    /// - Parameters:
    ///   - link: run by somebody else; may be shared.
    ///   - prefix: goes before every key's name.
    ///   - rules: the same for all processes of a system.
    ///   - leaseTTL: how long the nodes' leases live without renewal.
    ///   - logger: hears of changes of the role and of dead nodes.
    public init(
        link: RedisLink,
        prefix: String = "herald:",
        rules: PresenceRules = .standard,
        leaseTTL: Duration = Limits.standard.leaseTTL,
        logger: Logger = Logger(label: "herald.reaper")
    ) {
        self.link = link
        keys = RedisKeys(prefix: prefix)
        self.rules = rules
        self.leaseTTL = leaseTTL
        self.logger = logger
        name = "reaper-" + String(UInt64.random(in: 1 ... .max), radix: 36)
    }

    /// What it did so far. May be asked from anywhere.
    public var counts: Counts { board.withLock { $0 } }

    /// Works until the service is shut down or the task is cancelled, and gives the role back then.
    public func run() async throws {
        await cancelWhenGracefulShutdown { await self.reap() }
        guard counts.isActing else { return }
        // A task of its own, waited for here: this one may be cancelled, and could not ask Redis for anything.
        let releasing = Task { await self.release() }
        await releasing.value
    }

    private func reap() async {
        // The nodes take new leases within a renewal, and carry their routes over within seconds.
        let times = ReaperStateMachine.Rules(trustAfter: leaseTTL * 2)
        var machine = ReaperStateMachine(times, at: .now)
        var work = Work()
        while !Task.isCancelled {
            let now = Moment.now
            let step = machine.nextStep(at: now)
            do throws(RedisError) {
                switch step {
                case .wait(let until):
                    let jitter = Duration.milliseconds(Int.random(in: 0...50))
                    try? await Task.sleep(for: .nanoseconds(until.nanoseconds - now.nanoseconds) + jitter)
                case .look:
                    let isFree =
                        try await link.send(RedisCommand("EXISTS", .text(keys.reaper))) == .integer(0)
                    machine.looked(isFree: isFree, at: .now, connection: link.status.connections)
                case .hold:
                    let isOurs = try await hold(for: times.role)
                    machine.holdAnswered(isOurs: isOurs, at: .now, connection: link.status.connections)
                case .release:
                    await release()
                    machine.released(at: .now)
                    work.plan.forget()
                case .work(let judges):
                    let hasMore = try await round(&work, judges: judges)
                    machine.worked(hasMore: hasMore, at: .now, connection: link.status.connections)
                }
            } catch {
                machine.failed(at: .now)
                complain(error, &work)
            }
            note(machine.isActing, machine.isTrusting(at: .now), work)
        }
    }

    private func note(_ isActing: Bool, _ isTrusting: Bool, _ work: borrowing Work) {
        let fenced = work.plan.fenced
        let hasChanged = board.withLock { counts in
            defer {
                counts.isActing = isActing
                counts.isTrusting = isTrusting
                counts.fenced = fenced
            }
            return counts.isActing != isActing
        }
        guard hasChanged else { return }
        logger.info(
            "The reaper's role changed",
            metadata: ["acting": "\(isActing)", "trusting": "\(isTrusting)"]
        )
    }

    private func complain(_ error: RedisError, _ work: inout Work) {
        let reason = error.description
        guard error.code == .replied, !error.mayRetry else {
            logger.debug("The reaper was not answered", metadata: ["reason": "\(reason)"])
            return
        }
        guard reason != work.complaint else { return }
        work.complaint = reason
        logger.warning("The reaper is refused by Redis", metadata: ["reason": "\(reason)"])
    }

    // MARK: The role

    private func hold(for duration: Duration) async throws(RedisError) -> Bool {
        let milliseconds = RedisArgument.integer(duration.wholeMilliseconds)
        let call = RedisScript.hold.call(keys: [keys.reaper], [.text(name), milliseconds])
        return try await link.send(call) == .integer(1)
    }

    /// It lapses by itself when this fails.
    private func release() async {
        do throws(RedisError) {
            _ = try await hold(for: .zero)
        } catch {
            logger.debug("The reaper's role could not be given back", metadata: ["reason": "\(error)"])
        }
    }
}

// MARK: Working

extension Reaper {
    /// Some of what is to be done.
    ///
    /// - Returns: whether there is more that need not wait.
    private func round(_ work: inout Work, judges: Bool) async throws(RedisError) -> Bool {
        let end = ContinuousClock.now + Self.roundMax
        var hasMore = try await settle(until: end)
        guard judges else { return hasMore }
        try await list(&work.plan)
        var pagesLeft = Self.livePagesMax
        while ContinuousClock.now < end, let page = work.plan.next() {
            if page.verdict == .live {
                pagesLeft -= 1
                if pagesLeft < 0 {
                    work.plan.putBack(page)
                    break
                }
            }
            try await walk(page, &work.plan)
        }
        hasMore = hasMore || work.plan.hasDead
        return hasMore
    }

    /// Tells the departures whose grace is over.
    ///
    /// - Returns: whether more are due.
    private func settle(until end: ContinuousClock.Instant) async throws(RedisError) -> Bool {
        while true {
            let asked = ContinuousClock.now
            let replies = try await link.send(
                (0..<PresencePartition.count).map { partition in
                    RedisScript.presenceSettle.call(
                        keys: [keys.users] + keys.presence(partition),
                        [.integer(Int64(Self.settledMax)), eventsKept]
                    )
                }
            )
            var hasMore = false
            var lag: Int64 = 0
            var told: Int64 = 0
            for reply in replies {
                let words = try answer(reply, "settlement", words: 3)
                hasMore = hasMore || (words[0].number ?? 0) >= Int64(Self.settledMax)
                told += words[1].number ?? 0
                lag = max(lag, words[2].number ?? 0)
            }
            board.withLock { counts in
                counts.told += UInt64(max(0, told))
                counts.lag = .milliseconds(lag)
            }
            guard hasMore, ContinuousClock.now < end else { return hasMore }
            await rest(since: asked)
        }
    }

    /// Reads which incarnations there are, and which of them hold a lease.
    private func list(_ plan: inout WalkPlan) async throws(RedisError) {
        let range = RedisCommand("ZRANGE", .text(keys.incarnations), 0, -1, "WITHSCORES")
        let replies = try await link.send([RedisCommand("TIME"), range])
        guard let now = RouteText.time(replies[0]), let words = replies[1].elements else {
            throw RedisError(.protocolViolated, "the list of incarnations is none")
        }
        var listed: [(name: String, deadline: RedisTime, isLive: Bool)] = []
        for index in stride(from: 0, to: words.count - 1, by: 2) {
            guard let name = words[index].text, case .string(let score) = words[index + 1],
                let deadline = RouteText.number(score)
            else { continue }
            listed.append((name, RedisTime(milliseconds: deadline), deadline > now.milliseconds))
        }
        // The list may lag behind the lease, which is the truth.
        let lapsed = listed.indices.filter { !listed[$0].isLive }
        let leases = try await link.send(lapsed.map { lease(of: listed[$0].name) })
        for (index, reply) in zip(lapsed, leases) {
            guard let words = reply.elements, words.count == 2, let incarnation = words[0].text,
                listed[index].name.hasSuffix("#\(incarnation)"),
                let deadline = words[1].number.map({ RedisTime(milliseconds: UInt64(clamping: $0)) })
            else { continue }
            listed[index].deadline = max(listed[index].deadline, deadline)
            listed[index].isLive = deadline > now
        }
        let over = plan.update(listed, at: .now, now)
        guard !over.isEmpty else { return }
        let names = over.map { RedisArgument.text($0) }
        _ = try await link.send(RedisCommand("ZREM", arguments: [.text(keys.incarnations)] + names))
    }

    private func lease(of name: String) -> RedisCommand {
        let node = name.prefix { $0 != "#" }
        return RedisCommand("HMGET", .text("\(keys.prefix)node:{\(node)}"), "incarnation", "deadline")
    }

    private func walk(_ page: WalkPlan.Page, _ plan: inout WalkPlan) async throws(RedisError) {
        let asked = ContinuousClock.now
        let words: [RedisValue]
        do throws(RedisError) {
            words = try answer(try await link.send(call(page)), "walk", words: 4)
        } catch {
            plan.putBack(page)
            throw error
        }
        if plan.answered(page, next: words[0].text ?? "0", departed: words[2].number ?? 0) {
            logger.info("A dead node's connections depart", metadata: ["incarnation": "\(page.incarnation)"])
        }
        let told = UInt64(max(0, words[3].number ?? 0))
        board.withLock { $0.told += told }
        await rest(since: asked)
    }

    private func call(_ page: WalkPlan.Page) -> RedisCommand {
        let (word, milliseconds) =
            switch page.verdict {
            // Its last sign of life was its last renewal: the grace counts from there.
            case .dead(let deadline):
                ("dead", Int64(clamping: deadline.milliseconds) - (leaseTTL - rules.grace).wholeMilliseconds)
            // After an absence of Redis the renewals take as long as trust does.
            case .live: ("live", (leaseTTL * 2).wholeMilliseconds)
            }
        return RedisScript.presenceWalk.call(
            keys: [keys.users] + keys.presence(page.partition),
            [
                .text(page.incarnation), .text(word), .integer(milliseconds), .text(page.cursor),
                .integer(Int64(Self.pageMax)), eventsKept,
            ]
        )
    }

    /// Leaves Redis to others for as long as it was taken, between one and twenty milliseconds.
    private func rest(since asked: ContinuousClock.Instant) async {
        let taken = ContinuousClock.now - asked
        try? await Task.sleep(for: min(.milliseconds(20), max(.milliseconds(1), taken)))
    }

    private var eventsKept: RedisArgument { rules.eventsKept }

    private func answer(
        _ reply: RedisValue,
        _ what: String,
        words count: Int
    ) throws(RedisError) -> [RedisValue] {
        if let words = reply.elements, words.count == count { return words }
        throw RedisError(.replied, "Redis refuses a \(what) of presence", cause: reply.failure)
    }
}
