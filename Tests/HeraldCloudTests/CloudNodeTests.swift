import HeraldCore
import HeraldTesting
import HeraldWire
import Testing

@testable import HeraldCloud

@Suite(.timeLimit(.minutes(2)))
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
            guard case .push(_, _, let room) = try await bob.frame() else {
                throw RawClient.Unexpected(event: .end)
            }
            #expect(try room == RoomID("news"))
            try await node.push("all", to: [.everyone])
            for client in [phone, laptop, bob] {
                #expect(try await client.push() == "all")
                #expect(try await client.isQuiet())
            }
        }
    }
}
