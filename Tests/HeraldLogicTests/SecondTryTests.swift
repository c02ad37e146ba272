import HeraldCore
import Testing

@testable import HeraldLogic

struct SecondTryTests {
    private let one: NodeID
    private let two: NodeID
    private let three: NodeID

    init() throws {
        one = try NodeID("cloud-1")
        two = try NodeID("cloud-2")
        three = try NodeID("cloud-3")
    }

    @Test func `nothing missed, nothing to do`() throws {
        let again = SecondTry([try push("a", to: .everyone)], answers: [try answer("a", .routed, [one])])
        #expect(!again.isNeeded)
    }

    @Test func `only the targets that missed a node are tried again`() throws {
        let pushes = [try push("a", to: .user("x"), .user("y")), try push("b", to: .user("x"))]
        let answers = [
            PushAnswer(
                id: try PushID("a"),
                verdicts: [
                    TargetVerdict(target: try .user("x"), verdict: .routed, nodes: [one]),
                    TargetVerdict(target: try .user("y"), verdict: .unreachable, nodes: [one], missed: [two]),
                ]
            ),
            try answer("b", .routed, [one]),
        ]
        let again = SecondTry(pushes, answers: answers)
        #expect(again.isNeeded)
        #expect(try again.pushes.map(\.targets) == [[.user("y")]])
        #expect(again.complete == [nil, answers[1]])

        // Now on 2 and 3, and 2 takes it: 1 has it already.
        let found = LookupAnswer(users: [[try route(one), try route(two), try route(three)]])
        let fanOut = again.fanOut(found)
        #expect(fanOut.batches.map(\.node) == [two, three])
        let final = again.answers(fanOut.answers(missed: [three]))
        #expect(final[1] == nil)
        #expect(final[0]?.summary == ["routed cloud-1", "unreachable cloud-1,cloud-2 not cloud-3"])
    }

    @Test(
        arguments: [
            // What the second look-up finds, which of that is missed again, and the verdict then.
            ([], [], "offline"),
            (["cloud-1"], [], "routed cloud-1"),
            (["cloud-1"], ["cloud-1"], "unreachable not cloud-1"),
            (["cloud-2"], [], "routed cloud-2"),
        ] as [([String], [String], String)]
    )
    func `a target that nobody took becomes what the second try makes of it`(
        found: [String],
        missed: [String],
        verdict: String
    ) throws {
        let missing = TargetVerdict(target: .everyone, verdict: .unreachable, missed: [one])
        let again = SecondTry(
            [try push("a", to: .everyone)],
            answers: [PushAnswer(id: try PushID("a"), verdicts: [missing])]
        )
        let fanOut = again.fanOut(LookupAnswer(nodes: try found.map { try NodeID($0) }))
        let final = again.answers(fanOut.answers(missed: Set(try missed.map { try NodeID($0) })))
        #expect(final[0]?.summary == [verdict])
    }

    @Test func `a target whose nodes all have it by now is routed`() throws {
        let missing = TargetVerdict(
            target: try .room("r"),
            verdict: .unreachable,
            nodes: [one],
            missed: [two]
        )
        let again = SecondTry(
            [try push("a", to: .room("r"))],
            answers: [PushAnswer(id: try PushID("a"), verdicts: [missing])]
        )
        let share = RoomShare(node: one, incarnation: Incarnation(1), members: 2)
        let fanOut = again.fanOut(LookupAnswer(rooms: [[share]]))
        #expect(fanOut.batches.isEmpty)
        #expect(again.answers(fanOut.answers(missed: []))[0]?.summary == ["routed cloud-1"])
    }

    @Test func `a key that moved is followed`() throws {
        let missing = TargetVerdict(target: try .key("x/k"), verdict: .unreachable, missed: [one])
        let again = SecondTry(
            [try push("a", to: .key("x/k"))],
            answers: [PushAnswer(id: try PushID("a"), verdicts: [missing])]
        )
        let fanOut = again.fanOut(LookupAnswer(keys: [try route(two)]))
        #expect(fanOut.batches.map(\.node) == [two])
        #expect(again.answers(fanOut.answers(missed: []))[0]?.summary == ["routed cloud-2"])
    }

    private func answer(_ name: String, _ verdict: Verdict, _ nodes: [NodeID]) throws -> PushAnswer {
        let target = TargetVerdict(target: .everyone, verdict: verdict, nodes: nodes)
        return PushAnswer(id: try PushID(name), verdicts: [target])
    }

    private func route(_ node: NodeID) throws -> Route {
        Route(
            name: try UserKey("x/k"),
            session: SessionID(node: node, incarnation: Incarnation(1), counter: 1),
            epoch: Epoch(1),
            expires: RedisTime(milliseconds: 2)
        )
    }
}
