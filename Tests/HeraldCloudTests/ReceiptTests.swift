import HeraldCore
import HeraldSockets
import HeraldTesting
import HeraldWire
import Synchronization
import Testing

@testable import HeraldCloud

/// What a sender hears of its deliveries, over real sockets.
@Suite(.timeLimit(.minutes(2)))
struct ReceiptTests {
    @Test func `a sender hears what was written, and who is not here`() async throws {
        try await withReplies { node, replies in
            let phone = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone&room=news")
            let laptop = try await RawClient.connected(port: node.port, "/ws?user=alice&key=laptop")
            let targets: [Target] = [
                .user(UserID(fixed: "alice")), .user(UserID(fixed: "bob")), .room(RoomID(fixed: "news")),
                .key(UserKey(fixed: "alice/laptop")),
            ]
            try await node.ask(1, .written, targets, exclude: [UserKey(fixed: "alice/laptop")])
            #expect(
                try await replies.finals(of: 1, count: 4) == [
                    Reach(connections: 1, written: 1), nil, Reach(connections: 1, written: 1), Reach(),
                ]
            )
            #expect(try await phone.push() == "p1")
            #expect(try await laptop.isQuiet())
        }
    }

    @Test func `a route that is stale is told even where nothing else is asked`() async throws {
        try await withReplies { node, replies in
            let phone = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone")
            try await node.ask(1, .routed, [.user(UserID(fixed: "alice"))])
            try await node.ask(2, .routed, [.user(UserID(fixed: "alice")), .user(UserID(fixed: "bob"))])
            let told = try await replies.first { $0.ticket == 2 }
            #expect(told == Receipt(ticket: 2, target: 1, reach: nil, isFinal: true))
            #expect(replies.all.count == 1, "what is here is not told of")
            #expect(try await phone.push() == "p1")
            #expect(try await phone.push() == "p2")
        }
    }

    @Test func `a client is asked to acknowledge, and the sender hears of it`() async throws {
        try await withReplies { node, replies in
            let phone = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone")
            let laptop = try await RawClient.connected(port: node.port, "/ws?user=alice&key=laptop")
            try await node.ask(1, .acked, [.user(UserID(fixed: "alice"))])
            for client in [phone, laptop] {
                guard case .push(let push) = try await client.frame() else {
                    throw RawClient.Unexpected(event: .end)
                }
                #expect(push.wantsAck)
            }
            phone.send(ClientFrame(id: 5, .ack(PushID(fixed: "p1"))))
            #expect(try await phone.frame() == .ok(id: 5))
            _ = try await replies.first { $0.reach == Reach(connections: 2, written: 2, acked: 1) }
            // Twice is once, another push is none, and one without an id is not answered.
            phone.send(ClientFrame(.ack(PushID(fixed: "p1"))))
            phone.send(ClientFrame(.ack(PushID(fixed: "never"))))
            laptop.cut()
            #expect(
                try await replies.finals(of: 1, count: 1) == [Reach(connections: 2, written: 2, acked: 1)]
            )
        }
    }

    @Test func `what a client that does not read has not taken is not told as written`() async throws {
        try await withReplies { node, replies in
            let client = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone")
            client.stopsReading()
            // More than both ends of a loopback connection hold, less than a queue may.
            let big = [UInt8](repeating: UInt8(ascii: "7"), count: 50_000)
            for number in 1...60 { try await node.ask(UInt64(number), .written, [.everyone], payload: big) }
            let told = try await replies.finals(of: 60, count: 1)
            #expect(told == [Reach(connections: 1, written: 0, dropped: 0)])
            #expect(replies.all.contains { $0.ticket == 1 && $0.reach?.written == 1 })
        }
    }

    @Test func `acknowledgements that nobody awaits cost the client its allowance`() async throws {
        try await withReplies { node, _ in
            let client = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone")
            for _ in 0..<4000 { client.send(ClientFrame(.ack(PushID(fixed: "p")))) }
            #expect(try await client.closeCode() == CloseCode.flood.number)
        }
    }

    @Test func `acknowledgements that are awaited cost nothing`() async throws {
        try await withReplies { node, replies in
            let client = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone")
            for number in 1...3000 {
                let alice = Target.user(UserID(fixed: "alice"))
                try await node.ask(UInt64(number), .acked, [alice], patience: .seconds(30))
            }
            for number in 1...3000 {
                #expect(try await client.push() == "p\(number)")
                client.send(ClientFrame(.ack(PushID(fixed: "p\(number)"))))
            }
            for number in [1, 1500, 3000] {
                let all = Reach(connections: 1, written: 1, acked: 1)
                #expect(try await replies.finals(of: UInt64(number), count: 1) == [all])
            }
        }
    }
}

/// What came on the sender's channel.
final class Replies: Sendable {
    private let receipts = Mutex<[Receipt]>([])
    private let isListening = Mutex(false)
    private let changed = ManyWaiters()

    var all: [Receipt] { receipts.withLock { $0 } }

    func receive(_ event: BusEvent) {
        if event == .subscribed { isListening.withLock { $0 = true } }
        defer { changed.wake() }
        guard case .messages(let messages) = event else { return }
        for message in messages {
            guard let reply = try? Reply(wire: message) else { continue }
            receipts.withLock { $0 += reply.receipts }
        }
    }

    private func wait(for what: String, _ isThere: @escaping @Sendable () -> Bool) async throws {
        try await withDeadline(.seconds(20), what) {
            while !isThere() { try await self.changed.wait(unless: isThere) }
        }
    }

    func listens() async throws {
        try await wait(for: "the subscription") { self.isListening.withLock { $0 } }
    }

    func first(_ isIt: @escaping @Sendable (Receipt) -> Bool) async throws -> Receipt {
        try await wait(for: "a receipt") { self.all.contains(where: isIt) }
        return try #require(all.first(where: isIt))
    }

    /// The last word on each target of a delivery.
    func finals(of ticket: UInt64, count: Int) async throws -> [Reach?] {
        try await wait(for: "the final receipts") {
            self.all.count { $0.ticket == ticket && $0.isFinal } == count
        }
        return all.filter { $0.ticket == ticket && $0.isFinal }.sorted { $0.target < $1.target }.map(\.reach)
    }
}

extension RunningNode {
    func ask(
        _ ticket: UInt64,
        _ confirm: ConfirmLevel,
        _ targets: [Target],
        exclude: [UserKey] = [],
        payload: [UInt8] = Array("1".utf8),
        policy: QueuePolicy = .standard,
        patience: Duration = .seconds(3)
    ) async throws {
        let delivery = Delivery(
            push: PushID(fixed: "p\(ticket)"),
            message: Message(payload: .json(payload)),
            targets: targets,
            exclude: exclude,
            queuePolicy: policy,
            query: ReceiptQuery(ticket: ticket, confirm: confirm, patience: patience)
        )
        try await publish(Envelope(sender: "logic-1", deliveries: [delivery]))
    }
}

func withReplies(
    queueBytes: Int = 64 * 1024 * 1024,
    _ body: @escaping @Sendable (RunningNode, Replies) async throws -> Void
) async throws {
    try await withNodes(configure: { $0.socketLimits.sendQueueBytesMax = queueBytes }) { nodes in
        let replies = Replies()
        let listening = Task { try await nodes[0].bus.listen(to: .sender("logic-1"), replies.receive) }
        defer { listening.cancel() }
        try await replies.listens()
        try await body(nodes[0], replies)
    }
}
