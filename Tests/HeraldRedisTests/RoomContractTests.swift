import HeraldCore
import HeraldRedis
import HeraldTesting
import Testing

/// What every `RouteTable` promises of rooms. Runs against the one in memory and the one on Redis.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct RoomContractTests {
    @Test(arguments: Kind.allCases)
    func `members are listed page by page over all nodes`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let leases = [
                try await table.register(profile("cloud-1"), lease: .seconds(10)),
                try await table.register(profile("cloud-2"), lease: .seconds(10)),
            ]
            let news = try RoomID("news")
            let names =
                try (0..<120).map { try UserKey("user-\($0)/phone") } + [UserKey("é/[a"), UserKey("-/(z")]
            for (index, lease) in leases.enumerated() {
                let mine = names.enumerated().filter { $0.offset % 2 == index }.map(\.element)
                let telling = RoomTelling(
                    members: mine.count,
                    isAnew: true,
                    joined: mine,
                    listed: mine.count
                )
                #expect(try await table.share([news: telling], of: lease, for: .seconds(60)) == [])
            }
            for limit in [5, 40, 1000] {
                var seen: [UserKey] = []
                var cursor: UserKey?
                repeat {
                    let page = try await table.members(of: news, after: cursor, limit: limit)
                    #expect(page.total == names.count && page.listed == names.count)
                    seen += page.members.map(\.name)
                    cursor = page.next
                } while cursor != nil
                #expect(seen == names.sorted(by: RoomMembers.precedes))
            }
            let last = try await table.members(of: news, after: UserKey("user-99/phone"), limit: 5)
            #expect(last.members == [RoomMember(name: try UserKey("é/[a"), node: leases[0].node)])
            #expect(try await table.members(of: RoomID("none"), after: nil, limit: 5) == RoomMembers())
        }
    }

    @Test(arguments: Kind.allCases)
    func `a list changes by name, and ends with the share`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let lease = try await table.register(profile(), lease: .seconds(10))
            let news = try RoomID("news")
            let (alice, bob) = (try UserKey("alice/phone"), try UserKey("bob/phone"))
            func tell(_ telling: RoomTelling) async throws -> Set<RoomID> {
                try await table.share([news: telling], of: lease, for: .seconds(60))
            }
            func listed() async throws -> [UserKey] {
                try await table.members(of: news, after: nil, limit: 10).members.map(\.name)
            }
            #expect(try await tell(RoomTelling(members: 2, joined: [alice, bob], listed: 2)) == [])
            #expect(try await tell(RoomTelling(members: 1, left: [bob], listed: 1)) == [])
            #expect(try await listed() == [alice])
            // The same again, as after a lost reply.
            #expect(try await tell(RoomTelling(members: 1, left: [bob], listed: 1)) == [])
            #expect(try await tell(RoomTelling(members: 2, listed: 2)) == [news])
            #expect(try await tell(RoomTelling(members: 1, isAnew: true, joined: [bob], listed: 1)) == [])
            #expect(try await listed() == [bob])
            #expect(try await tell(0) == [])
            #expect(try await listed() == [])
            // Only counted.
            #expect(try await tell(3) == [])
            let page = try await table.members(of: news, after: nil, limit: 10)
            #expect(page == RoomMembers(total: 3, listed: 0))
        }
    }

    @Test(arguments: Kind.allCases)
    func `a crashed node's members go with its lease, and do not come back with it`(
        _ kind: Kind
    ) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let news = try RoomID("news")
            let dead = try await table.register(profile("cloud-1"), lease: .seconds(5))
            let live = try await table.register(profile("cloud-2"), lease: .seconds(20))
            for (lease, name) in [(dead, "alice/phone"), (live, "bob/phone")] {
                let telling = RoomTelling(members: 1, joined: [try UserKey(name)], listed: 1)
                try await table.share([news: telling], of: lease, for: .seconds(60))
            }
            #expect(try await table.largestRooms(5).rooms.map(\.members) == [2])
            try await under.pass(.seconds(5))
            let page = try await table.members(of: news, after: nil, limit: 10)
            #expect(page.members == [RoomMember(name: try UserKey("bob/phone"), node: live.node)])
            #expect(page.total == 1 && page.listed == 1)
            _ = try await table.register(profile("cloud-1"), lease: .seconds(10))
            #expect(try await table.members(of: news, after: nil, limit: 10) == page)
            #expect(try await table.largestRooms(5).rooms == [RoomSize(room: news, members: 1, nodes: 1)])
        }
    }

    @Test(arguments: Kind.allCases)
    func `a list that Redis lost is found by its length`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let news = try RoomID("news")
            let lease = try await table.register(profile(), lease: .seconds(10))
            let alice = try UserKey("alice/phone")
            try await table.share(
                [news: RoomTelling(members: 1, joined: [alice], listed: 1)],
                of: lease,
                for: .seconds(60)
            )
            try await under.forget()
            let again = RoomTelling(members: 1, listed: 1)
            #expect(try await table.share([news: again], of: lease, for: .seconds(60)) == [news])
        }
    }

    @Test(arguments: Kind.allCases)
    func `the largest rooms are those of all nodes together`(_ kind: Kind) async throws {
        try await withTable(kind) { under async throws in
            let table = under.table
            let one = try await table.register(profile("cloud-1"), lease: .seconds(10))
            let two = try await table.register(profile("cloud-2"), lease: .seconds(10))
            #expect(try await table.largestRooms(3) == LargestRooms())
            try await table.share(
                [RoomID("a"): 5, RoomID("b"): 4, RoomID("c"): 1],
                of: one,
                for: .seconds(60)
            )
            try await table.share([RoomID("b"): 4, RoomID("d"): 5], of: two, for: .seconds(60))
            let largest = try await table.largestRooms(3)
            #expect(
                try largest.rooms == [
                    RoomSize(room: RoomID("b"), members: 8, nodes: 2),
                    RoomSize(room: RoomID("a"), members: 5, nodes: 1),
                    RoomSize(room: RoomID("d"), members: 5, nodes: 1),
                ]
            )
            #expect(largest.isExact)
            try await table.share([RoomID("b"): 0, RoomID("d"): 1], of: two, for: .seconds(60))
            let rooms = try await table.largestRooms(10).rooms
            #expect(rooms.map(\.room.description) == ["a", "b", "c", "d"])
            #expect(rooms.map(\.members) == [5, 4, 1, 1])
        }
    }

    @Test func `lists and sizes in Redis expire and are readable`() async throws {
        try await withRedisTable { table, link async throws in
            let lease = try await table.register(profile(), lease: .seconds(10))
            let telling = RoomTelling(members: 1, joined: [try UserKey("alice/phone")], listed: 1)
            try await table.share([RoomID("news"): telling], of: lease, for: .seconds(60))
            let list = "herald:room:{news}:list:cloud-1#\(lease.incarnation)"
            let sizes = "herald:node:{cloud-1}:rooms:\(lease.incarnation)"
            let names = try await link.send(RedisCommand("ZRANGE", .text(list), 0, -1))
            #expect(names == .array([.string(Array("alice/phone".utf8))]))
            #expect(try await link.send(RedisCommand("ZSCORE", .text(sizes), "news")).text == "1")
            for key in [list, sizes] {
                let left = try await link.send(RedisCommand("PTTL", .text(key))).number ?? 0
                #expect((50_000...60_000).contains(left))
            }
            try await table.share([RoomID("news"): 0], of: lease, for: .seconds(60))
            #expect(try await link.send(RedisCommand("EXISTS", .text(list), .text(sizes))).number == 0)
        }
    }
}
