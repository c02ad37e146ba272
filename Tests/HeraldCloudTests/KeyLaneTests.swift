import HeraldCore
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

/// Transcripts of what happens to one key, with the time moved by hand.
struct KeyLaneTests {
    @Test func `a session is announced when its bind is answered`() {
        var lane = Transcript()
        lane.claim(1)
        #expect(lane.next() == .bind(lane.session(1), lane.incarnation))
        #expect(lane.bound(epoch: 100) == [.announce(lane.socket(1))])
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `a closed session's mapping is taken out exactly`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.close(1)
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.unbound()
        #expect(lane.lane.isEmpty)
    }

    @Test func `a session that closes while its bind is under way is unbound, and nobody is told of it`() {
        var lane = Transcript()
        lane.claim(1)
        _ = lane.next()
        #expect(lane.close(1) == [])
        #expect(lane.next() == nil)
        #expect(lane.bound(epoch: 100, replaced: lane.foreign) == [])
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.unbound()
        #expect(lane.lane.isEmpty)
    }

    @Test func `the one replaced on another node is told`() {
        var lane = Transcript()
        lane.claim(1)
        _ = lane.next()
        #expect(
            lane.bound(epoch: 100, replaced: lane.foreign) == [
                .announce(lane.socket(1)), .tell(lane.foreign),
            ]
        )
    }

    @Test func `the one replaced by a bind that was superseded meanwhile is told with the next`() {
        var lane = Transcript()
        lane.claim(1)
        _ = lane.next()
        lane.claim(2)
        #expect(lane.bound(epoch: 100, replaced: lane.foreign) == [])
        _ = lane.next()
        #expect(
            lane.bound(epoch: 101, replaced: lane.route(1, epoch: 100).session) == [
                .announce(lane.socket(2)), .tell(lane.foreign),
            ]
        )
    }

    @Test func `a session of a user who has too many is turned away, and nothing is left to take out`() {
        var lane = Transcript()
        lane.claim(1)
        _ = lane.next()
        #expect(lane.fullBind() == [.close(lane.socket(1), .tooManyConnections)])
        lane.close(1)
        #expect(lane.next() == nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `an evicted session closes without an unbind; an older order does not reach the newer one`() {
        var lane = Transcript.live(1, epoch: 100)
        #expect(lane.evict(counter: 9) == [])
        #expect(lane.evict(counter: 1) == [.close(lane.socket(1), .tooManyConnections)])
        #expect(lane.close(1) == [])
        #expect(lane.next() == nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `why a session ended goes with its unbind`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.close(1, for: .timeout)
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        #expect(lane.lane.residue?.reason == .timeout)
    }

    @Test func `a newer session is announced only when the older one has closed`() {
        var lane = Transcript.live(1, epoch: 100)
        #expect(lane.claim(2) == [])
        #expect(lane.next() == .bind(lane.session(2), lane.incarnation))
        #expect(lane.bound(epoch: 200) == [.close(lane.socket(1), .replaced)])
        #expect(!lane.lane.isSettled(at: lane.now))
        #expect(lane.close(1) == [.announce(lane.socket(2))])
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `the older session stays while the newer one cannot be bound`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.claim(2)
        _ = lane.next()
        lane.fail()
        lane.wait(.seconds(5))
        #expect(lane.passed() == [.close(lane.socket(2), .routeUnavailable)])
        #expect(lane.lane.holder?.session == lane.session(1))
        // The bind without an answer may stand.
        #expect(lane.next() == .find)
        lane.found(lane.route(2, epoch: 200))
        #expect(lane.next() == .unbind(lane.mapping(2, epoch: 200)))
        lane.unbound()
        #expect(lane.next() == .renew(lane.mapping(1, epoch: 100)))
        #expect(lane.renewed() == [])
        // Once the doubt is over it is looked at again.
        #expect(lane.next() == nil)
        lane.wait(.seconds(10))
        #expect(lane.next() == .find)
        lane.found(lane.route(1, epoch: 100))
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `of two that claim at once only the newer one goes on`() {
        var lane = Transcript()
        lane.claim(1)
        _ = lane.next()
        #expect(lane.claim(2) == [.close(lane.socket(1), .replaced)])
        #expect(lane.next() == nil)
        #expect(lane.bound(epoch: 100) == [])
        #expect(lane.next() == .bind(lane.session(2), lane.incarnation))
        lane.close(1)
        #expect(lane.bound(epoch: 101) == [.announce(lane.socket(2))])
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `a refused bind closes the newcomer and the ghost before it`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.claim(2)
        _ = lane.next()
        #expect(
            lane.refusedBind() == [.close(lane.socket(2), .replaced), .close(lane.socket(1), .replaced)]
        )
        lane.close(2)
        lane.close(1)
        #expect(lane.next() == nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `a refused renewal closes the ghost, and there is nothing to unbind`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.lane.renewalDue()
        #expect(lane.next() == .renew(lane.mapping(1, epoch: 100)))
        #expect(lane.refusedRenewal() == [.close(lane.socket(1), .replaced)])
        lane.close(1)
        #expect(lane.next() == nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `a refusal in doubt is looked into first`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.lane.renewalDue()
        _ = lane.next()
        lane.fail()
        _ = lane.next()
        #expect(lane.refusedRenewal() == [])
        #expect(lane.next() == .find)
        #expect(lane.found(lane.foreignRoute(epoch: 300)) == [.close(lane.socket(1), .replaced)])
    }

    @Test func `an unbind waits for the renewal under way`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.lane.renewalDue()
        _ = lane.next()
        lane.close(1)
        #expect(lane.next() == nil)
        #expect(lane.renewed() == [])
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
    }

    @Test func `after a renewal without an answer the key is looked at once more`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.lane.renewalDue()
        _ = lane.next()
        lane.close(1)
        lane.fail()
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.unbound()
        #expect(!lane.lane.isEmpty)
        #expect(lane.next() == nil)
        lane.wait(.seconds(10))
        #expect(lane.next() == .find)
        lane.found(nil)
        #expect(lane.lane.isEmpty)
    }

    @Test func `an unbind is tried while Redis is away, and given up when the mapping has expired`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.close(1)
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.fail()
        #expect(lane.next() == .unbind(lane.mapping(1, epoch: 100)))
        lane.fail()
        lane.wait(.seconds(120))
        #expect(lane.passed() == [])
        #expect(lane.lane.isEmpty)
    }

    @Test func `who cannot be written down is told to come back, and who is there stays`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.claim(2)
        _ = lane.next()
        #expect(lane.unusableBind() == [.close(lane.socket(2), .routeUnavailable)])
        lane.close(2)
        #expect(lane.next() == nil)
        // A carry-over that cannot be written is not tried without a pause.
        lane.incarnation = Incarnation(8)
        #expect(lane.next() == .renew(lane.mapping(1, epoch: 100)))
        #expect(lane.unusableRenewal() == [])
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `a new incarnation carries the mapping over in one call, with the same epoch`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.incarnation = Incarnation(8)
        #expect(lane.next() == .renew(lane.mapping(1, epoch: 100)))
        #expect(lane.renewed() == [])
        #expect(lane.lane.holder?.mapping == lane.mapping(1, epoch: 100))
        #expect(lane.next() == nil)
        #expect(lane.lane.isSettled(at: lane.now))
    }

    @Test func `a session that moved elsewhere meanwhile is closed by the new incarnation`() {
        var lane = Transcript.live(1, epoch: 100)
        lane.incarnation = Incarnation(8)
        _ = lane.next()
        #expect(lane.refusedRenewal() == [.close(lane.socket(1), .replaced)])
    }

    @Test func `without a lease nothing is asked`() {
        var lane = Transcript()
        lane.claim(1)
        #expect(lane.lane.nextCall(at: lane.now, incarnation: nil) == nil)
    }

    @Test func `a close order names one session or whoever holds the key`() {
        var lane = Transcript.live(1, epoch: 100)
        #expect(lane.closeOrder(counter: 7, .replaced) == [])
        #expect(lane.closeOrder(counter: 1, .replaced) == [.close(lane.socket(1), .replaced)])
        #expect(lane.closeOrder(counter: nil, .kicked) == [.close(lane.socket(1), .kicked)])
    }
}

/// A lane with a clock; `next` begins the call it answers, as the keeper does.
private struct Transcript {
    var lane = KeyLane()
    var now = Moment(milliseconds: 0)
    var incarnation = Incarnation(7)
    let rules = KeyLane.Rules()
    let node = NodeID(fixed: "cloud-1")
    let name = UserKey(fixed: "alice/phone")

    static func live(_ number: Int, epoch: UInt64) -> Transcript {
        var transcript = Transcript()
        transcript.claim(number)
        _ = transcript.next()
        _ = transcript.bound(epoch: epoch)
        return transcript
    }

    var foreign: SessionID {
        SessionID(node: NodeID(fixed: "cloud-2"), incarnation: Incarnation(3), counter: 9)
    }

    func foreignRoute(epoch: UInt64) -> Route {
        Route(name: name, session: foreign, epoch: Epoch(epoch), expires: RedisTime(milliseconds: 0))
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
        effects { lane, _, _, effects in lane.evicted(counter: counter, &effects) }
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

    mutating func bound(epoch: UInt64, replaced: SessionID? = nil) -> [KeyLane.Effect] {
        guard case .bind(let session, _) = lane.call else { return [] }
        let outcome = BindOutcome.bound(route(Int(session.counter), epoch: epoch), replaced: replaced)
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

    mutating func unbound() { lane.unbindAnswered(at: now, rules) }

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
