import HeraldCore
import HeraldTesting
import Testing

/// What every `RouteTable` promises. Runs against the one in memory and the one on Redis.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct RouteTableContractTests {
    // MARK: Leases

    @Test(arguments: Kind.allCases)
    func `a second run of a name is refused while the first holds its lease`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let first = try await under.table.register(profile(), lease: .seconds(5))
            let error = await #expect(throws: RouteTableError.self) {
                try await under.table.register(profile(), lease: .seconds(10))
            }
            guard case .nodeHeld(let incarnation, let url, let left) = error else {
                Issue.record("\(String(describing: error))")
                return
            }
            #expect(incarnation == first.incarnation && url == "ws://cloud-1/ws" && left > 0 && left <= 5000)
            _ = try await under.table.register(profile("cloud-2"), lease: .seconds(10))
            try await under.pass(.seconds(5))
            let second = try await under.table.register(profile(), lease: .seconds(10))
            #expect(second.incarnation > first.incarnation)
            #expect(second.deadline > first.deadline)
        }
    }

    @Test(arguments: Kind.allCases)
    func `a lease is renewed until it is lost`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let lease = try await table.register(profile(), lease: .seconds(5))
            var changed = try profile()
            changed.url = "ws://elsewhere"
            let load = NodeLoad(connections: 3, users: 2, rooms: 1)
            try await under.pass(.milliseconds(2))
            let renewed = try #require(
                try await table.renew(
                    lease,
                    profile: changed,
                    load: load,
                    state: .draining,
                    for: .seconds(5)
                )
            )
            #expect(renewed.incarnation == lease.incarnation && renewed.deadline > lease.deadline)
            let records = try await table.nodes()
            #expect(records.map(\.profile) == [changed])
            #expect(records.map(\.load) == [load])
            #expect(records.map(\.state) == [.draining])
            #expect(records.map(\.lease) == [renewed])
            try await under.pass(.seconds(5))
            #expect(try await table.nodes() == [])
            #expect(
                try await table.renew(renewed, profile: changed, load: load, state: .live, for: .seconds(1))
                    == nil
            )
            let again = try await table.register(profile(), lease: .seconds(10))
            // Not even while another run holds a live one.
            #expect(
                try await table.renew(renewed, profile: changed, load: load, state: .live, for: .seconds(1))
                    == nil
            )
            #expect(try await table.nodes().map(\.lease) == [again])
        }
    }

    @Test(arguments: Kind.allCases)
    func `a lease that Redis forgot is lost`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(10))
            try await under.forget()
            let load = NodeLoad()
            #expect(
                try await under.table.renew(
                    lease,
                    profile: profile(),
                    load: load,
                    state: .live,
                    for: .seconds(1)
                ) == nil
            )
            let next = try await under.table.register(profile(), lease: .seconds(10))
            #expect(next.incarnation > lease.incarnation)
        }
    }

    @Test(arguments: Kind.allCases)
    func `leaving is exact`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let first = try await table.register(profile(), lease: .seconds(10))
            try await table.leave(first)
            #expect(try await table.nodes() == [])
            let second = try await table.register(profile(), lease: .seconds(10))
            #expect(second.incarnation > first.incarnation)
            try await table.leave(first)
            #expect(try await table.nodes().map(\.lease) == [second])
            _ = try await table.register(profile("cloud-0"), lease: .seconds(10))
            #expect(try await table.nodes().map(\.profile.id.description) == ["cloud-0", "cloud-1"])
        }
    }

    // MARK: Bind, renew, unbind

    @Test(arguments: Kind.allCases)
    func `the newest accept of a key wins and says whom it replaced`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let one = try await table.register(profile("cloud-1"), lease: .seconds(10))
            let two = try await table.register(profile("cloud-2"), lease: .seconds(10))
            let (first, nobody) = try await table.bindOne(bind("alice/phone", one, 1))
            #expect(nobody == nil)
            let (second, replaced) = try await table.bindOne(bind("alice/phone", two, 1))
            #expect(replaced == first.session)
            #expect(second.epoch > first.epoch)
            #expect(try await table.routes(of: "alice") == [second])
            // The old holder's renewal and its late unbind change nothing.
            #expect(try await table.renew([first], for: .seconds(60)) == [.refused])
            #expect(try await table.unbind([Departure(first, reason: .closed)]) == [false])
            #expect(try await table.routes(of: "alice") == [second])
        }
    }

    @Test(arguments: Kind.allCases)
    func `the same bind again is answered as the first time`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let lease = try await under.table.register(profile(), lease: .seconds(10))
            let (first, _) = try await under.table.bindOne(bind("alice/phone", lease, 1))
            let (again, replaced) = try await under.table.bindOne(bind("alice/phone", lease, 1))
            #expect(again.epoch == first.epoch && replaced == nil)
        }
    }

    @Test(arguments: Kind.allCases)
    func `a bind that was held up cannot undo a later one of its node`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let old = try await table.register(profile(), lease: .seconds(10))
            try await table.leave(old)
            let lease = try await table.register(profile(), lease: .seconds(10))
            let (route, _) = try await table.bindOne(bind("alice/phone", lease, 7))
            let late = [try bind("alice/phone", lease, 6), try bind("alice/phone", old, 8)]
            #expect(try await table.bind(late, for: .seconds(60)) == [.refused, .refused])
            #expect(try await table.routes(of: "alice") == [route])
            let (_, replaced) = try await table.bindOne(bind("alice/phone", lease, 8))
            #expect(replaced == route.session)
        }
    }

    @Test(arguments: Kind.allCases)
    func `what was accepted earlier does not win by arriving later`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let one = try await table.register(profile("cloud-1"), lease: .seconds(10))
            let two = try await table.register(profile("cloud-2"), lease: .seconds(10))
            let (newer, _) = try await table.bindOne(bind("alice/phone", two, 1, age: .seconds(1)))
            let older = try bind("alice/phone", one, 1, age: .seconds(2))
            #expect(try await table.bind([older], for: .seconds(60)) == [.refused])
            #expect(try await table.routes(of: "alice") == [newer])
            // And the other way: the holder's bind came late, its accept was early.
            let (late, _) = try await table.bindOne(bind("bob/phone", one, 2, age: .seconds(2)))
            let (next, replaced) = try await table.bindOne(bind("bob/phone", two, 2, age: .seconds(1)))
            #expect(replaced == late.session && next.epoch > late.epoch)
            // Within a tenth of a second nobody is refused.
            let close = try bind("alice/phone", one, 3, age: .milliseconds(1050))
            #expect(try await table.bindOne(close).replaced == newer.session)
        }
    }

    @Test(arguments: Kind.allCases)
    func `an earlier accept stays earlier when its mapping comes back`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let one = try await table.register(profile("cloud-1"), lease: .seconds(10))
            let two = try await table.register(profile("cloud-2"), lease: .seconds(10))
            let (newer, _) = try await table.bindOne(bind("alice/phone", two, 1, age: .seconds(1)))
            #expect(try await table.unbind([Departure(newer, reason: .closed)]) == [true])
            let (older, _) = try await table.bindOne(bind("alice/phone", one, 1, age: .seconds(2)))
            #expect(older.epoch < newer.epoch)
            guard case .renewed = try await table.renew([newer], for: .seconds(60))[0] else {
                Issue.record("refused by an older accept")
                return
            }
            #expect(try await table.renew([older], for: .seconds(60)) == [.refused])
        }
    }

    @Test(arguments: Kind.allCases)
    func `a new incarnation takes its own mapping over in one step`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let old = try await table.register(profile(), lease: .seconds(10))
            let (before, _) = try await table.bindOne(bind("alice/phone", old, 1))
            try await table.leave(old)
            let new = try await table.register(profile(), lease: .seconds(10))
            var after = before
            after.session = SessionID(node: new.node, incarnation: new.incarnation, counter: 1)
            var stranger = after
            stranger.session = SessionID(node: new.node, incarnation: new.incarnation, counter: 2)
            #expect(try await table.renew([stranger], for: .seconds(60)) == [.refused])
            guard case .renewed = try await table.renew([after], for: .seconds(60))[0] else {
                Issue.record("refused by its own earlier incarnation")
                return
            }
            #expect(try await table.routes(of: "alice").map(\.session) == [after.session])
            // A renewal of the earlier incarnation that was held up, and its unbind, change nothing.
            #expect(try await table.renew([before], for: .seconds(60)) == [.refused])
            #expect(try await table.unbind([Departure(before, reason: .closed)]) == [false])
            #expect(try await table.routes(of: "alice").map(\.session) == [after.session])
        }
    }

    @Test(arguments: Kind.allCases)
    func `unbind removes exactly one mapping`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let lease = try await table.register(profile(), lease: .seconds(10))
            let (phone, _) = try await table.bindOne(bind("alice/phone", lease, 1))
            let (laptop, _) = try await table.bindOne(bind("alice/laptop", lease, 2))
            #expect(
                try await table.unbind([Departure(phone, reason: .closed), Departure(phone, reason: .closed)])
                    == [true, false]
            )
            #expect(try await table.routes(of: "alice") == [laptop])
            var other = laptop
            other.epoch = Epoch(laptop.epoch.number + 1)
            #expect(try await table.unbind([Departure(other, reason: .closed)]) == [false])
            #expect(try await table.unbind([Departure(laptop, reason: .closed)]) == [true])
            #expect(try await table.routes(of: "alice") == [])
        }
    }

    @Test(arguments: Kind.allCases)
    func `a renewal extends, and writes what vanished`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let lease = try await table.register(profile(), lease: .seconds(10))
            let (route, _) = try await table.bindOne(bind("alice/phone", lease, 1), for: .seconds(10))
            guard case .renewed(let expires) = try await table.renew([route], for: .seconds(20))[0] else {
                Issue.record("refused")
                return
            }
            #expect(expires > route.expires)
            #expect(try await table.unbind([Departure(route, reason: .closed)]) == [true])
            guard case .renewed(let later) = try await table.renew([route], for: .seconds(20))[0] else {
                Issue.record("refused")
                return
            }
            var expected = route
            expected.expires = later
            #expect(try await table.routes(of: "alice") == [expected])
        }
    }

    @Test(arguments: Kind.allCases)
    func `a mapping that is over holds nobody up`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let lease = try await table.register(profile(), lease: .seconds(30))
            let (ghost, _) = try await table.bindOne(bind("alice/phone", lease, 1))
            let (short, replaced) = try await table.bindOne(
                bind("alice/phone", lease, 2),
                for: .seconds(5)
            )
            #expect(replaced == ghost.session)
            try await under.pass(.seconds(5))
            #expect(try await table.routes(of: "alice") == [])
            guard case .renewed = try await table.renew([ghost], for: .seconds(10))[0] else {
                Issue.record("refused by what is over")
                return
            }
            #expect(try await table.unbind([Departure(short, reason: .closed)]) == [false])
            #expect(try await table.routes(of: "alice").map(\.session) == [ghost.session])
        }
    }

    @Test(arguments: Kind.allCases)
    func `one live device does not keep a dead one alive`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let lease = try await table.register(profile(), lease: .seconds(30))
            let (live, _) = try await table.bindOne(bind("alice/phone", lease, 1))
            _ = try await table.bindOne(bind("alice/laptop", lease, 2), for: .seconds(5))
            #expect(try await table.routes(of: "alice").count == 2)
            try await under.pass(.seconds(5))
            #expect(try await table.routes(of: "alice") == [live])
            #expect(try await table.look(up: Lookup(keys: [UserKey("alice/laptop")])).keys == [nil])
        }
    }

    // MARK: Look-ups

    @Test(arguments: Kind.allCases)
    func `answers come in the order of the question`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let one = try await table.register(profile("cloud-1"), lease: .seconds(10))
            let two = try await table.register(profile("cloud-2"), lease: .seconds(10))
            let phone = try await table.bindOne(bind("alice/phone", one, 1)).0
            let laptop = try await table.bindOne(bind("alice/laptop", two, 1)).0
            let bob = try await table.bindOne(bind("bob/x", two, 2)).0
            try await table.share([RoomID("news"): 5], of: two, for: .seconds(60))
            try await table.share([RoomID("news"): 2, RoomID("chat"): 1], of: one, for: .seconds(60))
            let answer = try await table.look(
                up: Lookup(
                    users: [UserID("bob"), UserID("nobody"), UserID("alice"), UserID("bob")],
                    keys: [UserKey("alice/phone"), UserKey("alice/none"), UserKey("bob/x")],
                    rooms: [RoomID("empty"), RoomID("news"), RoomID("chat")],
                    everyone: true
                )
            )
            #expect(answer.users == [[bob], [], [laptop, phone], [bob]])
            #expect(answer.keys == [phone, nil, bob])
            let shareOne = RoomShare(node: one.node, incarnation: one.incarnation, members: 2)
            let shareTwo = RoomShare(node: two.node, incarnation: two.incarnation, members: 5)
            var chat = shareOne
            chat.members = 1
            #expect(answer.rooms == [[], [shareOne, shareTwo], [chat]])
            #expect(answer.nodes == [one.node, two.node])
            #expect(try await table.look(up: Lookup()) == LookupAnswer())
        }
    }

    @Test(arguments: Kind.allCases)
    func `many binds and look-ups are one call each`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let lease = try await table.register(profile(), lease: .seconds(10))
            let binds = try (0..<1000).map { try bind("user-\($0)/k", lease, UInt64($0)) }
            let outcomes = try await table.bind(binds, for: .seconds(60))
            let routes = outcomes.compactMap { outcome -> Route? in
                if case .bound(let route, _, _) = outcome { route } else { nil }
            }
            #expect(routes.map(\.session) == binds.map(\.session))
            let answer = try await table.look(up: Lookup(users: binds.map(\.name.user)))
            #expect(answer.users == routes.map { [$0] })
            #expect(try await table.unbind(routes.map { Departure($0, reason: .closed) }).allSatisfy { $0 })
        }
    }

    @Test(arguments: Kind.allCases)
    func `a crashed node's routes and shares end with its lease`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let lease = try await table.register(profile(), lease: .seconds(5))
            let name = try UserKey("alice/phone")
            _ = try await table.bindOne(bind("alice/phone", lease, 1))
            try await table.share([RoomID("news"): 5], of: lease, for: .seconds(60))
            let lookup = Lookup(users: [name.user], keys: [name], rooms: [try RoomID("news")], everyone: true)
            #expect(try await table.look(up: lookup).nodes == [lease.node])
            try await under.pass(.seconds(5))
            let empty = LookupAnswer(users: [[]], keys: [nil], rooms: [[]])
            #expect(try await table.look(up: lookup) == empty)
            // They stay dead when the node is back, as another run.
            let next = try await table.register(profile(), lease: .seconds(10))
            #expect(try await table.look(up: lookup).users == [[]])
            let (route, _) = try await table.bindOne(bind("alice/phone", next, 1))
            #expect(try await table.look(up: lookup).keys == [route])
        }
    }

    @Test(arguments: Kind.allCases)
    func `a room's shares are told, changed and taken out`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let news = try RoomID("news")
            let lookup = Lookup(rooms: [news])
            let lease = try await table.register(profile(), lease: .seconds(10))
            try await table.share([:], of: lease, for: .seconds(60))
            try await table.share([news: 5], of: lease, for: .seconds(60))
            try await table.share([news: 6], of: lease, for: .seconds(60))
            #expect(try await table.look(up: lookup).rooms[0].map(\.members) == [6])
            try await table.share([news: 0], of: lease, for: .seconds(60))
            #expect(try await table.look(up: lookup).rooms == [[]])
            try await table.share([news: 1], of: lease, for: .seconds(5))
            try await under.pass(.seconds(5))
            #expect(try await table.look(up: lookup).rooms == [[]])
        }
    }
}
