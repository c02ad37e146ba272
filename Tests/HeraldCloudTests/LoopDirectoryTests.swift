import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldCloud

struct LoopDirectoryTests {
    private let alice = Target.user(UserID(fixed: "alice"))
    private let phone = Target.key(UserKey(fixed: "alice/phone"))
    private let news = Target.room(RoomID(fixed: "news"))

    private func has(_ directory: LoopDirectory, _ target: Target) -> Bool {
        directory.mayHave([LoopDirectory.hash(of: target)])
    }

    @Test func `a target may be there from the first insert to the last removal`() {
        let directory = LoopDirectory()
        #expect(!has(directory, alice) && !has(directory, phone) && !has(directory, news))
        #expect(has(directory, .everyone))
        let hash = UserID(fixed: "alice").hashValue
        directory.insert(hash)
        directory.insert(hash)
        directory.remove(hash)
        #expect(has(directory, alice) && has(directory, phone) && !has(directory, news))
        directory.remove(hash)
        #expect(!has(directory, alice) && !has(directory, phone))
    }

    @Test func `a counter that is full stays so`() {
        let directory = LoopDirectory()
        for _ in 0..<300 { directory.insert(RoomID(fixed: "news").hashValue) }
        for _ in 0..<300 { directory.remove(RoomID(fixed: "news").hashValue) }
        #expect(has(directory, news))
    }

    @Test(arguments: 1...20)
    func `a hub tells it of everybody who is there, and of nobody who has gone`(seed: Int) {
        var dice = Dice(seed: UInt64(seed))
        let directory = LoopDirectory()
        var hub = Hub(directory: directory)
        var users: [Int: String] = [:]
        for _ in 0..<500 {
            let slot = Int(dice.next() % 30)
            let room = RoomID(fixed: "r\(dice.next() % 5)")
            if users[slot] == nil {
                users[slot] = "u\(dice.next() % 8)"
                hub.attach(Shard.socket(slot), UserKey(fixed: "\(users[slot] ?? "")/k\(slot)"))
                _ = hub.join(slot, room)
            } else if dice.next() % 2 == 0 {
                _ = hub.leave(slot, room)
            } else {
                _ = hub.detach(slot)
                users[slot] = nil
            }
            for number in 0..<8 {
                let isThere = users.values.contains("u\(number)")
                #expect(has(directory, .user(UserID(fixed: "u\(number)"))) == isThere)
            }
        }
        for slot in users.keys { _ = hub.detach(slot) }
        for number in 0..<5 { #expect(!has(directory, .room(RoomID(fixed: "r\(number)")))) }
    }

    @Test func `a push goes to the loops that have its targets, and what nobody has is told missed`()
        async throws
    {
        try await withNodes(configure: { $0.loops = 4 }) { nodes in
            let node = nodes[0]
            let client = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone&room=news")
            for (number, target) in [alice, phone, news].enumerated() {
                try await node.push("p\(number)", to: [target])
                #expect(try await client.push() == "p\(number)")
            }
            try await eventually("three loops' work is told") { node.node.loopValues.fanOut.deliveries == 3 }
            try await node.push("nobody", to: [.user(UserID(fixed: "bob"))])
            try await eventually("it is missed") { node.node.loopValues.fanOut.missed == 1 }
            try await node.push("all", to: [.everyone])
            #expect(try await client.push() == "all")
            try await eventually("all loops looked") { node.node.loopValues.fanOut.deliveries == 3 + 1 + 4 }
        }
    }
}
