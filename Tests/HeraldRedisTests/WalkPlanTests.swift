import HeraldCore
import Testing

@testable import HeraldRedis

struct WalkPlanTests {
    private func at(_ seconds: Int64) -> Moment { Moment(nanoseconds: seconds * 1_000_000_000) }
    private func redis(_ seconds: UInt64) -> RedisTime { RedisTime(milliseconds: seconds * 1000) }

    private func drain(_ plan: inout WalkPlan) -> [WalkPlan.Page] {
        var pages: [WalkPlan.Page] = []
        while let page = plan.next() {
            pages.append(page)
            plan.answered(page, next: "0")
        }
        return pages
    }

    @Test func `the dead come first, each partition to its last page`() throws {
        var plan = WalkPlan()
        let over = plan.update(
            [("live#1", redis(100), true), ("dead#1", redis(50), false)],
            at: at(0),
            redis(60)
        )
        #expect(over.isEmpty && plan.fenced == 1 && plan.hasDead)
        let first = try #require(plan.next())
        #expect(first.incarnation == "dead#1" && first.partition == 0 && first.cursor == "0")
        #expect(first.verdict == .dead(deadline: redis(50)))
        plan.answered(first, next: "7")
        let second = try #require(plan.next())
        #expect(second.partition == 0 && second.cursor == "7")
        plan.putBack(second)
        let rest = drain(&plan)
        #expect(
            rest.map(\.incarnation) == Array(repeating: "dead#1", count: 16)
                + Array(repeating: "live#1", count: 16)
        )
        #expect(rest.map(\.partition) == Array(0..<16) + Array(0..<16))
    }

    @Test func `a dead one is looked at now and then for ten minutes, a live one each minute`() {
        var plan = WalkPlan()
        func listed(_ isLive: Bool) -> [(name: String, deadline: RedisTime, isLive: Bool)] {
            [("a#1", redis(50), isLive)]
        }
        #expect(plan.update(listed(true), at: at(0), redis(40)).isEmpty)
        #expect(drain(&plan).count == 16)
        _ = plan.update(listed(true), at: at(59), redis(49))
        #expect(plan.next() == nil)
        _ = plan.update(listed(true), at: at(60), redis(49))
        #expect(plan.next()?.verdict == .live)
        // It dies in the middle of a walk.
        _ = plan.update(listed(false), at: at(61), redis(51))
        #expect(drain(&plan).allSatisfy { $0.verdict == .dead(deadline: redis(50)) })
        _ = plan.update(listed(false), at: at(90), redis(80))
        #expect(plan.next() == nil)
        #expect(plan.update(listed(false), at: at(91), redis(81)).isEmpty)
        #expect(drain(&plan).count == 16)
        #expect(plan.update(listed(false), at: at(700), redis(651)) == ["a#1"])
        // Walked once more, last of all.
        #expect(drain(&plan).count == 16 && plan.fenced == 1)
    }
}
