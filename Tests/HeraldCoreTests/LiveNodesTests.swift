import HeraldCore
import Testing

struct LiveNodesTests {
    @Test(arguments: [
        ("cloud-1", 7, 999, LiveNodes.Judgement.live),
        ("cloud-1", 7, 1000, .unknown),  // the lease is over here, and may have been renewed since
        ("cloud-1", 6, 999, .dead),
        ("cloud-1", 8, 999, .unknown),
        ("cloud-2", 7, 999, .unknown),
    ])
    func `only the incarnation that holds a live lease is live`(
        node: String,
        incarnation: UInt64,
        now: UInt64,
        expected: LiveNodes.Judgement
    ) throws {
        let lease = Lease(
            node: try NodeID("cloud-1"),
            incarnation: Incarnation(7),
            deadline: RedisTime(milliseconds: 1000)
        )
        let judgement = LiveNodes([lease]).judge(
            try NodeID(node),
            Incarnation(incarnation),
            at: RedisTime(milliseconds: now)
        )
        #expect(judgement == expected)
    }

    @Test func `a time moves on by whole milliseconds and never back`() {
        let time = RedisTime(milliseconds: 1000)
        #expect(time + .seconds(2) == RedisTime(milliseconds: 3000))
        #expect(time + .microseconds(1999) == RedisTime(milliseconds: 1001))
        #expect(time + .seconds(-5) == time)
    }
}
