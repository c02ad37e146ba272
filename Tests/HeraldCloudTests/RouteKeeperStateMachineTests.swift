import HeraldCore
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

/// Transcripts of a whole node's keeper: batches, pace, rooms, and Redis going away.
struct RouteKeeperStateMachineTests {
    @Test func `claims that wait go out as one call, in order`() {
        let keeper = Keeper()
        for number in 1...3 { keeper.claim(number, "user\(number)/phone") }
        let calls = keeper.calls()
        #expect(calls.map(\.body) == [.bind([keeper.bind(1), keeper.bind(2), keeper.bind(3)])])
        #expect(
            keeper.answer(calls[0], .bound((1...3).map { keeper.bound($0) }))
                == (1...3).map { .announce(keeper.socket($0)) }
        )
        #expect(keeper.load.keys == 3)
        #expect(keeper.load.users == 3)
    }

    @Test func `sessions that their user has too many of close here, and are told where they are elsewhere`()
    {
        let keeper = Keeper()
        keeper.claim(1, "user1/phone")
        keeper.settle()
        keeper.claim(2, "user1/laptop")
        let here = keeper.route(1, "user1/phone", node: "cloud-1")
        let elsewhere = keeper.route(9, "user1/watch", node: "cloud-2")
        let bind = keeper.bind(2, name: "user1/laptop")
        let outcome = BindOutcome.bound(
            keeper.route(2, "user1/laptop", node: "cloud-1"),
            replaced: nil,
            evicted: [here, elsewhere]
        )
        let call = keeper.calls()[0]
        #expect(call.body == .bind([bind]))
        let order = CloseOrder(name: elsewhere.name, session: elsewhere.session, code: .tooManyConnections)
        #expect(
            keeper.answer(call, .bound([outcome])) == [
                .announce(keeper.socket(2)), .close(keeper.socket(1), .tooManyConnections),
                .tell(elsewhere.session.node, order),
            ]
        )
        keeper.close(1, "user1/phone", rooms: [])
        #expect(keeper.calls().isEmpty)
        #expect(keeper.load.keys == 1)
    }

    @Test func `a storm goes out in full calls, several at once`() {
        let keeper = Keeper()
        for number in 1...1000 { keeper.claim(number, "user\(number)/phone") }
        let calls = keeper.calls()
        #expect(calls.count == 5)
        for call in calls {
            guard case .bind(let binds) = call.body else { continue }
            #expect(binds.count == 200)
        }
    }

    @Test func `a bind never waits behind renewals`() {
        let keeper = Keeper()
        keeper.connect(2000)
        keeper.machine.leaseChanged(nil, at: keeper.now)
        keeper.lease(incarnation: 8)
        var renewing = 0
        for _ in 0..<10 {
            keeper.wait(.milliseconds(50))
            renewing += keeper.calls().count
        }
        #expect(renewing == 2)
        keeper.claim(5000, "late/phone")
        #expect(keeper.calls().map(\.body) == [.bind([keeper.bind(5000, name: "late/phone")])])
    }

    @Test func `a session is renewed also while a call of its key that failed may still happen`() {
        let keeper = Keeper(renewal: .seconds(2))
        keeper.claim(1, "user1/phone")
        _ = keeper.answer(keeper.calls()[0], nil)
        keeper.wait(.seconds(3))
        let again = keeper.calls()
        var bind = keeper.bind(1)
        bind.age = .seconds(3)
        #expect(again.map(\.body) == [.bind([bind])])
        _ = keeper.answer(again[0], .bound([keeper.bound(1)]))
        var isRenewed = false
        // Longer than the interval of the walk, shorter than the doubt after a failed call.
        for _ in 0..<100 where !isRenewed {
            keeper.wait(.milliseconds(50))
            for call in keeper.calls() {
                if case .renew = call.body { isRenewed = true }
                _ = keeper.answer(call, keeper.yes(call))
            }
        }
        #expect(isRenewed)
    }

    @Test func `each session is renewed once an interval, spread over it`() {
        let keeper = Keeper()
        keeper.connect(400)
        var renewed: [UInt64: Int] = [:]
        var most = 0
        for _ in 0..<800 {
            keeper.wait(.milliseconds(50))
            for call in keeper.calls() {
                guard case .renew(let routes) = call.body else { continue }
                most = max(most, routes.count)
                for route in routes { renewed[route.session.counter, default: 0] += 1 }
                _ = keeper.answer(call, .renewed(routes.map { .renewed(expires: $0.expires) }))
            }
        }
        #expect(renewed.count >= 399)
        #expect(renewed.values.allSatisfy { $0 == 1 })
        #expect(most <= 2)
    }

    @Test func `while Redis is away claims wait, then are told to come back, and sessions stay`() {
        let keeper = Keeper()
        keeper.connect(1)
        keeper.claim(2, "bob/phone")
        var closes: [RouteKeeperStateMachine.Effect] = []
        var tries = 0
        for _ in 0..<120 {
            for call in keeper.calls() {
                tries += 1
                closes += keeper.answer(call, nil)
            }
            closes += keeper.wait(.milliseconds(50))
        }
        #expect(closes == [.close(keeper.socket(2), .routeUnavailable)])
        #expect(keeper.isTrouble)
        // The pause grows to a second.
        #expect(tries < 20)
        // The bind may have happened: it is looked for until Redis says.
        keeper.wait(.seconds(1))
        let call = keeper.calls()
        #expect(call.map(\.body) == [.find([UserKey(fixed: "bob/phone")])])
        _ = keeper.answer(call[0], .found([nil]))
        #expect(!keeper.isTrouble)
        // And once more when it cannot happen any more.
        keeper.wait(.seconds(10))
        _ = keeper.answer(keeper.calls()[0], .found([nil]))
        #expect(keeper.load.keys == 1)
    }

    @Test func `a lost lease carries every session over, and nothing is closed`() {
        let keeper = Keeper()
        keeper.connect(500)
        keeper.join(1, "news")
        keeper.settle()
        keeper.machine.leaseChanged(nil, at: keeper.now)
        #expect(keeper.calls().isEmpty)
        keeper.lease(incarnation: 8)
        #expect(keeper.isRebuilding)
        let (effects, renewed, shares) = keeper.rebuild()
        #expect(effects.isEmpty)
        #expect(Set(renewed.map(\.session.incarnation)) == [Incarnation(8)])
        #expect(Set(renewed.map(\.session)).count == 500)
        #expect(shares == [RoomID(fixed: "news"): 1])
        #expect(!keeper.isRebuilding)
    }

    @Test func `the first member is told before it hears ok, the second at once`() {
        let keeper = Keeper()
        keeper.connect(2)
        #expect(keeper.join(1, "news") == [])
        let call = keeper.calls()
        #expect(call.map(\.body) == [.share([RoomID(fixed: "news"): 1], keeper.lease)])
        #expect(keeper.join(2, "news") == [])
        #expect(
            keeper.answer(call[0], .shared) == [
                .joined(keeper.socket(1), RoomID(fixed: "news")),
                .joined(keeper.socket(2), RoomID(fixed: "news")),
            ]
        )
        #expect(keeper.join(3, "news") == [.joined(keeper.socket(3), RoomID(fixed: "news"))])
    }

    @Test func `a room's count follows within a second, and its last leave at once`() {
        let keeper = Keeper()
        keeper.connect(2)
        keeper.join(1, "news")
        keeper.settle()
        keeper.join(2, "news")
        #expect(keeper.calls().isEmpty)
        keeper.wait(.seconds(1))
        keeper.wait(.milliseconds(50))
        let counted = keeper.calls()
        #expect(counted.map(\.body) == [.share([RoomID(fixed: "news"): 2], keeper.lease)])
        _ = keeper.answer(counted[0], .shared)
        keeper.machine.left(RoomID(fixed: "news"))
        keeper.machine.left(RoomID(fixed: "news"))
        let left = keeper.calls()
        #expect(left.map(\.body) == [.share([RoomID(fixed: "news"): 0], keeper.lease)])
        _ = keeper.answer(left[0], .shared)
        #expect(keeper.load.rooms == 0)
        #expect(keeper.calls().isEmpty)
    }

    @Test func `who joins while the last leave is under way waits for a new share`() {
        let keeper = Keeper()
        keeper.connect(2)
        keeper.join(1, "news")
        keeper.settle()
        keeper.machine.left(RoomID(fixed: "news"))
        let left = keeper.calls()
        #expect(keeper.join(2, "news") == [])
        #expect(keeper.answer(left[0], .shared) == [])
        let joined = keeper.calls()
        #expect(joined.map(\.body) == [.share([RoomID(fixed: "news"): 1], keeper.lease)])
        #expect(
            keeper.answer(joined[0], .shared) == [.joined(keeper.socket(2), RoomID(fixed: "news"))]
        )
    }

    @Test func `a room that Redis cannot be told of is refused in time, and taken out all the same`() {
        let keeper = Keeper()
        keeper.connect(1)
        keeper.join(1, "news")
        var effects: [RouteKeeperStateMachine.Effect] = []
        for _ in 0..<110 {
            for call in keeper.calls() { effects += keeper.answer(call, nil) }
            effects += keeper.wait(.milliseconds(50))
        }
        #expect(effects == [.joinRefused(keeper.socket(1), RoomID(fixed: "news"))])
        keeper.machine.left(RoomID(fixed: "news"))
        keeper.wait(.seconds(1))
        #expect(keeper.calls().map(\.body) == [.share([RoomID(fixed: "news"): 0], keeper.lease)])
    }

    @Test func `a close order for another run's session closes nobody`() {
        let keeper = Keeper()
        keeper.connect(1)
        let name = UserKey(fixed: "user1/phone")
        let older = SessionID(node: keeper.node, incarnation: Incarnation(5), counter: 1)
        #expect(keeper.order(CloseOrder(name: name, session: older, code: .replaced)) == [])
        let own = SessionID(node: keeper.node, incarnation: Incarnation(7), counter: 1)
        #expect(
            keeper.order(CloseOrder(name: name, session: own, code: .replaced))
                == [.close(keeper.socket(1), .replaced)]
        )
    }

    @Test func `nothing is left when all have gone`() {
        let keeper = Keeper()
        keeper.connect(300)
        for number in 1...300 { keeper.join(number, "room\(number % 7)") }
        keeper.settle()
        #expect(!keeper.isEmpty)
        for number in 1...300 {
            keeper.close(number, "user\(number)/phone", rooms: ["room\(number % 7)"])
        }
        keeper.settle()
        #expect(keeper.isEmpty)
    }
}

/// A keeper with a clock and a Redis that says yes.
private final class Keeper {
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
        let counter = number == 5000 ? 2001 : UInt64(number)
        let session = SessionID(
            node: node,
            incarnation: Incarnation(number == 5000 ? 8 : 7),
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
