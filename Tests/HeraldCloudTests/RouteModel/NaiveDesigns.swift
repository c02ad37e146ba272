import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

/// How routes are kept: what Redis makes of a command.
enum RouteDesign: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case herald = "Herald"
    /// As Herald, but the accept is stamped when the call is made: a bind tried again looks fresh.
    case stampedAtCall = "accept stamped at the call"
    case plain = "SET, DEL"
    case deleteIfMine = "SET, delete if mine"
    case expireOnly = "newest wins, EXPIRE"
    case nodeClocks = "epoch from node clocks"
    case counter = "epoch from INCR"

    var testDescription: String { rawValue }

    func perform(_ command: ModelCommand, on redis: inout ModelRedis, in place: ModelPlace) -> ModelReply {
        let now = place.redisTime
        switch command.call {
        case .bind(let session, let incarnation):
            let bind = Bind(
                name: ModelPlace.name,
                session: place.session(command.node, incarnation, session.counter)
            )
            return .bind(self.bind(bind, command, on: &redis, at: now))
        case .renew(let mapping):
            return .renew(renew(place.route(command.node, mapping), on: &redis, at: now))
        case .unbind(let mapping):
            guard self == .plain else {
                return .unbound(redis.record.unbind(place.route(command.node, mapping), at: now))
            }
            redis.record.stored = nil
            return .unbound(true)
        case .find:
            return .found(place.found(redis))
        }
    }

    private func bind(
        _ bind: Bind,
        _ command: ModelCommand,
        on redis: inout ModelRedis,
        at now: RedisTime
    ) -> BindOutcome {
        switch self {
        case .herald, .expireOnly:
            let accepted = ModelPlace.redisTime(command.accepted)
            return redis.record.bind(bind, accepted: accepted...accepted, for: ModelPlace.ttl, at: now)
        case .stampedAtCall:
            let made = ModelPlace.redisTime(command.made)
            return redis.record.bind(bind, accepted: made...made, for: ModelPlace.ttl, at: now)
        case .plain, .deleteIfMine:
            return write(bind, epoch: 0, on: &redis, at: now)
        case .nodeClocks:
            // The first node's clock is five seconds ahead.
            let ahead = command.node == 0 ? 5000 : 0
            return writeIfNewer(
                bind,
                epoch: UInt64(command.accepted.milliseconds) + UInt64(ahead),
                on: &redis,
                at: now
            )
        case .counter:
            redis.counter += 1
            return writeIfNewer(bind, epoch: redis.counter, on: &redis, at: now)
        }
    }

    private func renew(_ route: Route, on redis: inout ModelRedis, at now: RedisTime) -> RenewOutcome {
        switch self {
        case .herald, .stampedAtCall, .nodeClocks, .counter:
            return redis.record.renew(route, for: ModelPlace.ttl, at: now)
        case .deleteIfMine:
            redis.record.stored = route
        case .plain:
            if redis.record.stored == nil { redis.record.stored = route }
            redis.record.stored?.expires = now + ModelPlace.ttl
        case .expireOnly:
            redis.record.stored?.expires = now + ModelPlace.ttl
        }
        return .renewed(expires: now + ModelPlace.ttl)
    }

    private func write(
        _ bind: Bind,
        epoch: UInt64,
        on redis: inout ModelRedis,
        at now: RedisTime
    ) -> BindOutcome {
        let replaced = redis.record.stored?.session
        let route = Route(
            name: bind.name,
            session: bind.session,
            epoch: Epoch(epoch),
            expires: now + ModelPlace.ttl
        )
        redis.record.stored = route
        return .bound(route, replaced: replaced == bind.session ? nil : replaced)
    }

    private func writeIfNewer(
        _ bind: Bind,
        epoch: UInt64,
        on redis: inout ModelRedis,
        at now: RedisTime
    ) -> BindOutcome {
        if let stored = redis.record.stored, stored.session != bind.session, stored.epoch.number >= epoch {
            return .refused
        }
        return write(bind, epoch: epoch, on: &redis, at: now)
    }
}

/// What a node without Herald's care does: each event is a command, at once and whatever else is under way.
///
/// It is not stupid: it asks again when it heard nothing, takes out what was bound for nobody, and closes who was
/// refused or replaced.
struct NaiveLane: ModelLane {
    private var sessions: [Entry] = []
    private var wanted: [KeyLane.Call] = []

    private struct Entry: Hashable {
        var session: KeyLane.Session
        var accepted: Moment
        /// Nil until its bind is answered.
        var mapping: KeyLane.Mapping?
        var isSent = false
    }

    mutating func claimed(_ session: KeyLane.Session, at now: Moment, _ effects: inout [KeyLane.Effect]) {
        for older in sessions { effects.append(.close(older.session.socket, .replaced)) }
        sessions.append(Entry(session: session, accepted: now))
    }

    mutating func closed(_ socket: SocketID, at now: Moment, _ effects: inout [KeyLane.Effect]) {
        guard let index = sessions.firstIndex(where: { $0.session.socket == socket }) else { return }
        if let mapping = sessions.remove(at: index).mapping { wanted.append(.unbind(mapping)) }
    }

    mutating func closeOrdered(counter: UInt64, _ effects: inout [KeyLane.Effect]) {
        for entry in sessions where entry.session.counter == counter {
            effects.append(.close(entry.session.socket, .replaced))
        }
    }

    mutating func renewalDue() {
        for case let mapping? in sessions.map(\.mapping) where !wanted.contains(.renew(mapping)) {
            wanted.append(.renew(mapping))
        }
    }

    mutating func timePassed(to now: Moment, _ effects: inout [KeyLane.Effect]) {}

    mutating func nextCalls(at now: Moment, _ incarnation: Incarnation) -> [KeyLane.Call] {
        var calls = wanted
        wanted = []
        for index in sessions.indices where sessions[index].mapping == nil && !sessions[index].isSent {
            sessions[index].isSent = true
            calls.append(.bind(sessions[index].session, incarnation))
        }
        return calls
    }

    mutating func answered(
        _ call: KeyLane.Call,
        _ reply: ModelReply,
        node: NodeID,
        at now: Moment,
        _ effects: inout [KeyLane.Effect]
    ) {
        switch (call, reply) {
        case (.bind(let session, let incarnation), .bind(.bound(let route, let replaced, _))):
            let mapping = KeyLane.Mapping(
                incarnation: incarnation,
                counter: session.counter,
                epoch: route.epoch
            )
            guard let index = sessions.firstIndex(where: { $0.session == session }) else {
                wanted.append(.unbind(mapping))
                return
            }
            sessions[index].mapping = mapping
            effects.append(.announce(session.socket))
            if let replaced, replaced.node != node { effects.append(.tell(replaced)) }
        case (.bind(let session, _), .bind(.refused)):
            effects.append(.close(session.socket, .replaced))
        case (.renew(let mapping), .renew(.refused)):
            closeOrdered(counter: mapping.counter, &effects)
        default: break
        }
    }

    mutating func failed(_ call: KeyLane.Call, at now: Moment) {
        switch call {
        case .bind(let session, _):
            guard let index = sessions.firstIndex(where: { $0.session == session }) else { return }
            sessions[index].isSent = false
        case .renew(let mapping):
            if sessions.contains(where: { $0.mapping == mapping }) { wanted.append(call) }
        case .unbind, .find: wanted.append(call)
        }
    }

    func accepted(_ call: KeyLane.Call) -> Moment? {
        guard case .bind(let session, _) = call else { return nil }
        return sessions.first { $0.session == session }?.accepted
    }

    var isEmpty: Bool { sessions.isEmpty && wanted.isEmpty }
}
