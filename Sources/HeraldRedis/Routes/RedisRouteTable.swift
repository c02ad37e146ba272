// The route table on Redis. What may be written is decided in the scripts, by Redis's clock, in one slot each;
// this type packs questions into one pipelined turn and reads the answers.
//
// Reading is plain HGETALL, HGET and ZRANGE beside one TIME: three times cheaper for Redis than a script that
// would filter there, and what is over can be judged here as well. Whether a route's node is alive is judged by
// cached leases (`NodeLeaseCache`), so that a look-up is one round trip; a second one is needed only when a route
// names a node, or a run of it, that the cache does not know.

public import HeraldCore
public import Logging
import Synchronization

/// Routes, rooms and leases in Redis.
///
/// Errors: `unavailable` (retry) when the link is down, slow or full, or when Redis passes through a bad moment;
/// `corrupt` when it refuses a command for good. Nothing is retried in here except `register`.
public final class RedisRouteTable: RouteTable {
    let link: RedisLink
    let keys: RedisKeys
    let rules: PresenceRules
    let leaseTTL: Duration
    let logger: Logger
    let state = Mutex(State())

    struct State {
        var cache = NodeLeaseCache()
        var clock = RedisClockEstimate()
        /// The last incarnation that each node registered here was given; usually one node.
        var given: [NodeID: Incarnation] = [:]
        var presence = PresenceCounts()
    }

    /// What was decided about users' connections through this table.
    public struct PresenceCounts: Hashable, Sendable {
        /// Keys that were back within their grace, so that nothing was told of them.
        public var returns: UInt64 = 0
        /// Connections that lost their mapping because their user has too many.
        public var evicted: UInt64 = 0
        /// Mappings of dead nodes that were ended because they took a user's room.
        public var ghostsPruned: UInt64 = 0
    }

    /// A table over a link that somebody else runs.
    ///
    /// - Parameters:
    ///   - link: carries the commands; may be shared.
    ///   - prefix: goes before every key's name.
    ///   - rules: the same for all processes of a system, those that only look up included.
    ///   - leaseTTL: how long the nodes' leases live without renewal.
    ///   - logger: hears of keys that are not Herald's.
    public init(
        link: RedisLink,
        prefix: String = "herald:",
        rules: PresenceRules = .standard,
        leaseTTL: Duration = Limits.standard.leaseTTL,
        logger: Logger = Logger(label: "herald.routes")
    ) {
        self.link = link
        keys = RedisKeys(prefix: prefix)
        self.rules = rules
        self.leaseTTL = leaseTTL
        self.logger = logger
    }

    /// What was decided about users' connections so far. May be asked from anywhere.
    public var presence: PresenceCounts { state.withLock { $0.presence } }

    // MARK: Routes

    public func bind(
        _ binds: [Bind],
        for duration: Duration
    ) async throws(RouteTableError) -> [BindOutcome] {
        let connection = link.status.connections
        let clock = try await clock(of: connection)
        func command(_ bind: Bind, makesRoom: Bool) -> RedisCommand {
            RedisScript.routeBind.call(
                keys: scriptKeys(bind.name.user),
                [
                    .text(bind.name.user.description), .text(bind.name.key.description),
                    .text(bind.session.node.description), .text(bind.session.incarnation.description),
                    .text(String(bind.session.counter)), .integer(duration.wholeMilliseconds),
                    Self.accepted(clock?.lowerBound, bind.age), Self.accepted(clock?.upperBound, bind.age),
                    .integer(Int64(rules.connectionsPerUserMax)), makesRoom ? 1 : 0, eventsKept,
                ]
            )
        }
        var replies = try await send(binds.map { command($0, makesRoom: false) })
        let makesRoom = rules.whenFull == .closeOldest
        try await makeRoom(for: binds.map(\.name.user), in: &replies, asksAgain: makesRoom) { index in
            command(binds[index], makesRoom: makesRoom)
        }
        var outcomes: [BindOutcome] = []
        outcomes.reserveCapacity(replies.count)
        for (bind, reply) in zip(binds, replies) { outcomes.append(try outcome(of: bind, reply)) }
        // They may have waited for another master, and been judged there by the clock of the one before.
        if link.status.connections != connection, outcomes.contains(.refused) {
            throw .unavailable("the connection changed while binds were under way")
        }
        return outcomes
    }

    /// What Redis's clock shows now; asked for when no reading is good enough.
    private func clock(of connection: Int) async throws(RouteTableError) -> ClosedRange<RedisTime>? {
        let known = state.withLock { $0.clock.time(now: .now, connection: connection) }
        if let known { return known }
        let asked = Moment.now
        let replies = try await send([RedisCommand("TIME")])
        guard let time = RouteText.time(replies[0]) else { throw corrupt("TIME", replies[0]) }
        note(time, asked: asked)
        return state.withLock { $0.clock.time(now: .now, connection: connection) }
    }

    private static func accepted(_ now: RedisTime?, _ age: Duration) -> RedisArgument {
        guard let now else { return 0 }
        return .integer(max(1, Int64(clamping: now.milliseconds) - age.wholeMilliseconds))
    }

    private func outcome(of bind: Bind, _ reply: RedisValue) throws(RouteTableError) -> BindOutcome {
        switch reply {
        case .null:
            return .refused
        case .array(let words):
            if FullUser(bind.name.user, reply) != nil { return .full }
            guard words.count >= 4, let epoch = words[0].number, let expires = words[1].number,
                let replaced = words[2].text, let returns = words[3].number
            else { throw corrupt("bind of \(bind.name)", reply) }
            let route = Route(
                name: bind.name,
                session: bind.session,
                epoch: Epoch(UInt64(clamping: epoch)),
                expires: RedisTime(milliseconds: UInt64(clamping: expires))
            )
            let evicted = CountedMapping.read(bind.name.user, words.dropFirst(4)).map(\.route)
            state.withLock { state in
                state.presence.returns += UInt64(clamping: returns)
                state.presence.evicted += UInt64(evicted.count)
            }
            return .bound(route, replaced: SessionID(replaced), evicted: evicted)
        case .error(let error) where isForeign(error, bind.name):
            return .unusable
        case .string, .status, .integer, .error:
            throw corrupt("bind of \(bind.name)", reply)
        }
    }

    public func renew(
        _ routes: [Route],
        for duration: Duration
    ) async throws(RouteTableError) -> [RenewOutcome] {
        func command(_ route: Route) -> RedisCommand {
            RedisScript.routeRenew.call(
                keys: scriptKeys(route.name.user),
                [
                    .text(route.name.user.description), .text(route.name.key.description),
                    .text(route.session.description), .text(route.epoch.description),
                    .integer(duration.wholeMilliseconds), .integer(Int64(rules.connectionsPerUserMax)),
                    eventsKept,
                ]
            )
        }
        var replies = try await send(routes.map(command))
        try await makeRoom(for: routes.map(\.name.user), in: &replies, asksAgain: false) { index in
            command(routes[index])
        }
        var outcomes: [RenewOutcome] = []
        outcomes.reserveCapacity(replies.count)
        for (route, reply) in zip(routes, replies) {
            switch reply {
            case .integer(let expires):
                outcomes.append(.renewed(expires: RedisTime(milliseconds: UInt64(clamping: expires))))
            case .null:
                outcomes.append(.refused)
            case .array where FullUser(route.name.user, reply) != nil:
                outcomes.append(.refused)
            case .error(let error) where isForeign(error, route.name):
                outcomes.append(.unusable)
            case .string, .status, .array, .error:
                throw corrupt("renewal of \(route.name)", reply)
            }
        }
        return outcomes
    }

    public func unbind(_ departures: [Departure]) async throws(RouteTableError) -> [Bool] {
        let replies = try await send(
            departures.map { departure in
                let route = departure.route
                return RedisScript.routeUnbind.call(
                    keys: scriptKeys(route.name.user),
                    [
                        .text(route.name.user.description), .text(route.name.key.description),
                        .text(route.session.description), .text(route.epoch.description),
                        .integer(grace(of: departure.reason).wholeMilliseconds),
                        .text(departure.reason.rawValue), eventsKept,
                    ]
                )
            }
        )
        var removed: [Bool] = []
        removed.reserveCapacity(replies.count)
        for (route, reply) in zip(departures.map(\.route), replies) {
            switch reply {
            case .integer(let count):
                removed.append(count == 1)
            case .error(let error) where isForeign(error, route.name):
                removed.append(false)
            case .string, .status, .array, .null, .error:
                throw corrupt("unbind of \(route.name)", reply)
            }
        }
        return removed
    }

    /// Who was sent away by us does not come back within a moment, as the same.
    private func grace(of reason: DisconnectReason) -> Duration {
        switch reason {
        case .evicted, .kicked: .zero
        case .closed, .timeout, .slow, .violation, .stopping, .nodeLost, .lapsed: rules.grace
        }
    }
}

// MARK: Asking Redis

extension RedisRouteTable {
    /// The keys of a script that changes a user's routes. Events are written by whichever gets the keys for it.
    func scriptKeys(_ user: UserID) -> [String] {
        guard rules.eventsAreWritten else { return [keys.user(user)] }
        return [keys.user(user)] + keys.presence(PresencePartition.of(user))
    }

    var eventsKept: RedisArgument { rules.eventsKept }

    /// One turn on the wire.
    func send(_ commands: [RedisCommand]) async throws(RouteTableError) -> [RedisValue] {
        let replies: [RedisValue]
        do throws(RedisError) {
            replies = try await link.send(commands)
        } catch {
            throw .unavailable(error.description)
        }
        for case .error(let error) in replies where error.isPassing { throw .unavailable(error.description) }
        return replies
    }

    /// Whether somebody else uses this key: one such must not fail the whole call.
    private func isForeign(_ error: RedisReplyError, _ name: UserKey) -> Bool {
        guard error.code == "WRONGTYPE" else { return false }
        logger.warning("a key is not Herald's", metadata: ["key": "\(keys.user(name.user))"])
        return true
    }

    func corrupt(_ what: String, _ reply: RedisValue) -> RouteTableError {
        .corrupt("\(what): \(reply.failure?.description ?? "an answer of another shape")")
    }

    /// Remembers a time that Redis just told.
    func note(_ time: RedisTime, asked: Moment) {
        let connection = link.status.connections
        let heard = Moment.now
        state.withLock { $0.clock.read(time, asked: asked, heard: heard, connection: connection) }
    }
}

extension PresenceRules {
    /// How many events one partition keeps, as the scripts take it.
    var eventsKept: RedisArgument {
        .integer(Int64(max(1, eventsKeptMax / PresencePartition.count)))
    }
}
