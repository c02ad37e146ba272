import HeraldCore
import Testing

@testable import HeraldClient

@Suite struct BackOffTests {
    @Test func `pauses double from half a second to the maximum, and half of each is jitter`() {
        var low = BackOff()
        var high = BackOff()
        let lows = (0..<8).map { _ in low.pause(after: nil, random: 0) }
        let highs = (0..<8).map { _ in high.pause(after: nil, random: 1) }
        #expect(highs == [0.5, 1, 2, 4, 8, 16, 30, 30].map { .seconds($0) })
        #expect(lows == highs.map { $0 / 2 })
    }

    @Test func `a steady connection ends the series, a short one does not`() {
        var backOff = BackOff()
        for _ in 0..<4 { _ = backOff.pause(after: nil, random: 1) }
        expect(backOff.pause(after: .seconds(1), random: 1), .seconds(8))
        expect(backOff.pause(after: .seconds(10), random: 1), .milliseconds(500))
    }

    @Test func `what the server asked for is the least`() {
        var backOff = BackOff()
        expect(backOff.pause(after: nil, asked: .seconds(5), random: 0), .milliseconds(5250))
    }

    @Test func `many failures do not overflow`() {
        var backOff = BackOff()
        for _ in 0..<1000 { expect(backOff.pause(after: nil, random: 1) <= .seconds(30), true) }
    }

    @Test func `the last pushes are remembered, and no more`() throws {
        var recent = RecentPushes(max: 2)
        let ids = try (0..<4).map { try PushID("p\($0)") }
        expect(recent.remember(ids[0]), true)
        expect(recent.remember(ids[1]), true)
        expect(recent.remember(ids[0]), false)
        expect(recent.remember(ids[2]), true)
        // The oldest had to go.
        expect(recent.remember(ids[0]), true)
        expect(recent.remember(ids[2]), false)
    }
}
