import HeraldCore
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

/// Transcripts of a whole node's keeper: batches, pace, rooms, and Redis going away.
struct RouteKeeperStateMachineTests {
    @Test func `claims that wait go out as one call, in order`() {
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
        for number in 1...1000 { keeper.claim(number, "user\(number)/phone") }
        let calls = keeper.calls()
        #expect(calls.count == 5)
        for call in calls {
            guard case .bind(let binds) = call.body else { continue }
            #expect(binds.count == 200)
        }
    }

    @Test func `a bind never waits behind renewals`() {
        let keeper = RouteKeeperDesk()
        keeper.connect(2000)
        keeper.machine.leaseChanged(nil, at: keeper.now)
        keeper.lease(incarnation: 8)
        var renewing = 0
        for _ in 0..<10 {
            keeper.wait(.milliseconds(50))
            renewing += keeper.calls().count
        }
        #expect(renewing == 2)
        // One of these keys still waits for its renewal.
        let late = [keeper.bind(5000, name: "late/phone"), keeper.bind(5001, name: "user1999/phone")]
        for (number, bind) in zip(5000..., late) { keeper.claim(number, bind.name.description) }
        #expect(keeper.calls().map(\.body) == [.bind(late)])
    }

    // It may have lost its last writes, and know the lease all the same.
    @Test func `when the way to Redis is there again, all is written once more, and the node stays ready`() {
        let keeper = RouteKeeperDesk()
        keeper.connect(20)
        keeper.wait(.milliseconds(100))
        #expect(keeper.calls().isEmpty)
        keeper.machine.redisReturned()
        let isRebuilding = keeper.machine.isRebuilding
        #expect(!isRebuilding)
        keeper.wait(.milliseconds(100))
        let renewed = keeper.calls().reduce(0) { count, call in
            if case .renew(let routes) = call.body { count + routes.count } else { count }
        }
        #expect(renewed == 20)
    }

    @Test func `a session is renewed also while a call of its key that failed may still happen`() {
        let keeper = RouteKeeperDesk(renewal: .seconds(2))
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
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
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
        let keeper = RouteKeeperDesk()
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
