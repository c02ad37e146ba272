import Testing

@testable import HeraldCore

struct RoomMembersTests {
    @Test func `pages of several nodes come to all names once, in byte order`() throws {
        let lists = [
            "cloud-1": try (0..<100).map { try UserKey("user-\($0 * 3)/phone") },
            "cloud-2": try (0..<7).map { try UserKey("zoe-\($0)/é") } + [try UserKey("user-3/phone")],
            "cloud-3": [try UserKey("a/b/c")],
        ]
        let all = Set(lists.values.joined())
        for limit in [1, 2, 7, 50, 1000] {
            var seen: [UserKey] = []
            var cursor: UserKey?
            var pages = 0
            repeat {
                let page = try page(of: lists, after: cursor, limit: limit)
                #expect(page.members.count <= limit && (page.next == nil || !page.members.isEmpty))
                seen += page.members.map(\.name)
                cursor = page.next
                pages += 1
            } while cursor != nil && pages < 1000
            #expect(Set(seen) == all && seen.count == all.count, "limit \(limit)")
            #expect(seen == seen.sorted(by: RoomMembers.precedes))
        }
    }

    @Test func `a page that ends where the names end is the last`() throws {
        let lists = ["cloud-1": try ["a/1", "b/1"].map { try UserKey($0) }]
        #expect(try page(of: lists, after: nil, limit: 2).next == nil)
        #expect(try page(of: lists, after: nil, limit: 1).next == UserKey("a/1"))
        #expect(try page(of: lists, after: UserKey("b/1"), limit: 1) == RoomMembers())
        // The cursor need not be there any more.
        #expect(try page(of: lists, after: UserKey("a/9"), limit: 5).members.map(\.name) == [UserKey("b/1")])
    }

    /// As a table answers.
    private func page(
        of lists: [String: [UserKey]],
        after cursor: UserKey?,
        limit: Int
    ) throws -> RoomMembers {
        let asked = RoomListPart.asked(nodes: lists.count, limit: limit)
        let parts = try lists.map { node, names in
            let rest = names.sorted(by: RoomMembers.precedes).filter { name in
                cursor.map { RoomMembers.precedes($0, name) } ?? true
            }
            return RoomListPart(node: try NodeID(node), names: Array(rest.prefix(asked + 1)), asked: asked)
        }
        return RoomMembers(merging: parts, limit: limit, total: 0, listed: 0)
    }
}

struct RoomRankingTests {
    @Test func `a room that is second everywhere is found first`() throws {
        let nodes = try (0..<10).map { node in
            [(try RoomID("own-\(node)"), 10), (try RoomID("everywhere"), 9), (try RoomID("rest-\(node)"), 1)]
        }
        let largest = rank(nodes, asked: 3, count: 1)
        #expect(try largest.rooms == [RoomSize(room: RoomID("everywhere"), members: 90, nodes: 10)])
        #expect(largest.isExact)
    }

    @Test func `what may be missed is told`() throws {
        // The third of each node is one and the same room, and no node is asked for it.
        let nodes = try (0..<10).map { node in
            [(try RoomID("own-\(node)"), 10), (try RoomID("other-\(node)"), 9), (try RoomID("hidden"), 8)]
        }
        #expect(!rank(nodes, asked: 2, count: 3).isExact)
        #expect(try rank(nodes, asked: 3, count: 1).rooms.map(\.room) == [RoomID("hidden")])
    }

    @Test func `lists that are whole hide nothing, and rooms that are gone do not count`() throws {
        let nodes = [[(try RoomID("a"), 3), (try RoomID("b"), 3), (try RoomID("gone"), 9)]]
        let ranking = RoomRanking(parts: [nodes[0].map { (room: $0.0, members: $0.1) }], asked: 5, max: 10)
        #expect(ranking.unseenMax == 0)
        let shares = try ranking.candidates.map { room in
            room == (try RoomID("gone")) ? [] : [try share("cloud-1", 3)]
        }
        let largest = ranking.largest(shares, count: 10)
        #expect(largest.rooms.map(\.room.description) == ["a", "b"] && largest.isExact)
    }

    private func share(_ node: String, _ members: Int) throws -> RoomShare {
        RoomShare(node: try NodeID(node), incarnation: Incarnation(1), members: members)
    }

    /// As a table answers.
    private func rank(_ nodes: [[(RoomID, Int)]], asked: Int, count: Int) -> LargestRooms {
        let parts = nodes.map { $0.prefix(asked).map { (room: $0.0, members: $0.1) } }
        let ranking = RoomRanking(parts: parts, asked: asked, max: 100)
        let shares = ranking.candidates.map { room in
            nodes.flatMap { rooms in rooms.filter { $0.0 == room } }.enumerated().compactMap { index, entry in
                (try? NodeID("cloud-\(index)")).map {
                    RoomShare(node: $0, incarnation: Incarnation(1), members: entry.1)
                }
            }
        }
        return ranking.largest(shares, count: count)
    }
}
