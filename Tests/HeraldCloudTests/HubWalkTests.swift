import HeraldCore
import Testing

@testable import HeraldCloud

/// Several messages on their way through rooms at once.
struct HubWalkTests {
    private static let room = RoomID(fixed: "big")

    private static func crowd(_ count: Int, rooms: [String] = ["big"]) -> Shard {
        var hub = Shard()
        for slot in 0..<count { hub.attach(slot, "user\(slot)/phone", rooms: rooms) }
        return hub
    }

    @Test func `messages that wait for a room go out in one write a member`() {
        var hub = Self.crowd(100)
        for number in 0..<64 { hub.push("p\(number)", [.room(Self.room)]) }
        let isMore = hub.deliver()
        #expect(!isMore)
        #expect(hub.writes == Array(repeating: 64, count: 100))
        for slot in 0..<100 { #expect(hub.got(slot) == (0..<64).map { "p\($0)" }) }
        #expect(hub.hub.counts.frames == 6400)
        #expect(hub.hub.counts.deliveries == 64)
    }

    @Test func `a message joins the walk that is under way`() {
        var hub = Self.crowd(100)
        hub.push("a", [.room(Self.room)])
        let isMore = hub.deliver(budget: 50)
        #expect(isMore)
        let before = hub.writes.count
        hub.push("b", [.room(Self.room)])
        while hub.deliver(budget: 50) {}
        for slot in 0..<100 { #expect(hub.got(slot) == ["a", "b"]) }
        // Those whom the first had not reached got both at once.
        #expect(hub.writes.count == before + 100)
    }

    @Test func `a socket that takes no bundle gets the messages one by one`() {
        var hub = Self.crowd(10)
        hub.wantsOneByOne = true
        for number in 0..<5 { hub.push("p\(number)", [.room(Self.room)]) }
        let isMore = hub.deliver()
        #expect(!isMore)
        #expect(hub.writes == Array(repeating: 1, count: 50))
        for slot in 0..<10 { #expect(hub.got(slot) == (0..<5).map { "p\($0)" }) }
        #expect(hub.hub.counts.frames == 50)
    }

    @Test func `more than a walk takes waits, and still everybody gets everything in order`() {
        var hub = Self.crowd(3)
        let names = (0..<(RoomWalks.messagesMax * 2 + 10)).map { "p\($0)" }
        for name in names { hub.push(name, [.room(Self.room)]) }
        while hub.deliver(budget: 64) { #expect(hub.hub.queue.walks.messageCount <= RoomWalks.messagesMax) }
        for slot in 0..<3 { #expect(hub.got(slot) == names) }
        #expect(hub.hub.queue.walks.messageCount == 0 && hub.hub.queue.walks.byteCount == 0)
    }

    @Test func `a slice is shorter the more bytes each member gets`() {
        var hub = Self.crowd(100)
        for number in 0..<3 { hub.push("p\(number)", [.room(Self.room)], dataBytes: 50_000) }
        // Three deliveries are taken first; each visit then counts ten, for its 150 KB.
        var isMore = hub.deliver(budget: 53)
        #expect(isMore)
        #expect(hub.sent.count == 5 * 3)
        while isMore {
            let before = hub.sent.count
            isMore = hub.deliver(budget: 50)
            #expect(hub.sent.count - before <= 5 * 3)
        }
        for slot in 0..<100 { #expect(hub.got(slot) == ["p0", "p1", "p2"]) }
    }

    @Test func `whoever is in two rooms gets the messages of both in order, and one for both once`() {
        var hub = Self.crowd(20, rooms: ["big", "other"])
        let other = RoomID(fixed: "other")
        hub.push("a", [.room(Self.room)])
        hub.push("b", [.room(other)])
        hub.push("c", [.room(Self.room), .room(other)])
        hub.push("d", [.everyone])
        hub.push("e", [.room(other)])
        while hub.deliver(budget: 3) {}
        for slot in 0..<20 { #expect(hub.got(slot) == ["a", "b", "c", "d", "e"]) }
    }

    @Test func `a session that is not announced is kept what its room gets`() {
        var hub = Self.crowd(5)
        hub.attach(5, "late/phone", rooms: ["big"], announced: false)
        hub.push("a", [.room(Self.room)])
        hub.push("b", [.room(Self.room)])
        _ = hub.deliver()
        #expect(hub.got(5) == [])
        hub.announce(5)
        #expect(hub.got(5) == ["a", "b"])
    }

    @Test func `the bytes of a batch are done when its messages have got off`() {
        var hub = Self.crowd(10)
        hub.push("a", [.room(Self.room), .user(UserID(fixed: "user1"))])
        let bytes = hub.hub.queue.head?.byteCount ?? 0
        #expect(bytes > 0)
        let isMore = hub.deliver(budget: 4)
        #expect(isMore)
        #expect(hub.hub.counts.finishedBytes == 0)
        while hub.deliver(budget: 4) {}
        #expect(hub.hub.counts.finishedBytes == bytes)
        hub.push("b", [.room(RoomID(fixed: "empty"))])
        _ = hub.deliver()
        #expect(hub.hub.counts.finishedBytes > bytes)
    }

    @Test func `a followed message goes along, and counts whom it reached`() throws {
        var hub = Self.crowd(30)
        let query = ReceiptQuery(ticket: 9, confirm: .written, patience: .seconds(3))
        hub.push("a", [.room(Self.room)])
        hub.push("b", [.room(Self.room)], exclude: ["user7/phone"], query: query)
        hub.push("c", [.room(Self.room)])
        while hub.deliver(budget: 7) {}
        for slot in 0..<30 { #expect(hub.got(slot) == (slot == 7 ? ["a", "c"] : ["a", "b", "c"])) }
        let tally = try #require(hub.tallies.first)
        var receipts = tally.takeReceipts(at: Moment(milliseconds: 1))
        #expect(receipts.map(\.reach) == [Reach(connections: 29)])
        #expect(receipts.map(\.isFinal) == [false])
        for slot in 0..<30 { _ = hub.hub.awaited.written(1, to: slot) }
        receipts = tally.takeReceipts(at: Moment(milliseconds: 2))
        #expect(receipts.map(\.reach) == [Reach(connections: 29, written: 29)])
        #expect(receipts.map(\.isFinal) == [true])
    }

    @Test func `a followed message for a room that is not here says so`() throws {
        var hub = Self.crowd(1)
        let query = ReceiptQuery(ticket: 9, confirm: .written, patience: .seconds(3))
        hub.push("a", [.room(RoomID(fixed: "empty"))], query: query)
        _ = hub.deliver()
        let receipts = try #require(hub.tallies.first).takeReceipts(at: Moment(milliseconds: 1))
        #expect(receipts == [Receipt(ticket: 9, target: 0, reach: nil, isFinal: true)])
    }

    @Test func `several followed targets wait for the walks, and each counts its own`() throws {
        var hub = Self.crowd(10)
        hub.attach(10, "user3/tablet")
        let query = ReceiptQuery(ticket: 9, confirm: .written, patience: .seconds(3))
        hub.push("a", [.room(Self.room)])
        hub.push("b", [.room(Self.room), .user(UserID(fixed: "user3"))], query: query)
        hub.push("c", [.room(Self.room)])
        while hub.deliver(budget: 3) {}
        for slot in 0..<10 { #expect(hub.got(slot) == ["a", "b", "c"]) }
        #expect(hub.got(10) == ["b"])
        let receipts = try #require(hub.tallies.first).takeReceipts(at: Moment(milliseconds: 1))
        #expect(receipts.map { $0.reach?.connections } == [10, 2])
    }

    @Test func `a room that ends under its walk takes its messages with it, and may begin again`() {
        var hub = Self.crowd(4)
        hub.push("a", [.room(Self.room)])
        let isMore = hub.deliver(budget: 2)
        #expect(isMore)
        for slot in 0..<4 { _ = hub.hub.detach(slot) }
        hub.attach(0, "new/phone", rooms: ["another"])
        hub.push("b", [.room(RoomID(fixed: "another"))])
        while hub.deliver(budget: 2) {}
        #expect(hub.got(0).last == "b" && !hub.got(0).dropLast().contains("b"))
        #expect(hub.sent.count == 2)
        #expect(hub.hub.queue.walks.isEmpty)
    }
}
