import HeraldCore
import HeraldSockets
import HeraldTesting
import HeraldWire
import Testing

@testable import HeraldCloud

/// Clients that follow their user's inbox, over real sockets.
@Suite(.timeLimit(.minutes(2)))
struct InboxTests {
    private let alice = UserID(fixed: "alice")

    @Test func `a client that begins is told where it is, and sees each message's place`() async throws {
        try await withNodes { nodes in
            let node = nodes[0]
            let before = try await node.store("before")
            let client = try await RawClient.open(port: node.port, "/ws?user=alice&key=phone&resume=new")
            #expect(try await client.start() == InboxStart(position: before, isRecovered: false))
            let place = try await node.store("a")
            try await node.deliver("a", at: place)
            #expect(try await client.stored() == ["a"])
            // Once more, as the hop may bring it: it is not shown again.
            try await node.deliver("a", at: place)
            #expect(try await client.isQuiet())
        }
    }

    @Test func `a client that returns is shown what it missed, once and in order`() async throws {
        try await withNodes { nodes in
            let node = nodes[0]
            let seen = try await node.store("seen")
            var last = seen
            for number in 0..<350 { last = try await node.store("m\(number)") }
            let client = try await RawClient.open(port: node.port, "/ws")
            let request = ConnectRequest(user: UserID(fixed: "alice"), resume: .after(seen))
            client.send(ClientFrame(.connect(request)))
            #expect(try await client.start() == InboxStart(position: seen, isRecovered: true))
            // A delivery that was late on its way stands in a page, too.
            try await node.deliver("m349", at: last)
            #expect(try await client.stored(350) == (0..<350).map { "m\($0)" })
            #expect(try await client.isQuiet())
        }
    }

    @Test func `a client that missed more than its queue holds is shown all of it`() async throws {
        let limit: (inout CloudConfiguration) -> Void = { $0.socketLimits.sendQueueBytesMax = 128 * 1024 }
        try await withNodes(configure: limit) { nodes in
            let node = nodes[0]
            let seen = try await node.store("seen")
            // 12 MB in three pages: more than the kernel takes.
            for number in 0..<200 { _ = try await node.store("m\(number)", bytes: 60_000) }
            let client = try await RawClient.open(
                port: node.port,
                "/ws?user=alice&key=phone&resume=\(seen.epoch).\(seen.offset)"
            )
            #expect(try await client.start() == InboxStart(position: seen, isRecovered: true))
            #expect(try await client.stored(200) == (0..<200).map { "m\($0)" })
        }
    }

    @Test func `what never arrived is fetched when something after it does`() async throws {
        try await withNodes { nodes in
            let node = nodes[0]
            let client = try await RawClient.open(port: node.port, "/ws?user=alice&key=phone&resume=new")
            _ = try await client.start()
            _ = try await node.store("lost")
            let late = try await node.store("late")
            let next = try await node.store("next")
            try await node.deliver("next", at: next)
            try await node.deliver("late", at: late)
            #expect(try await client.stored(3) == ["lost", "late", "next"])
            #expect(try await client.isQuiet())
        }
    }

    @Test func `after a gap of the bus everybody's inbox is looked at`() async throws {
        try await withNodes { nodes in
            let node = nodes[0]
            let client = try await RawClient.open(port: node.port, "/ws?user=alice&key=phone&resume=new")
            _ = try await client.start()
            _ = try await node.store("lost")
            node.node.received(.gap("told by the test"))
            #expect(try await client.stored() == ["lost"])
        }
    }

    @Test func `a history that is gone is said to be gone`() async throws {
        try await withNodes { nodes in
            let node = nodes[0]
            let old = try await node.store("old")
            try await node.inbox.delete(.user(alice))
            let new = try await node.store("new")
            let request = "/ws?user=alice&key=phone&resume=\(old)"
            let client = try await RawClient.open(port: node.port, request)
            #expect(try await client.start() == InboxStart(position: new, isRecovered: false))
            try await node.inbox.delete(.user(alice))
            let newer = try await node.store("newer")
            try await node.deliver("newer", at: newer)
            #expect(try await client.frame() == .reset(newer))
        }
    }

    @Test func `a sender that awaits the writing of a stored message hears of it, shown by a page or not`()
        async throws
    {
        try await withNodes { nodes in
            let node = nodes[0]
            let client = try await RawClient.open(port: node.port, "/ws?user=alice&key=phone&resume=new")
            _ = try await client.start()
            _ = try await node.store("lost")
            let place = try await node.store("next")
            let replies = Replies()
            let listening = Task { try await node.bus.listen(to: .sender("logic-1"), replies.receive) }
            defer { listening.cancel() }
            try await replies.listens()
            let query = ReceiptQuery(ticket: 1, confirm: .written, patience: .seconds(3))
            try await node.deliver("next", at: place, query)
            #expect(try await client.stored(2) == ["lost", "next"])
            #expect(try await replies.finals(of: 1, count: 1) == [Reach(connections: 1, written: 1)])
        }
    }

    @Test func `while the inbox is out of reach a client waits, and is told to come back`() async throws {
        try await withNodes(configure: { $0.bindPatience = .milliseconds(300) }) { nodes in
            let node = nodes[0]
            node.inbox.isUnavailable = true
            let client = try await RawClient.open(port: node.port, "/ws?user=alice&key=phone&resume=new")
            #expect(try await client.closeCode() == CloseCode.routeUnavailable.number)
            // Who does not follow an inbox is not held up.
            _ = try await RawClient.connected(port: node.port, "/ws?user=bob&key=phone")
        }
    }
}

extension RunningNode {
    fileprivate func store(_ id: String, bytes: Int = 1) async throws -> InboxPosition {
        let digits = [UInt8](repeating: UInt8(ascii: "1"), count: bytes)
        let message = Message(event: "test", payload: .json(digits))
        let append = InboxAppend(
            owner: .user(UserID(fixed: "alice")),
            push: PushID(fixed: id),
            message: message
        )
        return try await inbox.append([append])[0].get().position
    }

    fileprivate func deliver(_ id: String, at place: InboxPosition, _ query: ReceiptQuery? = nil) async throws
    {
        var delivery = Delivery(
            push: PushID(fixed: id),
            message: Message(event: "test", payload: .json(Array("1".utf8))),
            targets: [.user(UserID(fixed: "alice"))],
            query: query
        )
        delivery.positions = [place]
        try await publish(Envelope(sender: "logic-1", deliveries: [delivery]))
    }
}

extension RawClient {
    /// The first frame: where the client stands.
    fileprivate func start() async throws -> InboxStart? {
        guard case .connected(_, _, _, let inbox) = try await frame() else { throw Unexpected(event: .end) }
        return inbox
    }

    /// The next pushes' ids; each must have a place, after the one before.
    fileprivate func stored(_ count: Int = 1) async throws -> [String] {
        var ids: [String] = []
        var last: UInt64 = 0
        for _ in 0..<count {
            guard case .push(let push) = try await frame(), let place = push.position, place.offset > last
            else {
                throw Unexpected(event: .end)
            }
            last = place.offset
            ids.append(push.id.description)
        }
        return ids
    }
}
