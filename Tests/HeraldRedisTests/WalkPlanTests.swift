import HeraldCore
import Testing

@testable import HeraldRedis

struct WalkPlanTests {
    private func at(_ seconds: Int64) -> Moment { Moment(nanoseconds: seconds * 1_000_000_000) }
    private func redis(_ seconds: UInt64) -> RedisTime { RedisTime(milliseconds: seconds * 1000) }

    /// All pages, each answered as the last of its index.
    private func drain(_ plan: inout WalkPlan) -> [WalkPlan.Page] {
        var pages: [WalkPlan.Page] = []
        while let page = plan.next() {
            pages.append(page)
            _ = plan.answered(page, next: "0", departed: 0)
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
        #expect(over.isEmpty && plan.hasDead)
        let first = plan.next()
        let page = WalkPlan.Page(incarnation: "dead#1", partition: 0, verdict: .dead(deadline: redis(50)))
        #expect(first == page && page.cursor == "0")
        let isFirst = plan.answered(page, next: "7", departed: 3)
        #expect(isFirst && plan.fenced == 1)
        let second = plan.next()
        var next = page
        next.cursor = "7"
        #expect(second == next)
        let isFirstAgain = plan.answered(next, next: "7", departed: 3)
        #expect(!isFirstAgain && plan.fenced == 1)
        let rest = drain(&plan)
        #expect(rest.first == next)
        #expect(
            rest.map(\.incarnation) == Array(repeating: "dead#1", count: 16)
                + Array(repeating: "live#1", count: 16)
        )
        #expect(rest.map(\.partition) == Array(0..<16) + Array(0..<16))
        #expect(!plan.hasDead)
    }

    @Test func `a dead one is looked at now and then for ten minutes, a live one each minute`() {
        var plan = WalkPlan()
        /// What there is to walk at a moment, and which names leave the list.
        func walk(isLive: Bool, at seconds: Int64, _ time: UInt64) -> (pages: [WalkPlan.Page], over: [String])
        {
            let over = plan.update([("a#1", redis(50), isLive)], at: at(seconds), redis(time))
            return (drain(&plan), over)
        }
        #expect(walk(isLive: true, at: 0, 40).pages.allSatisfy { $0.verdict == .live })
        #expect(walk(isLive: true, at: 59, 45).pages.isEmpty)
        #expect(walk(isLive: true, at: 60, 46).pages.count == 16)
        let first = walk(isLive: false, at: 61, 51)
        #expect(first.pages.count == 16 && first.over.isEmpty)
        #expect(first.pages.allSatisfy { $0.verdict == .dead(deadline: redis(50)) })
        #expect(walk(isLive: false, at: 90, 80).pages.isEmpty)
        #expect(walk(isLive: false, at: 91, 81).pages.count == 16)
        // It is walked once more when it goes.
        let last = walk(isLive: false, at: 700, 651)
        #expect(last.pages.count == 16 && last.over == ["a#1"])
    }

    @Test func `one that dies in the middle of a walk is walked as dead`() {
        var plan = WalkPlan()
        _ = plan.update([("a#1", redis(50), true)], at: at(0), redis(40))
        let begun = plan.next()
        #expect(begun?.verdict == .live)
        _ = plan.update([("a#1", redis(50), false)], at: at(1), redis(51))
        let rest = drain(&plan)
        #expect(rest.count == 16 && rest.allSatisfy { $0.verdict == .dead(deadline: redis(50)) })
    }
}
