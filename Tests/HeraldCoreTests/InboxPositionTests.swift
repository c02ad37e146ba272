import HeraldCore
import Testing

struct InboxPositionTests {
    @Test(arguments: [
        InboxPosition(epoch: 0, offset: 0), InboxPosition(epoch: 1_712_345_678_901, offset: 42),
        InboxPosition(epoch: .max, offset: .max),
    ])
    func `a place is read back as it is written`(position: InboxPosition) {
        #expect(InboxPosition(position.description) == position)
    }

    @Test(arguments: [
        "", ".", "1", "1.", ".1", "1.2.3", "-1.2", "1.-2", "1 .2", "a.b", "1.18446744073709551616", "0x1.2",
        "1..2",
    ])
    func `what is no place is none`(text: String) {
        #expect(InboxPosition(text) == nil)
    }

    @Test func `a delivery's places stand beside its targets`() throws {
        let alice = Target.user(try UserID("alice"))
        let news = Target.room(try RoomID("news"))
        let place = InboxPosition(epoch: 7, offset: 3)
        var push = Push(id: try PushID("p"), targets: [alice, news], message: Message(), isDurable: true)
        push.positions = [news: place]
        let node = try NodeID("cloud-1")
        let session = SessionID(node: node, incarnation: Incarnation(1), counter: 1)
        let route = Route(
            name: try UserKey("alice/phone"),
            session: session,
            epoch: Epoch(1),
            expires: RedisTime(milliseconds: 1)
        )
        let share = RoomShare(node: node, incarnation: Incarnation(1), members: 1)
        let found = LookupAnswer(users: [[route]], rooms: [[share]])
        let delivery = try #require(FanOut([push], found: found).batches.first?.deliveries.first)
        #expect(delivery.targets == [alice, news] && delivery.positions == [nil, place])
        #expect(delivery.position(at: 1) == place && delivery.position(at: 2) == nil)
        push.positions = [:]
        #expect(FanOut([push], found: found).batches.first?.deliveries.first?.positions == [])
    }
}
