import HeraldCore
import Testing

struct FanOutTests {
    @Test func `targets on one node share one delivery, and deliveries keep the order of the pushes`() throws
    {
        let first = try push(
            "p1",
            [.user(UserID("alice")), .key(UserKey("bob/phone")), .room(RoomID("news"))]
        )
        let second = try push("p2", [.user(UserID("alice"))])
        #expect(
            FanOut.lookup(for: [first, second])
                == Lookup(
                    users: [try UserID("alice"), try UserID("alice")],
                    keys: [try UserKey("bob/phone")],
                    rooms: [try RoomID("news")]
                )
        )

        let alice = [try route("alice/phone", "cloud-1#7.1"), try route("alice/laptop", "cloud-2#9.4")]
        let found = LookupAnswer(
            users: [alice, alice],
            keys: [try route("bob/phone", "cloud-2#9.5")],
            rooms: [[RoomShare(node: try NodeID("cloud-2"), incarnation: Incarnation(9), members: 3)]]
        )
        let fanOut = FanOut([first, second], found: found)

        #expect(fanOut.batches.map(\.node.description) == ["cloud-1", "cloud-2"])
        #expect(fanOut.batches[0].deliveries.map(\.push) == [first.id, second.id])
        #expect(fanOut.batches[0].deliveries[0].targets == [first.targets[0]])
        #expect(fanOut.batches[1].deliveries.map(\.push) == [first.id, second.id])
        #expect(fanOut.batches[1].deliveries[0].targets == first.targets)

        let answers = fanOut.answers(missed: [])
        #expect(answers.map(\.id) == [first.id, second.id])
        #expect(answers[0].verdicts.map(\.verdict) == [.routed, .routed, .routed])
        #expect(answers[0].verdicts[0].nodes.map(\.description) == ["cloud-1", "cloud-2"])
    }

    @Test func `a target without a route is offline and sends nothing`() throws {
        let push = try push(
            "p1",
            [.user(UserID("alice")), .key(UserKey("bob/phone")), .room(RoomID("r")), .everyone]
        )
        let fanOut = FanOut([push], found: LookupAnswer(users: [[]], keys: [nil], rooms: [[]], nodes: []))
        #expect(fanOut.batches.isEmpty)
        #expect(
            fanOut.answers(missed: [])[0].verdicts.map(\.verdict) == [.offline, .offline, .offline, .offline]
        )
    }

    @Test func `a node that took nothing makes its targets unreachable, and only those`() throws {
        let push = try push("p1", [.user(UserID("alice")), .user(UserID("bob"))])
        let found = LookupAnswer(users: [
            [try route("alice/phone", "cloud-1#7.1"), try route("alice/laptop", "cloud-2#9.4")],
            [try route("bob/phone", "cloud-1#7.2")],
        ])
        let verdicts = FanOut([push], found: found).answers(missed: [try NodeID("cloud-2")])[0].verdicts
        #expect(verdicts[0].verdict == .unreachable)
        #expect(verdicts[0].nodes.map(\.description) == ["cloud-1"])
        #expect(verdicts[0].missed.map(\.description) == ["cloud-2"])
        #expect(verdicts[1].verdict == .routed)
        #expect(verdicts[1].missed.isEmpty)
    }

    @Test func `several connections on one node make one send`() throws {
        let push = try push("p1", [.user(UserID("alice"))])
        let found = LookupAnswer(users: [
            [
                try route("alice/a", "cloud-1#7.1"), try route("alice/b", "cloud-1#7.2"),
                try route("alice/c", "cloud-1#7.3"),
            ]
        ])
        let fanOut = FanOut([push], found: found)
        #expect(fanOut.batches.count == 1)
        #expect(fanOut.batches[0].deliveries.count == 1)
        #expect(fanOut.answers(missed: [])[0].verdicts[0].nodes.count == 1)
    }

    private func push(_ id: String, _ targets: [Target]) throws -> Push {
        Push(id: try PushID(id), targets: targets, message: Message(event: "e"))
    }

    private func route(_ name: String, _ session: String) throws -> Route {
        Route(
            name: try UserKey(name),
            session: try #require(SessionID(session)),
            epoch: Epoch(1),
            expires: RedisTime(milliseconds: 1)
        )
    }
}
