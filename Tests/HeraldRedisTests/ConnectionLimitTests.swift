import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldRedis

/// How many connections a user may have: what both tables promise, and what only Redis's has to.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct ConnectionLimitTests {
    @Test(arguments: Kind.allCases)
    func `the oldest connection goes for a new one`(_ kind: Kind) async throws {
        try await withTable(kind, .limited(to: 2, .closeOldest)) { under async throws in
            let table = under.table
            let one = try await table.register(profile("cloud-1"), lease: .seconds(60))
            let two = try await table.register(profile("cloud-2"), lease: .seconds(60))
            let (phone, _) = try await table.bindOne(bind("alice/phone", one, 1, age: .seconds(30)))
            let (pad, _) = try await table.bindOne(bind("alice/pad", two, 1, age: .seconds(40)))
            // Another user has a count of their own.
            _ = try await table.bindOne(bind("bob/phone", one, 2))
            let outcome = try await table.bind([bind("alice/tv", two, 2)], for: .seconds(60))[0]
            guard case .bound(let tv, let replaced, let evicted) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            #expect(replaced == nil && evicted == [pad])
            #expect(try await table.routes(of: "alice") == [phone, tv])
            // The ghost does not come back by renewing, nor does it push anybody out.
            #expect(try await table.renew([pad], for: .seconds(60)) == [.refused])
            #expect(try await table.routes(of: "alice") == [phone, tv])
        }
    }

    @Test(arguments: Kind.allCases)
    func `a new connection is refused when the user has enough`(_ kind: Kind) async throws {
        try await withTable(kind, .limited(to: 1, .refuseNewest)) { under async throws in
            let table = under.table
            let lease = try await table.register(profile(), lease: .seconds(60))
            let (phone, _) = try await table.bindOne(bind("alice/phone", lease, 1))
            #expect(try await table.bind([bind("alice/pad", lease, 2)], for: .seconds(60)) == [.full])
            #expect(try await table.routes(of: "alice") == [phone])
            // The same key is no further connection.
            let (again, replaced) = try await table.bindOne(bind("alice/phone", lease, 3))
            #expect(replaced == phone.session)
            #expect(try await table.unbind([Departure(again, reason: .closed)]) == [true])
            // Within its grace it takes nobody's room; and then its own is gone.
            _ = try await table.bindOne(bind("alice/pad", lease, 4))
            #expect(try await table.bind([bind("alice/phone", lease, 5)], for: .seconds(60)) == [.full])
        }
    }

    @Test(arguments: Kind.allCases, [PresenceRules.WhenFull.closeOldest, .refuseNewest])
    func `a dead node's connections lock nobody out`(
        _ kind: Kind,
        _ whenFull: PresenceRules.WhenFull
    ) async throws {
        try await withTable(kind, .limited(to: 2, whenFull)) { under async throws in
            let table = under.table
            let dead = try await table.register(profile("cloud-1"), lease: .seconds(5))
            let live = try await table.register(profile("cloud-2"), lease: .seconds(60))
            // The living one is the older: it stays, and the ghost goes.
            let (phone, _) = try await table.bindOne(bind("alice/phone", live, 1, age: .seconds(50)))
            _ = try await table.bindOne(bind("alice/pad", dead, 1))
            try await under.pass(.seconds(5))
            let outcome = try await table.bind([bind("alice/tv", live, 2)], for: .seconds(60))[0]
            guard case .bound(let tv, nil, let evicted) = outcome else {
                Issue.record("\(outcome)")
                return
            }
            #expect(evicted.isEmpty)
            #expect(try await table.routes(of: "alice") == [phone, tv])
        }
    }

    @Test func `evictions and ghosts are told`() async throws {
        let rules = PresenceRules.limited(to: 1, .closeOldest, grace: .seconds(1))
        try await withPresence(rules) { under async throws in
            let table = RedisRouteTable(link: under.link, rules: rules, leaseTTL: .seconds(5))
            let dead = try await table.register(profile("cloud-1"), lease: .seconds(5))
            let live = try await table.register(profile("cloud-2"), lease: .seconds(60))
            let (ghost, _) = try await table.bindOne(bind("alice/phone", dead, 1))
            try await passTime(.seconds(5), at: under.link)
            let (pad, _) = try await table.bindOne(bind("alice/pad", live, 1))
            let (tv, _) = try await table.bindOne(bind("alice/tv", live, 2))
            #expect(
                try await under.told() == [
                    Told(.connected, ghost, 1), Told(.disconnected(.nodeLost), ghost, 0),
                    Told(.connected, pad, 1), Told(.disconnected(.evicted), pad, 0), Told(.connected, tv, 1),
                ]
            )
            #expect(table.presence.evicted == 1 && table.presence.ghostsPruned == 1)
            #expect(try await under.index(of: live, "alice") == ["alice/tv"])
        }
    }

    @Test func `a renewal that finds the user full of ghosts takes a place of theirs`() async throws {
        let rules = PresenceRules.limited(to: 1, .refuseNewest)
        try await withPresence(rules) { under async throws in
            let dead = try await under.table.register(profile("cloud-1"), lease: .seconds(2))
            let live = try await under.table.register(profile("cloud-2"), lease: .seconds(60))
            let (phone, _) = try await under.table.bindOne(bind("alice/phone", live, 1))
            try await under.link.send(RedisCommand("DEL", "herald:user:{alice}"))
            _ = try await under.table.bindOne(bind("alice/pad", dead, 1))
            #expect(try await under.table.renew([phone], for: .seconds(60)) == [.refused])
            try await passTime(.seconds(2), at: under.link)
            #expect(try await under.table.renew([phone], for: .seconds(60)) != [.refused])
            #expect(try await under.table.routes(of: "alice").map(\.session) == [phone.session])
        }
    }
}
