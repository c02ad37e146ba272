import HeraldCore
import Testing

@testable import HeraldLogic

struct TableWatchTests {
    @Test func `a table is ready from its first answer on`() {
        var health = TableHealth()
        #expect(health.obstacles(at: .zero) == ["Redis has not answered yet"])
        let isNews = health.answered(at: .seconds(1))
        let isNewsAgain = health.answered(at: .seconds(2))
        #expect(isNews && !isNewsAgain)
        #expect(health.obstacles(at: .seconds(2)) == [])
    }

    @Test func `an error makes it unready at once, an answer ready again`() {
        var health = TableHealth()
        _ = health.answered(at: .zero)
        let isNews = health.failed()
        let isNewsAgain = health.failed()
        #expect(isNews && !isNewsAgain)
        #expect(health.obstacles(at: .zero) == ["Redis does not answer"])
        let isRecovery = health.answered(at: .seconds(1))
        #expect(isRecovery)
        #expect(health.obstacles(at: .seconds(1)) == [])
    }

    @Test func `silence makes it unready after two and a half intervals`() {
        var health = TableHealth()
        _ = health.answered(at: .seconds(10))
        #expect(health.obstacles(at: .milliseconds(12_500)) == [])
        #expect(health.obstacles(at: .milliseconds(12_501)) == ["Redis has not answered for 2501 ms"])
    }
}
