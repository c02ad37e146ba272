import HeraldCore
import HeraldTesting
import HeraldWire
import Testing

@testable import HeraldClient

/// A client says that it has a push, where somebody waits for that.
@Suite(.timeLimit(.minutes(1)))
struct AcknowledgeTests {
    @Test func `what was received is acknowledged, a repeat too, and nothing that nobody waits for`()
        async throws
    {
        let answer: @Sendable (ClientFrame) -> [FakeNode.Reply] = { frame in
            guard case .ack(let push) = frame.body, push.description == "last" else { return [] }
            return [.close(CloseCode.kicked.number)]
        }
        try await FakeNode.run(answer: answer) { node in
            let configuration = try ConnectionConfiguration(url: node.url, user: "alice", key: "phone")
            var seen: [String] = []
            let end = try await PersistentConnection(configuration).run { event in
                switch event {
                case .connected:
                    node.send(push("p1"), push("quiet", wantsAck: false), push("p1"), push("last"))
                case .push(let push):
                    // Not before this has returned.
                    #expect(!node.acknowledged.contains(push.id.description))
                    seen.append(push.id.description)
                case .reset, .error, .away: break
                }
            }
            #expect(end.code == .kicked)
            #expect(seen == ["p1", "quiet", "last"])
            #expect(node.acknowledged == ["p1", "p1", "last"])
        }
    }

    // An error that would be worth a new connection is none where the application throws it.
    @Test(arguments: [
        ClientError(.badRequest, "cannot be taken"), ClientError(.unreachable, "elsewhere", mayRetry: true),
    ])
    func `a push that could not be taken ends it, and is not acknowledged`(why: ClientError) async throws {
        try await FakeNode.run { node in
            let configuration = try ConnectionConfiguration(url: node.url, user: "alice", key: "phone")
            await #expect(throws: why) {
                try await PersistentConnection(configuration).run { event in
                    if case .connected = event { node.send(push("p1")) }
                    if case .push = event { throw why }
                }
            }
            #expect(node.acknowledged.isEmpty)
        }
    }

    @Test func `acknowledging on a connection that is closed does nothing`() async throws {
        try await FakeNode.run { node in
            let connection = try await HeraldConnection.connect(
                try ConnectionConfiguration(url: node.url, user: "alice", key: "phone")
            )
            connection.acknowledge(try PushID("p1"))
            try await eventually("acknowledged") { node.acknowledged == ["p1"] }
            await connection.close()
            connection.acknowledge(try PushID("p2"))
            #expect(node.acknowledged == ["p1"])
        }
    }

    private func push(_ id: String, wantsAck: Bool = true) -> FakeNode.Reply {
        .text(#"{"push":{"id":"\#(id)","ack":\#(wantsAck)}}"#)
    }
}

extension FakeNode {
    fileprivate var acknowledged: [String] {
        frames.compactMap { if case .ack(let push) = $0.body { push.description } else { nil } }
    }
}
