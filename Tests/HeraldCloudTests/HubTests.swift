import HeraldCore
import HeraldSockets
import Testing

@testable import HeraldCloud

struct HubTests {
    @Test func `a push reaches exactly whom its targets name`() {
        var hub = Shard()
        hub.attach(1, "alice/phone", rooms: ["news"])
        hub.attach(2, "alice/laptop")
        hub.attach(3, "bob/phone", rooms: ["news", "sports"])
        hub.push("user", [.user(UserID(fixed: "alice"))])
        hub.push("key", [.key(UserKey(fixed: "bob/phone"))])
        hub.push("room", [.room(RoomID(fixed: "news"))])
        hub.push("all", [.everyone])
        #expect(hub.deliver() == false)
        #expect(hub.got(1) == ["user", "room", "all"])
        #expect(hub.got(2) == ["user", "all"])
        #expect(hub.got(3) == ["key", "room", "all"])
    }

    @Test func `several targets that name a connection are one frame, and the excluded get none`() {
        var hub = Shard()
        hub.attach(1, "alice/phone", rooms: ["news", "sports"])
        hub.attach(2, "bob/phone", rooms: ["news"])
        hub.push(
            "once",
            [
                .user(UserID(fixed: "alice")), .key(UserKey(fixed: "alice/phone")),
                .room(RoomID(fixed: "news")), .room(RoomID(fixed: "sports")), .everyone,
            ],
            exclude: ["bob/phone"]
        )
        hub.push("next", [.everyone])
        _ = hub.deliver()
        #expect(hub.got(1) == ["once", "next"])
        #expect(hub.got(2) == ["next"])
    }

    @Test func `a frame that came by a room says which`() {
        var hub = Shard()
        hub.attach(1, "alice/phone", rooms: ["news"])
        hub.push("a", [.room(RoomID(fixed: "news"))])
        hub.push("b", [.user(UserID(fixed: "alice"))])
        _ = hub.deliver()
        #expect(hub.rooms(1) == [RoomID(fixed: "news"), nil])
    }

    @Test func `targets that nobody here is are counted`() {
        var hub = Shard()
        hub.attach(1, "alice/phone")
        hub.push("a", [.user(UserID(fixed: "alice")), .user(UserID(fixed: "carol"))])
        hub.push("b", [.room(RoomID(fixed: "empty")), .key(UserKey(fixed: "alice/other"))])
        _ = hub.deliver()
        #expect(hub.hub.counts.missed == 3)
        #expect(hub.hub.counts.deliveries == 2)
        #expect(hub.hub.counts.frames == 1)
    }

    @Test func `a target is missed only when no loop has it, and who asked is told`() {
        var batch = Self.batch(of: 3, loops: 3)
        #expect(batch.finish(found: [0]).count == 0)
        #expect(batch.finish(found: []).count == 0)
        let missed = batch.finish(found: [0, 2])
        #expect(missed.count == 1)
        #expect(missed.receipts.map(\.sender) == ["logic-1"])
        #expect(missed.receipts.map(\.receipt) == [Receipt(ticket: 5, target: 1, reach: nil, isFinal: true)])
        // What a loop had no room for is not said to be nowhere.
        batch = Self.batch(of: 3, loops: 2)
        batch.refuse()
        #expect(batch.finish(found: []).receipts.isEmpty)
    }

    private static func batch(of targets: Int, loops: Int) -> DeliveryBatch {
        let delivery = Delivery(
            push: PushID(fixed: "p"),
            message: Message(),
            targets: (0..<targets).map { .user(UserID(fixed: "user\($0)")) },
            query: ReceiptQuery(ticket: 5, confirm: .routed, patience: .seconds(3))
        )
        let envelope = Envelope(sender: "logic-1", deliveries: [delivery])
        return DeliveryBatch([envelope], loops: loops, at: Moment(milliseconds: 0))
    }

    @Test func `a large room goes out in slices, and what is later overtakes it in its order for each`() {
        var hub = Shard()
        for slot in 0..<1000 { hub.attach(slot, "user\(slot)/phone", rooms: ["big"]) }
        hub.push("big", [.room(RoomID(fixed: "big"))])
        hub.push("after", [.key(UserKey(fixed: "user999/phone")), .key(UserKey(fixed: "user0/phone"))])
        var slices = 0
        while hub.deliver(budget: 100) {
            slices += 1
            #expect(hub.sent.count <= slices * 100)
            #expect(hub.got(0) == ["big", "after"])
        }
        #expect(slices == 10)
        for slot in 0..<1000 {
            #expect(hub.got(slot) == (slot == 0 || slot == 999 ? ["big", "after"] : ["big"]))
        }
    }

    @Test(arguments: 1...20)
    func `whoever stays in a room while it is delivered gets it once`(seed: Int) {
        var dice = Dice(seed: UInt64(seed))
        var hub = Shard()
        for slot in 0..<300 { hub.attach(slot, "user\(slot)/phone", rooms: ["big"]) }
        var gone: Set<Int> = []
        var late = 300
        hub.push("big", [.room(RoomID(fixed: "big"))])
        while hub.deliver(budget: 16) {
            for _ in 0..<5 {
                let slot = Int(dice.next() % 300)
                if gone.insert(slot).inserted {
                    if dice.next() % 2 == 0 {
                        _ = hub.hub.leave(slot, RoomID(fixed: "big"))
                    } else {
                        _ = hub.hub.detach(slot)
                    }
                }
            }
            hub.attach(late, "user\(late)/phone", rooms: ["big"])
            late += 1
        }
        for slot in 0..<300 where !gone.contains(slot) { #expect(hub.got(slot) == ["big"]) }
        for slot in gone { #expect(hub.got(slot).count <= 1) }
    }

    @Test func `what comes before a session is announced is kept, in order, and bounded`() {
        var hub = Shard()
        hub.attach(1, "alice/phone", announced: false)
        hub.push("a", [.user(UserID(fixed: "alice"))])
        hub.push("b", [.everyone])
        _ = hub.deliver()
        #expect(hub.got(1) == [])
        #expect(hub.hub.announce(1).count == 2)
        hub.push("c", [.everyone])
        _ = hub.deliver()
        #expect(hub.got(1) == ["c"])

        hub.attach(2, "bob/phone", announced: false)
        for number in 0...Hub.heldFramesMax { hub.push("p\(number)", [.user(UserID(fixed: "bob"))]) }
        _ = hub.deliver()
        #expect(hub.hub.overheld == [Shard.socket(2)])
        #expect(hub.hub.announce(2).count == Hub.heldFramesMax)
    }

    @Test func `what comes before a session is announced gives way there, too`() {
        var hub = Shard()
        hub.attach(1, "alice/phone", rooms: ["news"], announced: false)
        let alice = Target.user(UserID(fixed: "alice"))
        let score = QueuePolicy(collapseKey: CollapseKey(fixed: "score"))
        hub.push("a", [alice], policy: score)
        hub.push("b", [alice])
        hub.push("c", [.room(RoomID(fixed: "news"))], policy: score)
        hub.push("d", [.everyone], policy: score)
        for number in 0..<Hub.heldFramesMax {
            hub.push("x\(number)", [alice], policy: QueuePolicy(isDroppable: true))
        }
        _ = hub.deliver()
        #expect(hub.hub.overheld.isEmpty)
        #expect(hub.hub.counts.collapsed == 1)
        #expect(hub.hub.counts.yielded == UInt64(Hub.heldFramesMax / 2 + 3))
        let kept = hub.hub.announce(1)
        #expect(kept.count == Hub.heldFramesMax / 2)
        var sink = Shard()
        for frame in kept { hub.hub.pass(frame, 1, Shard.socket(1), &sink) }
        #expect(sink.got(1).prefix(4) == ["b", "c", "d", "x0"])
    }

    @Test func `what stands in an inbox gives way to nothing`() {
        let delivery = Delivery(
            push: PushID(fixed: "p"),
            message: Message(),
            targets: [.user(UserID(fixed: "alice")), .room(RoomID(fixed: "news"))],
            positions: [InboxPosition(epoch: 1, offset: 1), nil],
            queuePolicy: QueuePolicy(collapseKey: CollapseKey(fixed: "k"), isDroppable: true)
        )
        for (kept, hasPolicy) in [(delivery, false), (delivery.unkept, true)] {
            let envelope = Envelope(sender: "logic-1", deliveries: [kept])
            let batch = DeliveryBatch([envelope], loops: 1, at: Moment(milliseconds: 0))
            #expect(batch.items[0].parts.allSatisfy { $0.frame.hasPolicy == hasPolicy })
        }
    }

    @Test func `two sockets of one key both get it until one of them has gone`() {
        var hub = Shard()
        hub.attach(1, "alice/phone")
        hub.attach(2, "alice/phone")
        hub.push("a", [.key(UserKey(fixed: "alice/phone"))])
        _ = hub.deliver()
        _ = hub.hub.detach(1)
        hub.push("b", [.key(UserKey(fixed: "alice/phone"))])
        _ = hub.deliver()
        #expect(hub.got(1) == ["a"])
        #expect(hub.got(2) == ["a", "b"])
    }

    @Test func `nothing is left of who has gone`() {
        var hub = Shard()
        for slot in 0..<500 { hub.attach(slot, "user\(slot % 90)/k\(slot)", rooms: ["r\(slot % 11)"]) }
        #expect(hub.hub.userCount == 90)
        #expect(hub.hub.roomCount == 11)
        for slot in 0..<500 {
            let left = hub.hub.detach(slot)
            #expect(left?.rooms == [RoomID(fixed: "r\(slot % 11)")])
            #expect(left?.name == UserKey(fixed: "user\(slot % 90)/k\(slot)"))
        }
        #expect(hub.hub.userCount == 0)
        #expect(hub.hub.roomCount == 0)
        #expect(hub.hub.count == 0)
    }
}

extension Delivery {
    fileprivate var unkept: Delivery {
        var copy = self
        copy.positions = []
        return copy
    }
}
