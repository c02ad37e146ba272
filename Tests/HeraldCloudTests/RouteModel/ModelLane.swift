import HeraldCore
import HeraldTesting

@testable import HeraldCloud
@testable import HeraldSockets

/// What one node does about one key, as the model checker drives it. Herald's is the real `KeyLane`.
protocol ModelLane: Hashable, Sendable {
    init()
    mutating func claimed(_ session: KeyLane.Session, at now: Moment, _ effects: inout [KeyLane.Effect])
    mutating func closed(_ socket: SocketID, at now: Moment, _ effects: inout [KeyLane.Effect])
    mutating func closeOrdered(counter: UInt64, _ effects: inout [KeyLane.Effect])
    mutating func renewalDue()
    mutating func timePassed(to now: Moment, _ effects: inout [KeyLane.Effect])
    /// The calls to make now; each is begun.
    mutating func nextCalls(at now: Moment, _ incarnation: Incarnation) -> [KeyLane.Call]
    mutating func answered(
        _ call: KeyLane.Call,
        _ reply: ModelReply,
        node: NodeID,
        at now: Moment,
        _ effects: inout [KeyLane.Effect]
    )
    mutating func failed(_ call: KeyLane.Call, at now: Moment)
    /// When the session that a bind is for was accepted.
    func accepted(_ call: KeyLane.Call) -> Moment?
    /// Nothing is known of the key.
    var isEmpty: Bool { get }
}

enum ModelReply: Hashable, Sendable {
    case bind(BindOutcome)
    case renew(RenewOutcome)
    case unbound(Bool)
    case found(Route?)
}

/// What is on its way to Redis.
struct ModelCommand: Hashable, Sendable {
    var node: Int
    var call: KeyLane.Call
    /// When the session of a bind was accepted.
    var accepted: Moment
    /// When the call was made.
    var made: Moment
}

/// One key in Redis, and what a failover brings back.
struct ModelRedis: Hashable, Sendable {
    var record = KeyRecord()
    /// Only the design with a counter uses it.
    var counter: UInt64 = 0
}

/// Herald's own: `KeyLane` as it is.
struct HeraldLane: ModelLane {
    private var lane = KeyLane()
    private static let rules = KeyLane.Rules()

    mutating func claimed(_ session: KeyLane.Session, at now: Moment, _ effects: inout [KeyLane.Effect]) {
        lane.claimed(session, at: now, Self.rules, &effects)
    }

    mutating func closed(_ socket: SocketID, at now: Moment, _ effects: inout [KeyLane.Effect]) {
        lane.closed(socket, at: now, Self.rules, &effects)
    }

    mutating func closeOrdered(counter: UInt64, _ effects: inout [KeyLane.Effect]) {
        lane.closeOrdered(counter: counter, code: .replaced, &effects)
    }

    mutating func renewalDue() { lane.renewalDue() }

    mutating func timePassed(to now: Moment, _ effects: inout [KeyLane.Effect]) {
        lane.timePassed(to: now, Self.rules, &effects)
    }

    mutating func nextCalls(at now: Moment, _ incarnation: Incarnation) -> [KeyLane.Call] {
        guard let call = lane.nextCall(at: now, incarnation: incarnation) else { return [] }
        lane.begin(call)
        return [call]
    }

    mutating func answered(
        _ call: KeyLane.Call,
        _ reply: ModelReply,
        node: NodeID,
        at now: Moment,
        _ effects: inout [KeyLane.Effect]
    ) {
        switch reply {
        case .bind(let outcome): lane.bindAnswered(outcome, node: node, at: now, Self.rules, &effects)
        case .renew(let outcome): lane.renewAnswered(outcome, at: now, Self.rules, &effects)
        case .unbound(let wasThere):
            lane.unbindAnswered(wasThere: wasThere, at: now, Self.rules)
        case .found(let route): lane.findAnswered(route, node: node, at: now, Self.rules, &effects)
        }
    }

    mutating func failed(_ call: KeyLane.Call, at now: Moment) { lane.callFailed(at: now, Self.rules) }

    func accepted(_ call: KeyLane.Call) -> Moment? { lane.claim?.since }

    var isEmpty: Bool { lane.isEmpty }
}
