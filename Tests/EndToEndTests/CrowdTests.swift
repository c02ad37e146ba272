import HeraldClient
import HeraldCore
import HeraldTesting
import Testing

/// Many sockets, many pushes: each arrives once, and at nobody else's socket.
@Suite(.timeLimit(.minutes(5))) struct CrowdTests {
    private static var users: Int { Sanitizer.isOn ? 500 : 5000 }
    private static var pushes: Int { Sanitizer.isOn ? 2000 : 20_000 }

    @Test
    func `a crowd of 5,000 on three nodes is shown 20,000 pushes, each once and none at the wrong socket`()
        async throws
    {
        try await LocalHerald.run(nodes: 3) { herald in
            let places = (0..<Self.users).map { index in
                Witness.Place(url: herald.cloudURL(index % 3 + 1), user: "u\(index)", key: "k")
            }
            try await Witness.with(places) { clients in
                let sent = try await Self.push(
                    to: Self.users,
                    through: HeraldPushClient(url: herald.logicURL(""))
                )
                #expect(sent.unrouted.isEmpty, "verdicts other than routed: \(sent.unrouted.prefix(5))")
                try await eventually("all pushes arrive", within: .seconds(30)) {
                    clients.reduce(0) { $0 + $1.count } >= Self.pushes
                }
                // What must not come is looked for behind a last push, which everything sent before it precedes.
                let last = try await herald.push(#"{"all":true}"#)
                for client in clients { try await client.sees(last.id) }
                for (index, client) in clients.enumerated() {
                    #expect(
                        Set(client.ids.dropLast()) == sent.ids[index],
                        "u\(index) was shown something else"
                    )
                    #expect(
                        client.ids.count == sent.ids[index].count + 1,
                        "u\(index) was shown something twice"
                    )
                }
            }
        }
    }

    private struct Sent {
        /// By user.
        var ids: [Set<String>]
        var unrouted: [String] = []
    }

    /// From many tasks at once, as a busy backend would.
    private static func push(to users: Int, through client: HeraldPushClient) async throws -> Sent {
        let tasks = 50
        let sent = try await withThrowingTaskGroup(of: [(user: Int, answer: PushAnswer)].self) { group in
            for _ in 0..<tasks {
                group.addTask {
                    var answers: [(Int, PushAnswer)] = []
                    for _ in 0..<pushes / tasks {
                        let user = Int.random(in: 0..<users)
                        let request = PushRequest(
                            to: [.user(try UserID("u\(user)"))],
                            Message(op: Int32(user))
                        )
                        answers.append((user, try await client.push(request)))
                    }
                    return answers
                }
            }
            return try await group.reduce(into: Sent(ids: Array(repeating: [], count: users))) {
                sent,
                answers in
                for (user, answer) in answers {
                    sent.ids[user].insert(answer.id.description)
                    if answer.verdicts.map(\.verdict) != [.routed] { sent.unrouted.append("\(answer)") }
                }
            }
        }
        await client.shutdown()
        return sent
    }
}
