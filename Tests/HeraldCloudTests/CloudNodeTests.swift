import HeraldCore
import HeraldSockets
import HeraldTesting
import HeraldWire
import Testing

@testable import HeraldCloud

/// Nodes over real sockets: what a client and a backend see.
@Suite(.timeLimit(.minutes(3)))
struct CloudNodeTests {
    @Test func `a client that says who it is in the query is connected and has a route`() async throws {
        try await withNodes { nodes in
            let client = try await RawClient.open(port: nodes[0].port, "/ws?user=alice&key=phone&room=news")
            let connected = try await client.frame()
            #expect(
                try connected
                    == .connected(user: UserID("alice"), key: ConnectionKey("phone"), node: nodes[0].id)
            )
            let route = try #require(try await nodes[0].route("alice/phone"))
            #expect(route.session.node == nodes[0].id)
            let rooms = try await nodes[0].routes.look(up: Lookup(rooms: [RoomID("news")])).rooms
            #expect(rooms[0].map(\.members) == [1])
        }
    }

    @Test func `a client may connect by its first frame, under a name or none`() async throws {
        try await withNodes { nodes in
            let named = try await RawClient.open(port: nodes[0].port, "/ws")
            let request = ConnectRequest(user: UserID(fixed: "alice"), rooms: [RoomID(fixed: "news")])
            named.send(ClientFrame(.connect(request)))
            guard case .connected(let user, let key, _, _) = try await named.frame() else {
                throw RawClient.Unexpected(event: .end)
            }
            #expect(user == UserID(fixed: "alice"))
            #expect(key.description.hasPrefix("k-"))
            try await nodes[0].push("p", to: [.room(RoomID(fixed: "news"))])
            #expect(try await named.push() == "p")

            let nameless = try await RawClient.open(port: nodes[0].port, "/ws")
            nameless.send(ClientFrame(.connect(ConnectRequest())))
            guard case .connected(let anonymous, _, _, _) = try await nameless.frame() else {
                throw RawClient.Unexpected(event: .end)
            }
            #expect(anonymous.description.hasPrefix("anon-"))
        }
    }

    @Test func `a push reaches its user, key, room and all`() async throws {
        try await withNodes { nodes in
            let node = nodes[0]
            let phone = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone&room=news")
            let laptop = try await RawClient.connected(port: node.port, "/ws?user=alice&key=laptop")
            let bob = try await RawClient.connected(port: node.port, "/ws?user=bob&key=phone&room=news")
            try await node.push("user", to: [.user(UserID("alice"))])
            #expect(try await phone.push() == "user")
            #expect(try await laptop.push() == "user")
            try await node.push("key", to: [.key(UserKey("alice/phone"))])
            #expect(try await phone.push() == "key")
            try await node.push("room", to: [.room(RoomID("news"))])
            #expect(try await phone.push() == "room")
            guard case .push(let push) = try await bob.frame() else {
                throw RawClient.Unexpected(event: .end)
            }
            #expect(try push.room == RoomID("news"))
            try await node.push("all", to: [.everyone])
            for client in [phone, laptop, bob] {
                #expect(try await client.push() == "all")
                #expect(try await client.isQuiet())
            }
        }
    }

    @Test func `on two loops a connection named several times gets it once, and the excluded not`()
        async throws
    {
        try await withNodes(configure: { $0.loops = 2 }) { nodes in
            let node = nodes[0]
            var clients: [RawClient] = []
            for number in 0..<16 {
                let target = "/ws?user=u\(number % 4)&key=k\(number)&room=news&room=sports"
                clients.append(try await RawClient.connected(port: node.port, target))
            }
            let targets: [Target] = [
                .room(RoomID(fixed: "news")), .user(UserID(fixed: "u1")), .key(UserKey(fixed: "u1/k1")),
                .room(RoomID(fixed: "sports")), .everyone,
            ]
            try await node.push("p", to: targets, exclude: [UserKey(fixed: "u3/k3")])
            for (number, client) in clients.enumerated() {
                if number != 3 { #expect(try await client.push() == "p") }
                #expect(try await client.isQuiet())
            }
            #expect(node.node.loopValues.fanOut.missed == 0)
        }
    }

    @Test func `joining and leaving move a client in and out of a room's pushes`() async throws {
        try await withNodes { nodes in
            let node = nodes[0]
            let news = RoomID(fixed: "news")
            let client = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone")
            client.send(ClientFrame(id: 1, .join(news)))
            #expect(try await client.frame() == .ok(id: 1))
            try await node.push("in", to: [.room(news)])
            #expect(try await client.push() == "in")
            client.send(ClientFrame(id: 2, .leave(news)))
            #expect(try await client.frame() == .ok(id: 2))
            try await node.push("out", to: [.room(news)])
            #expect(try await client.isQuiet())
            try await eventually("the share is taken out") {
                try await node.routes.look(up: Lookup(rooms: [news])).rooms == [[]]
            }
        }
    }

    @Test func `the newest connection of a key wins, on one node and across two`() async throws {
        try await withNodes(["cloud-1", "cloud-2"], configure: { $0.loops = 2 }) { nodes in
            let target = "/ws?user=alice&key=phone"
            let first = try await RawClient.connected(port: nodes[0].port, target)
            let second = try await RawClient.connected(port: nodes[0].port, target)
            #expect(try await first.closeCode() == CloseCode.replaced.number)
            let third = try await RawClient.connected(port: nodes[1].port, target)
            #expect(try await second.closeCode() == CloseCode.replaced.number)
            #expect(try await nodes[0].route("alice/phone")?.session.node == nodes[1].id)
            try await nodes[1].push("p", to: [.user(UserID(fixed: "alice"))])
            #expect(try await third.push() == "p")
        }
    }

    @Test func `many connects with one key at once leave one live socket and its route`() async throws {
        try await withNodes(["cloud-1", "cloud-2"], configure: { $0.loops = 2 }) { nodes in
            let clients = try (0..<40).map {
                try RawClient(port: nodes[$0 % 2].port, target: "/ws?user=alice&key=phone")
            }
            let live = Counter()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for client in clients {
                    group.addTask {
                        while true {
                            switch try await client.next() {
                            case .text(let bytes):
                                if case .push = try ServerFrame.decode(bytes) { return live.add() }
                            case .close, .end: return
                            case .answer: continue
                            }
                        }
                    }
                }
                group.addTask {
                    // All but one are told; the last hears a push.
                    try await eventually("one of all is left") {
                        nodes.reduce(0) { $0 + $1.node.socketCounters.opened } == clients.count
                            && nodes.reduce(0) { $0 + $1.node.loopValues.sessions } == 1
                    }
                    for node in nodes { try await node.push("p", to: [.user(UserID(fixed: "alice"))]) }
                }
                try await group.waitForAll()
            }
            #expect(live.value == 1)
            let route = try #require(try await nodes[0].route("alice/phone"))
            let holder = nodes.first { $0.node.loopValues.sessions == 1 }
            #expect(route.session.node == holder?.id)
        }
    }

    @Test func `the backend can close a connection`() async throws {
        try await withNodes { nodes in
            let client = try await RawClient.connected(port: nodes[0].port, "/ws?user=alice&key=phone")
            let order = CloseOrder(name: UserKey(fixed: "alice/phone"), code: .kicked)
            try await nodes[0].publish(Envelope(sender: "logic-1", closes: [order]))
            #expect(try await client.closeCode() == CloseCode.kicked.number)
            try await eventually("its route is gone") { try await nodes[0].route("alice/phone") == nil }
        }
    }

    @Test func `a large room gets everything in order while others are answered`() async throws {
        try await withNodes(configure: { $0.loops = 2 }) { nodes in
            let node = nodes[0]
            var clients: [RawClient] = []
            for number in 0..<700 {
                clients.append(
                    try RawClient(port: node.port, target: "/ws?user=u\(number)&key=k&room=big")
                )
            }
            for client in clients {
                guard case .answer(101, _) = try await client.next(),
                    case .connected = try await client.frame()
                else { throw RawClient.Unexpected(event: .end) }
            }
            for number in 0..<20 {
                try await node.push("r\(number)", to: [.room(RoomID(fixed: "big"))])
                try await node.push("k\(number)", to: [.key(UserKey(fixed: "u5/k"))])
            }
            for (number, client) in clients.enumerated() {
                for round in 0..<20 {
                    #expect(try await client.push() == "r\(round)")
                    if number == 5 { #expect(try await client.push() == "k\(round)") }
                }
                #expect(try await client.isQuiet())
            }
        }
    }
}
