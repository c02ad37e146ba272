import HeraldCore
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

/// A keeper with a clock and a Redis that says yes.
final class RouteKeeperDesk {
    var machine: RouteKeeperStateMachine
    var now = Moment(milliseconds: 0)
    var lease: Lease
    let node = NodeID(fixed: "cloud-1")

    init(renewal: Duration = .seconds(40)) {
        var settings = RouteKeeperStateMachine.Settings(node: node)
        settings.renewal = renewal
        machine = RouteKeeperStateMachine(settings)
        lease = Lease(node: node, incarnation: Incarnation(7), deadline: RedisTime(milliseconds: 1000))
        machine.leaseChanged(lease, at: now)
        wait(.zero)
    }

    var isTrouble: Bool { machine.isTrouble }
    var isRebuilding: Bool { machine.isRebuilding }
    var isEmpty: Bool { machine.isEmpty }
    var load: (keys: Int, users: Int, rooms: Int) { machine.load }

    func lease(incarnation: UInt64) {
        lease.incarnation = Incarnation(incarnation)
        machine.leaseChanged(lease, at: now)
    }

    func socket(_ number: Int) -> SocketID { SocketID(loop: 0, slot: number, generation: 1) }

    func bind(_ number: Int, name: String? = nil) -> Bind {
        let counter = UInt64(number >= 5000 ? number - 2999 : number)
        let session = SessionID(
            node: node,
            incarnation: Incarnation(number >= 5000 ? 8 : 7),
            counter: counter
        )
        return Bind(name: UserKey(fixed: name ?? "user\(number)/phone"), session: session)
    }

    func bound(_ number: Int) -> BindOutcome { bound(bind(number)) }

    func bound(_ bind: Bind) -> BindOutcome {
        let expires = RedisTime(milliseconds: 0)
        return .bound(
            Route(name: bind.name, session: bind.session, epoch: Epoch(1), expires: expires),
            replaced: nil
        )
    }

    func route(_ counter: UInt64, _ name: String, node: String) -> Route {
        let session = SessionID(node: NodeID(fixed: node), incarnation: Incarnation(7), counter: counter)
        return Route(
            name: UserKey(fixed: name),
            session: session,
            epoch: Epoch(1),
            expires: RedisTime(milliseconds: 0)
        )
    }

    func claim(_ number: Int, _ name: String) {
        var effects: [RouteKeeperStateMachine.Effect] = []
        machine.claimed(UserKey(fixed: name), by: socket(number), at: now, &effects)
    }

    func connect(_ count: Int) {
        for number in 1...count { claim(number, "user\(number)/phone") }
        settle()
    }

    func close(_ number: Int, _ name: String, rooms: [String]) {
        var effects: [RouteKeeperStateMachine.Effect] = []
        let rooms = rooms.map { RoomID(fixed: $0) }
        machine.closed(socket(number), UserKey(fixed: name), rooms: rooms, at: now, &effects)
    }

    @discardableResult
    func join(_ number: Int, _ room: String) -> [RouteKeeperStateMachine.Effect] {
        var effects: [RouteKeeperStateMachine.Effect] = []
        machine.joined(RoomID(fixed: room), by: socket(number), at: now, &effects)
        return effects
    }

    func order(_ order: CloseOrder) -> [RouteKeeperStateMachine.Effect] {
        var effects: [RouteKeeperStateMachine.Effect] = []
        machine.closeOrdered(order, at: now, &effects)
        return effects
    }

    @discardableResult
    func wait(_ duration: Duration) -> [RouteKeeperStateMachine.Effect] {
        now = now + duration
        var effects: [RouteKeeperStateMachine.Effect] = []
        machine.timePassed(to: now, &effects)
        return effects
    }

    func calls() -> [RouteKeeperStateMachine.Call] { machine.nextCalls(at: now) }

    func answer(
        _ call: RouteKeeperStateMachine.Call,
        _ answer: RouteKeeperStateMachine.Answer?
    ) -> [RouteKeeperStateMachine.Effect] {
        var effects: [RouteKeeperStateMachine.Effect] = []
        machine.answered(call.number, answer, at: now, random: 7, &effects)
        return effects
    }

    /// What Redis answers when all is well.
    func yes(_ call: RouteKeeperStateMachine.Call) -> RouteKeeperStateMachine.Answer {
        switch call.body {
        case .bind(let binds): .bound(binds.map { bound($0) })
        case .renew(let routes): .renewed(routes.map { .renewed(expires: $0.expires) })
        case .unbind(let departures): .unbound(departures.map { _ in true })
        case .find(let keys): .found(keys.map { _ in nil })
        case .share: .shared
        }
    }

    func settle() {
        while true {
            let calls = calls()
            if calls.isEmpty { return }
            for call in calls { _ = answer(call, yes(call)) }
        }
    }

    /// Lets time pass until the new incarnation has everything.
    func rebuild() -> ([RouteKeeperStateMachine.Effect], [Route], [RoomID: Int]) {
        var effects: [RouteKeeperStateMachine.Effect] = []
        var renewed: [Route] = []
        var shares: [RoomID: Int] = [:]
        for _ in 0..<20 {
            effects += wait(.milliseconds(50))
            for call in calls() {
                if case .renew(let routes) = call.body { renewed += routes }
                if case .share(let rooms, _) = call.body { shares.merge(rooms.mapValues(\.members)) { $1 } }
                effects += answer(call, yes(call))
            }
        }
        return (effects, renewed, shares)
    }
}
