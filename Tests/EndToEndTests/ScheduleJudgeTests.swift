import Testing

/// The judge, fed with histories of which one thing is wrong: it says so, and nothing else.
struct ScheduleJudgeTests {
    /// alice's phone is on cloud-1, her laptop was replaced on its way from cloud-2 to cloud-3, bob is gone.
    private static let right = ScheduleSighting(
        devices: ["alice/phone", "alice/laptop", "bob/phone"],
        wanted: ["alice/phone", "alice/laptop"],
        sockets: [
            socket(
                "alice/phone",
                "cloud-1",
                [("1", .key("alice/phone")), ("4", .user("alice")), ("6", .everyone)]
            ),
            socket("alice/laptop", "cloud-2", [("0", .key("alice/laptop"))], isLive: false),
            socket(
                "alice/laptop",
                "cloud-3",
                [("2", .key("alice/laptop")), ("4", .user("alice")), ("6", .everyone)]
            ),
            socket("bob/phone", "cloud-2", [], isLive: false),
        ],
        probes: [
            .init(id: "1", aim: .key("alice/phone"), verdict: "routed"),
            .init(id: "2", aim: .key("alice/laptop"), verdict: "routed"),
            .init(id: "3", aim: .key("bob/phone"), verdict: "offline"),
            .init(id: "4", aim: .user("alice"), verdict: "routed"),
            .init(id: "5", aim: .user("bob"), verdict: "offline"),
            .init(id: "6", aim: .everyone, verdict: "routed"),
        ],
        routes: ["alice/phone": "cloud-1", "alice/laptop": "cloud-3"]
    )

    private static func socket(
        _ name: String,
        _ node: String,
        _ shown: [(String, ScheduleSighting.Aim)],
        isLive: Bool = true
    ) -> ScheduleSighting.Socket {
        .init(name: name, node: node, isLive: isLive, shown: shown.map { .init(id: $0.0, aim: $0.1) })
    }

    /// One thing that may be wrong, and what is said of it.
    struct Wrong: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var never: [String] = []
        var yet: [String] = []
        var change: @Sendable (inout ScheduleSighting) -> Void
    }

    @Test func `a right history is right`() {
        let judgement = ScheduleJudgement(Self.right)
        #expect(judgement.never.isEmpty && judgement.yet.isEmpty, "\(judgement)")
    }

    @Test func `an older connection that is closed as replaced is right`() {
        var sighting = Self.right
        sighting.sockets[1].connected = 300
        sighting.sockets[1].ended = 600
        sighting.sockets[1].closeCode = 4501
        sighting.sockets[2].opened = 500
        #expect(ScheduleJudgement(sighting).never.isEmpty)
    }

    // It was opened first, and nobody can say when a node that does not answer accepted it.
    @Test func `a connection that never heard of its acceptance may have been the newer one`() {
        var sighting = Self.right
        sighting.sockets[2].opened = 500
        sighting.sockets[2].ended = 900
        sighting.sockets[2].closeCode = 4501
        #expect(ScheduleJudgement(sighting).never.isEmpty)
    }

    @Test(arguments: wrongs)
    func `a wrong one is called wrong`(_ wrong: Wrong) {
        var sighting = Self.right
        wrong.change(&sighting)
        let judgement = ScheduleJudgement(sighting)
        #expect(judgement.never == wrong.never)
        #expect(judgement.yet == wrong.yet)
    }

    private static let wrongs = [
        Wrong(testDescription: "a push twice", never: ["alice/phone on cloud-1 was shown 1 2 times"]) {
            $0.sockets[0].shown.append(.init(id: "1", aim: .key("alice/phone")))
        },
        Wrong(
            testDescription: "somebody else's push",
            never: ["bob/phone on cloud-2 was shown 1, which is for key(\"alice/phone\")"]
        ) { $0.sockets[3].shown.append(.init(id: "1", aim: .key("alice/phone"))) },
        Wrong(
            testDescription: "another user's push",
            never: ["alice/phone on cloud-1 was shown 5, which is for user(\"bob\")"]
        ) { $0.sockets[0].shown.append(.init(id: "5", aim: .user("bob"))) },
        Wrong(
            testDescription: "the newest connection closed as replaced",
            never: ["alice/laptop on cloud-3 was the newest, and closed as replaced at 900 ms"],
            yet: ["alice/laptop is not connected", "alice/laptop is not live, and Redis has cloud-3"]
        ) { sighting in
            sighting.sockets[1].connected = 300
            sighting.sockets[2].opened = 500
            sighting.sockets[2].isLive = false
            sighting.sockets[2].ended = 900
            sighting.sockets[2].closeCode = 4501
            sighting.probes[1].verdict = "offline"
        },
        Wrong(
            testDescription: "an orphan: connected, and judged offline",
            yet: ["key(\"alice/phone\") is offline, and live is: alice/phone on cloud-1"]
        ) { $0.probes[0].verdict = "offline" },
        Wrong(
            testDescription: "a ghost: gone, and judged routed",
            yet: ["key(\"bob/phone\") is routed, and live is: nobody"]
        ) { $0.probes[2].verdict = "routed" },
        Wrong(
            testDescription: "gone, and unreachable",
            yet: ["user(\"bob\") is unreachable, and live is: nobody"]
        ) { $0.probes[4].verdict = "unreachable" },
        Wrong(
            testDescription: "routed, and not shown",
            yet: ["alice/phone on cloud-1 was not shown 4, which is for user(\"alice\")"]
        ) { $0.sockets[0].shown.remove(at: 1) },
        Wrong(
            testDescription: "everyone, but not shown",
            yet: ["alice/laptop on cloud-3 was not shown 6, which is for everyone"]
        ) { $0.sockets[2].shown.removeLast() },
        Wrong(
            testDescription: "two live sockets of a key",
            yet: [
                "alice/laptop is live on cloud-2 and cloud-3",
                "alice/laptop on cloud-2 was not shown 2, which is for key(\"alice/laptop\")",
                "alice/laptop on cloud-2 was not shown 4, which is for user(\"alice\")",
                "alice/laptop on cloud-2 was not shown 6, which is for everyone",
                "alice/laptop is live on cloud-2, and Redis has cloud-3",
            ]
        ) { $0.sockets[1].isLive = true },
        Wrong(testDescription: "somebody wants in and is not", yet: ["bob/phone is not connected"]) {
            $0.wanted.insert("bob/phone")
        },
        Wrong(
            testDescription: "the route names another node",
            yet: ["alice/laptop is live on cloud-3, and Redis has cloud-2"]
        ) { $0.routes["alice/laptop"] = "cloud-2" },
        Wrong(
            testDescription: "no route for a living one",
            yet: ["alice/phone is live on cloud-1, and Redis has nothing"]
        ) { $0.routes["alice/phone"] = nil },
        Wrong(testDescription: "a route of nobody", yet: ["bob/phone is not live, and Redis has cloud-2"]) {
            $0.routes["bob/phone"] = "cloud-2"
        },
    ]
}
