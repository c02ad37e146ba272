import HeraldCore
import HeraldSockets
import HeraldTesting
import HeraldWire
import Testing

@testable import HeraldCloud

/// Pushes that give way at clients that read too slowly, over real sockets.
@Suite(.timeLimit(.minutes(2)))
struct SlowConsumerTests {
    private static let filling = [UInt8](repeating: UInt8(ascii: "7"), count: 200_000)
    private static let fillings = 50
    private let alice = Target.user(UserID(fixed: "alice"))

    /// A client that does not read, with 10 MB before it: more than both ends of a loopback connection hold.
    private func deaf(_ node: RunningNode, _ target: String) async throws -> RawClient {
        let client = try await RawClient.connected(port: node.port, target)
        client.stopsReading()
        for number in 1...Self.fillings {
            try await node.ask(UInt64(number), .written, [alice], payload: Self.filling)
        }
        return client
    }

    private func skipFilling(_ client: RawClient) async throws {
        for number in 1...Self.fillings { #expect(try await client.push() == "p\(number)") }
    }

    @Test func `a client that reads late is shown the newest of each key, others all, and senders hear it`()
        async throws
    {
        try await withReplies { node, replies in
            let late = try await deaf(node, "/ws?user=alice&key=phone&room=news")
            let reader = try await RawClient.connected(port: node.port, "/ws?user=bob&key=phone&room=news")
            let score = QueuePolicy(collapseKey: CollapseKey(fixed: "score"))
            for ticket in UInt64(101)...105 {
                try await node.ask(ticket, .written, [.everyone], policy: score, patience: .seconds(20))
                #expect(try await reader.push() == "p\(ticket)")
            }
            try await node.ask(200, .written, [.everyone], patience: .seconds(20))
            #expect(try await reader.push() == "p200")
            // The same key by a room is another thing.
            let news = Target.room(RoomID(fixed: "news"))
            for ticket in UInt64(301)...302 {
                try await node.ask(ticket, .acked, [news, alice], policy: score, patience: .seconds(20))
                #expect(try await reader.push() == "p\(ticket)")
                reader.send(ClientFrame(.ack(PushID(fixed: "p\(ticket)"))))
            }
            for ticket in UInt64(101)...104 {
                let told = try await replies.finals(of: ticket, count: 1)
                #expect(told == [Reach(connections: 2, written: 1, dropped: 1, collapsed: 1)])
            }
            // Both targets had named the connection.
            let replaced = Reach(connections: 1, dropped: 1, collapsed: 1)
            let told = try await replies.finals(of: 301, count: 2)
            #expect(
                told == [
                    Reach(connections: 2, written: 1, acked: 1, dropped: 1, collapsed: 1), replaced,
                ]
            )
            late.readsOn()
            try await skipFilling(late)
            for id in ["p105", "p200", "p302"] { #expect(try await late.push() == id) }
            late.send(ClientFrame(.ack(PushID(fixed: "p302"))))
            #expect(try await late.isQuiet())
            #expect(
                try await replies.finals(of: 302, count: 2) == [
                    Reach(connections: 2, written: 2, acked: 2), Reach(connections: 1, written: 1, acked: 1),
                ]
            )
            #expect(try await replies.finals(of: 105, count: 1) == [Reach(connections: 2, written: 2)])
            #expect(try await metric("herald_hub_collapsed_frames_total", of: node) == 5)
            #expect(try await metric("herald_hub_dropped_frames_total", of: node) == 0)
        }
    }

    @Test func `what may be left out is, the client stays, and senders hear it of each target`() async throws
    {
        try await withReplies(queueBytes: 10_500_000) { node, replies in
            let late = try await deaf(node, "/ws?user=alice&key=phone")
            let reader = try await RawClient.connected(port: node.port, "/ws?user=bob&key=phone")
            let policy = QueuePolicy(isDroppable: true)
            let phone = Target.key(UserKey(fixed: "alice/phone"))
            try await node.ask(101, .written, [.everyone, alice, phone], policy: policy)
            #expect(try await reader.push() == "p101")
            let gone = Reach(connections: 1, dropped: 1)
            #expect(
                try await replies.finals(of: 101, count: 3) == [
                    Reach(connections: 2, written: 1, dropped: 1), gone, gone,
                ]
            )
            try await node.ask(102, .written, [alice], patience: .seconds(20))
            late.readsOn()
            try await skipFilling(late)
            #expect(try await late.push() == "p102")
            try await node.ask(103, .written, [alice], policy: policy)
            #expect(try await late.push() == "p103")
            #expect(try await replies.finals(of: 103, count: 1) == [Reach(connections: 1, written: 1)])
            #expect(try await metric("herald_hub_yielded_frames_total", of: node) == 1)
        }
    }

    private func metric(_ name: String, of node: RunningNode) async throws -> Int {
        let client = try RawClient(port: node.port, target: "/metrics", isUpgrade: false)
        guard case .answer(200, let body) = try await client.next() else {
            throw RawClient.Unexpected(event: .end)
        }
        let line = try #require(body.split(separator: "\n").first { $0.hasPrefix(name + " ") })
        return try #require(Int(line.split(separator: " ")[1]))
    }
}
