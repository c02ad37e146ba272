import HeraldCore
import HeraldWire
import Testing

@testable import HeraldCloud

/// Rooms whose members sit on two loops, and many messages for them at once, over real sockets.
///
/// The kernel spreads connections over the loops by a hash of the addresses; 160 on one side do not happen.
@Suite(.timeLimit(.minutes(2))) struct RoomBurstTests {
    @Test func `every member on every loop gets a burst whole and in order, while others join and leave`()
        async throws
    {
        try await withNodes(configure: { $0.loops = 2 }) { nodes in
            let node = nodes[0]
            let members = try await Self.connect(120, to: node.port) {
                "user=u\($0)&key=k&room=big&room=r\($0 % 2)"
            }
            let passers = try await Self.connect(40, to: node.port) { "user=p\($0)&key=k&room=big" }
            let rooms = ["big", "r0", "r1"]
            let ids = (0..<300).map { "b\($0)" }
            for (number, id) in ids.enumerated() {
                try await node.push(id, to: [.room(RoomID(fixed: rooms[number % 3]))])
                if number % 10 == 9 { passers[number / 10].cut() }
            }
            for (number, member) in members.enumerated() {
                let own = ids.enumerated().filter { $0.0 % 3 == 0 || $0.0 % 3 == 1 + number % 2 }.map(\.1)
                for id in own { #expect(try await member.push() == id) }
                #expect(try await member.isQuiet())
            }
            for passer in passers.dropFirst(30) {
                for number in 0..<100 { #expect(try await passer.push() == ids[number * 3]) }
            }
            let values = node.node.loopValues.fanOut
            #expect(values.dropped == 0 && values.missed == 0)
            // A push is a delivery on each loop; each member got 200 of them, each who stayed to pass by 100.
            #expect(values.deliveries == 600)
            #expect(values.frames >= 120 * 200 + 10 * 100)
        }
    }

    private static func connect(
        _ count: Int,
        to port: Int,
        _ query: (Int) -> String
    ) async throws -> [RawClient] {
        let clients = try (0..<count).map { try RawClient(port: port, target: "/ws?" + query($0)) }
        for client in clients {
            guard case .answer(101, _) = try await client.next() else {
                throw RawClient.Unexpected(event: .end)
            }
            let hello = try await client.frame()
            guard case .connected = hello else { throw RawClient.Unexpected(event: .end) }
        }
        return clients
    }
}
