import HeraldClient
import HeraldCore
import HeraldTesting
import Testing

/// Pushes that give way at a client that does not read: the whole path on real parts.
@Suite(.timeLimit(.minutes(3))) struct SlowConsumerTests {
    /// 12 MB wait for the client, of which the kernel takes less than 5.
    private static let fillings = 60
    private static let environment = [
        "HERALD_SOCKETS_SEND_QUEUE_BYTES_MAX": "12MiB", "HERALD_SOCKETS_PING_INTERVAL": "1h",
    ]

    @Test func `who reads late sees only the newest, others see all, and the verdicts say so`() async throws {
        try await LocalHerald.run(nodes: 1, environment: Self.environment) { herald in
            let slow = try DeafClient(port: herald.cloudPort, query: "user=slow&key=phone&room=match")
            let reader = Witness.Place(
                url: herald.cloudURL(1),
                user: "bob",
                key: "tv",
                rooms: ["match"]
            )
            try await Witness.with([reader]) { clients in
                let backend = try HeraldPushClient(url: herald.logicURL(""))
                try await Self.fill(backend)

                let targets: [Target] = [.user(try UserID("slow")), .room(try RoomID("match"))]
                var answers: [Task<PushAnswer, any Error>] = []
                defer { for answer in answers { answer.cancel() } }
                for number in 1...4 {
                    let request = PushRequest(
                        to: targets,
                        Message(event: "score \(number)"),
                        queuePolicy: QueuePolicy(collapseKey: try CollapseKey("score/match")),
                        confirm: .written,
                        deadline: .seconds(30)
                    )
                    answers.append(Task { try await backend.push(request) })
                    try await eventually("the reader sees score \(number)", within: .seconds(20)) {
                        clients[0].pushes.last?.message.event == "score \(number)"
                    }
                }
                for answer in answers.dropLast() {
                    let verdicts = try await answer.value.verdicts
                    #expect(verdicts.map(\.verdict) == [.dropped, .written])
                    #expect(verdicts[0].reach == Reach(connections: 1, dropped: 1, collapsed: 1))
                    #expect(verdicts[1].reach == Reach(connections: 2, written: 1, dropped: 1, collapsed: 1))
                    #expect(verdicts[0].reason?.contains("a newer push with the same collapse key") == true)
                }

                try await Self.pushTyping(herald)
                try await eventually("the reader sees it") {
                    clients[0].pushes.last?.message.event == "typing"
                }
                let end = PushRequest(to: targets, Message(event: "end"))
                #expect(try await backend.push(end).verdicts.map(\.verdict) == [.routed, .routed])

                let shown = try slow.events(upTo: "end")
                #expect(shown.filter { $0 == "filling" }.count == Self.fillings)
                #expect(shown.filter { $0 != "filling" } == ["score 4", "end"])
                #expect(try await answers[3].value.verdicts.map(\.verdict) == [.written, .written])
                try await eventually("the reader has seen all") {
                    clients[0].pushes.map(\.message.event) == [
                        "score 1", "score 2", "score 3", "score 4", "typing", "end",
                    ]
                }
                try await Self.checkMetrics(herald)
                await backend.shutdown()
            }
        }
    }

    /// By the command line: too much waits for one that may be left out.
    private static func pushTyping(_ herald: LocalHerald) async throws {
        let pushed = try await herald.herald(
            "push",
            "--url",
            herald.logicURL(""),
            "--user",
            "slow",
            "--user",
            "bob",
            "--event",
            "typing",
            "--droppable",
            "--collapse-key",
            "typing",
            "--confirm",
            "written"
        )
        #expect(pushed.status == 1)
        #expect(pushed.output.contains("user slow: the queues of 1 connection had no room for it"))
    }

    private static func checkMetrics(_ herald: LocalHerald) async throws {
        let metrics = try await Tool.run(
            "/usr/bin/curl",
            ["-sS", "-m", "10", "http://127.0.0.1:\(herald.cloudPort)/metrics"]
        ).lines
        for line in [
            "herald_hub_collapsed_frames_total 3", "herald_hub_yielded_frames_total 1",
            #"herald_sockets_cut_total{reason="overflow"} 0"#,
        ] {
            #expect(metrics.contains(line), "\(line)")
        }
    }

    private static func fill(_ backend: HeraldPushClient) async throws {
        let payload = Payload.json([UInt8](repeating: UInt8(ascii: "7"), count: 200_000))
        let request = PushRequest(
            to: [.user(try UserID("slow"))],
            Message(event: "filling", payload: payload)
        )
        for _ in 0..<fillings { _ = try await backend.push(request) }
    }
}
