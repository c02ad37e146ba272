import Testing

@testable import HeraldCore

struct NodeChoiceTests {
    @Test func `an empty node beside a loaded one is drawn until it has caught up`() throws {
        var nodes = [
            try record("a", connections: 10_000), try record("b"), try record("c", connections: 10_000),
        ]
        let early = try shares(nodes)
        #expect(early[1] > 0.75, "\(early)")
        nodes[1].load.connections = 10_000
        let late = try shares(nodes)
        for share in late { #expect((0.28...0.39).contains(share), "\(late)") }
    }

    @Test func `a node of twice the weight gets twice the clients`() throws {
        let shares = try shares([
            try record("a", weight: 2, connections: 2000), try record("b", connections: 1000),
        ])
        #expect((0.62...0.71).contains(shares[0]), "\(shares)")
    }

    @Test func `a storm on stale loads spreads, and the nodes end up even`() throws {
        var nodes = [
            try record("a", connections: 4000), try record("b", connections: 1000), try record("c"),
            try record("d", weight: 2, connections: 2000),
        ]
        var dice = Dice(seed: 7)
        // 20 renewals of 1,000 clients each: between two, every client is told by the same loads.
        for _ in 0..<20 {
            var joined = Array(repeating: 0, count: nodes.count)
            for _ in 0..<1000 {
                let first = try choose(nodes, using: &dice).nodes[0].id
                joined[try #require(nodes.firstIndex { $0.profile.id == first })] += 1
            }
            for index in nodes.indices { nodes[index].load.connections += joined[index] }
            #expect(joined.allSatisfy { $0 > 10 && $0 < 800 }, "\(joined)")
        }
        let loads = nodes.map { $0.load.connections / $0.profile.weight }
        #expect(loads.allSatisfy { (4900...6000).contains($0) }, "\(loads)")
    }

    @Test func `full and draining nodes are left out`() throws {
        var full = try record("a", connections: 100)
        full.profile.capacity = 100
        var draining = try record("b")
        draining.state = .draining
        let open = try record("c", connections: 5000)
        var dice = Dice(seed: 1)
        for _ in 0..<100 {
            #expect(try choose([full, draining, open], count: 3, using: &dice).nodes == [open.profile])
        }
    }

    @Test func `no more is free than the capacity leaves`() throws {
        var small = try record("a", connections: 90)
        small.profile.capacity = 100
        let large = try record("b", connections: 90)
        #expect(NodeChoice.free([small, large])[0] == 10)
    }

    @Test func `the region comes first, others fill up, and a region without nodes is told`() throws {
        let nodes = [
            try record("a", region: "eu", connections: 9000), try record("b", region: "us"),
            try record("c", region: "eu", connections: 9000),
        ]
        var dice = Dice(seed: 3)
        for _ in 0..<50 {
            let advice = try choose(nodes, region: "eu", count: 3, using: &dice)
            #expect(Set(advice.nodes.prefix(2).map(\.region)) == ["eu"])
            #expect(advice.nodes.map(\.region)[2] == "us" && !advice.isFallback)
            let elsewhere = try choose(nodes, region: "asia", count: 1, using: &dice)
            #expect(elsewhere.nodes.count == 1 && elsewhere.isFallback)
            #expect(Set(try choose(nodes, count: 10, using: &dice).nodes.map(\.id)).count == 3)
        }
    }

    @Test func `without a node it says why`() throws {
        var draining = try record("a")
        draining.state = .draining
        var full = try record("b", connections: 5)
        full.profile.capacity = 5
        var dice = Dice(seed: 1)
        let cases: [([NodeRecord], NoNode.Reason)] = [
            ([], .noneLive), ([draining], .allDraining), ([draining, full], .allFull),
        ]
        for (nodes, reason) in cases {
            let error = #expect(throws: NoNode.self) { try choose(nodes, using: &dice) }
            #expect(error?.reason == reason)
            let wait = try #require(error?.retryAfter)
            #expect(wait >= .seconds(4) && wait <= .seconds(10))
        }
    }

    @Test func `the back-off grows as nodes fill and drain`() throws {
        var nodes = [try record("a", connections: 100), try record("b", connections: 100)]
        #expect(NodeChoice.pressure(nodes) == 0)
        nodes[0].state = .draining
        #expect(NodeChoice.pressure(nodes) == 0.5)
        nodes[1].profile.capacity = 100
        #expect(NodeChoice.pressure(nodes) == 1)
        nodes[0].state = .live
        nodes[1].profile.capacity = 160
        #expect(NodeChoice.pressure(nodes) == 0.25)
        var dice = Dice(seed: 5)
        let waits = try (0..<500).map { _ in try choose(nodes, using: &dice).retryAfter }
        let (least, most) = (try #require(waits.min()), try #require(waits.max()))
        #expect(least >= .milliseconds(4125) && most <= .milliseconds(8250))
        #expect(most > .milliseconds(8000) && least < .milliseconds(4400))
    }

    // MARK: Fixtures

    /// How often each node comes first.
    private func shares(_ nodes: [NodeRecord]) throws -> [Double] {
        var dice = Dice(seed: 42)
        var counts: [NodeID: Int] = [:]
        for _ in 0..<5000 { counts[try choose(nodes, using: &dice).nodes[0].id, default: 0] += 1 }
        return nodes.map { Double(counts[$0.profile.id] ?? 0) / 5000 }
    }

    private func choose(
        _ nodes: [NodeRecord],
        region: String? = nil,
        count: Int = 1,
        using dice: inout Dice
    ) throws -> NodeAdvice {
        try NodeChoice.choose(from: nodes, region: region, count: count, using: &dice)
    }

    private func record(
        _ name: String,
        region: String = "",
        weight: Int = 1,
        connections: Int = 0
    ) throws -> NodeRecord {
        let id = try NodeID(name)
        let now = RedisTime(milliseconds: 1)
        return NodeRecord(
            profile: NodeProfile(id: id, url: "ws://\(name)/ws", region: region, weight: weight),
            load: NodeLoad(connections: connections),
            lease: Lease(node: id, incarnation: Incarnation(1), deadline: now),
            started: now
        )
    }
}

/// SplitMix64: the same numbers for the same seed.
private struct Dice: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}
