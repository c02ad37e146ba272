import HeraldCore

@testable import HeraldCloud
@testable import HeraldSockets

/// A lane with a clock; `next` begins the call it answers, as the keeper does.
struct KeyLaneTranscript {
    var lane = KeyLane()
    var now = Moment(milliseconds: 0)
    var incarnation = Incarnation(7)
    let rules = KeyLane.Rules()
    let node = NodeID(fixed: "cloud-1")
    let name = UserKey(fixed: "alice/phone")

    static func live(_ number: Int, epoch: UInt64) -> KeyLaneTranscript {
        var transcript = KeyLaneTranscript()
        transcript.claim(number)
        _ = transcript.next()
        _ = transcript.bound(epoch: epoch)
        return transcript
    }

    var foreign: SessionID {
        SessionID(node: NodeID(fixed: "cloud-2"), incarnation: Incarnation(3), counter: 9)
    }

    /// A mapping of another node's; of `foreign`, if no other session's counter is given.
    func foreignRoute(epoch: UInt64, counter: UInt64? = nil) -> Route {
        let session = SessionID(
            node: foreign.node,
            incarnation: foreign.incarnation,
            counter: counter ?? foreign.counter
        )
        return Route(name: name, session: session, epoch: Epoch(epoch), expires: RedisTime(milliseconds: 0))
    }

    func socket(_ number: Int) -> SocketID { SocketID(loop: 0, slot: number, generation: 1) }

    func session(_ number: Int) -> KeyLane.Session {
        KeyLane.Session(socket: socket(number), counter: UInt64(number))
    }

    func mapping(_ number: Int, epoch: UInt64) -> KeyLane.Mapping {
        KeyLane.Mapping(incarnation: incarnation, counter: UInt64(number), epoch: Epoch(epoch))
    }

    func route(_ number: Int, epoch: UInt64) -> Route {
        let session = SessionID(node: node, incarnation: incarnation, counter: UInt64(number))
        return Route(name: name, session: session, epoch: Epoch(epoch), expires: RedisTime(milliseconds: 0))
    }

    mutating func wait(_ duration: Duration) { now = now + duration }

    @discardableResult
    mutating func claim(_ number: Int) -> [KeyLane.Effect] {
        let session = session(number)
        return effects { $0.claimed(session, at: $1, $2, &$3) }
    }

    @discardableResult
    mutating func close(_ number: Int, for reason: DisconnectReason = .closed) -> [KeyLane.Effect] {
        let socket = socket(number)
        return effects { $0.closed(socket, for: reason, at: $1, $2, &$3) }
    }

    mutating func evict(counter: UInt64) -> [KeyLane.Effect] {
        effects { $0.evicted(counter: counter, at: $1, $2, &$3) }
    }

    mutating func passed() -> [KeyLane.Effect] { effects { $0.timePassed(to: $1, $2, &$3) } }

    mutating func closeOrder(counter: UInt64?, _ code: CloseCode) -> [KeyLane.Effect] {
        effects { lane, _, _, effects in lane.closeOrdered(counter: counter, code: code, &effects) }
    }

    mutating func next() -> KeyLane.Call? {
        guard let call = lane.nextCall(at: now, incarnation: incarnation) else { return nil }
        lane.begin(call)
        return call
    }

    mutating func bound(
        epoch: UInt64,
        replaced: SessionID? = nil,
        evicted: [Route] = []
    ) -> [KeyLane.Effect] {
        guard case .bind(let session, _) = lane.call else { return [] }
        let route = route(Int(session.counter), epoch: epoch)
        let outcome = BindOutcome.bound(route, replaced: replaced, evicted: evicted)
        return effects { $0.bindAnswered(outcome, node: NodeID(fixed: "cloud-1"), at: $1, $2, &$3) }
    }

    mutating func refusedBind() -> [KeyLane.Effect] {
        effects { $0.bindAnswered(.refused, node: NodeID(fixed: "cloud-1"), at: $1, $2, &$3) }
    }

    mutating func fullBind() -> [KeyLane.Effect] {
        effects { $0.bindAnswered(.full, node: NodeID(fixed: "cloud-1"), at: $1, $2, &$3) }
    }

    mutating func unusableBind() -> [KeyLane.Effect] {
        effects { $0.bindAnswered(.unusable, node: NodeID(fixed: "cloud-1"), at: $1, $2, &$3) }
    }

    mutating func unusableRenewal() -> [KeyLane.Effect] {
        effects { $0.renewAnswered(.unusable, at: $1, $2, &$3) }
    }

    mutating func renewed() -> [KeyLane.Effect] {
        effects { $0.renewAnswered(.renewed(expires: RedisTime(milliseconds: 0)), at: $1, $2, &$3) }
    }

    mutating func refusedRenewal() -> [KeyLane.Effect] {
        effects { $0.renewAnswered(.refused, at: $1, $2, &$3) }
    }

    mutating func unbound(_ wasThere: Bool = true) {
        lane.unbindAnswered(wasThere: wasThere, at: now, rules)
    }

    @discardableResult
    mutating func found(_ route: Route?) -> [KeyLane.Effect] {
        effects { $0.findAnswered(route, node: NodeID(fixed: "cloud-1"), at: $1, $2, &$3) }
    }

    mutating func fail() { lane.callFailed(at: now, rules) }

    private mutating func effects(
        _ event: (inout KeyLane, Moment, KeyLane.Rules, inout [KeyLane.Effect]) -> Void
    ) -> [KeyLane.Effect] {
        var effects: [KeyLane.Effect] = []
        event(&lane, now, rules, &effects)
        return effects
    }
}
