import Testing

@testable import HeraldCloud

@Suite(.timeLimit(.minutes(1))) struct SignalTests {
    @Test func `what is raised before anybody looks is noticed once`() async {
        let signal = Signal()
        signal.raise()
        signal.raise()
        #expect(await signal.next())
        let waiting = Task { await signal.next() }
        waiting.cancel()
        #expect(await !waiting.value)
    }

    @Test func `a raise is not lost to a task that is cancelled at the same time`() async {
        for _ in 0..<2000 {
            let signal = Signal()
            let waiting = Task { await signal.next() }
            await Task.yield()
            async let raised: Void = signal.raise()
            waiting.cancel()
            await raised
            if await !waiting.value { #expect(await signal.next()) }
        }
    }
}
