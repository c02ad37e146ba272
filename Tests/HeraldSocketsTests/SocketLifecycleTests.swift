import Testing

@testable import HeraldSockets

@Suite struct SocketLifecycleTests {
    @Test func `we close, the peer answers, it ends`() {
        var life = SocketLifecycle.open
        let step1 = life.closeStarted()
        #expect(step1)
        let step2 = life.flushed()
        #expect(step2 == .nothing)
        #expect(life == .closing && life.isParsing)
        let step3 = life.closeReceived()
        #expect(!step3)
        let step4 = life.flushed()
        #expect(step4 == .end)
    }

    @Test func `the peer closes, we answer, it ends`() {
        var life = SocketLifecycle.open
        let step5 = life.closeReceived()
        #expect(step5)
        #expect(life == .ending && !life.isParsing)
        let step6 = life.closeStarted()
        #expect(!step6)
        let step7 = life.flushed()
        #expect(step7 == .end)
    }

    @Test func `after a violation the peer is heard out`() {
        var life = SocketLifecycle.open
        let step8 = life.violated()
        #expect(step8)
        #expect(life == .draining && !life.isParsing)
        let step9 = life.flushed()
        #expect(step9 == .shutDownWriting)
        #expect(life == .halfClosed)
        let step10 = life.flushed()
        #expect(step10 == .nothing)
    }

    @Test func `a violation while closing sends no second close frame`() {
        var life = SocketLifecycle.open
        let step11 = life.closeStarted()
        #expect(step11)
        let step12 = life.violated()
        #expect(!step12)
        let step13 = life.flushed()
        #expect(step13 == .shutDownWriting)
    }

    @Test func `an HTTP answer ends with our half`() {
        var life = SocketLifecycle.handshake
        life.answered()
        let step14 = life.flushed()
        #expect(step14 == .shutDownWriting)
    }

    @Test(arguments: [SocketLifecycle.free, .handshake, .closing, .draining, .halfClosed, .ending, .ended])
    func `only an open socket starts to close`(state: SocketLifecycle) {
        var life = state
        let step15 = life.closeStarted()
        #expect(!step15)
        #expect(life == state)
    }
}

@Suite struct PingPacerTests {
    private static let second: UInt64 = 1_000_000_000

    @Test(arguments: [1, 7, 100, 12_345])
    func `every slot is visited once per interval, evenly`(slots: Int) {
        var pacer = PingPacer(interval: .seconds(25), nowNanoseconds: 0)
        var visits = [Int](repeating: 0, count: slots)
        var largest = 0
        for step in 1...500 {
            let (first, second) = pacer.due(slots: slots, nowNanoseconds: UInt64(step) * 50_000_000)
            for index in first { visits[index] += 1 }
            for index in second { visits[index] += 1 }
            largest = max(largest, first.count + second.count)
        }
        #expect(visits.allSatisfy { $0 == 1 })
        #expect(largest <= slots / 500 + 1)
    }

    @Test func `a loop that was away owes one round at most`() {
        var pacer = PingPacer(interval: .seconds(25), nowNanoseconds: 0)
        let (first, second) = pacer.due(slots: 10, nowNanoseconds: 1000 * Self.second)
        #expect(first.count + second.count == 10)
    }

    @Test func `the wake-up is when a visit is due, and never without slots`() {
        var pacer = PingPacer(interval: .seconds(20), nowNanoseconds: 0)
        #expect(pacer.nextNanoseconds(slots: 0) == nil)
        let wake = pacer.nextNanoseconds(slots: 2) ?? 0
        #expect(wake > 10 * Self.second && wake < 10 * Self.second + 1000)
        let (first, second) = pacer.due(slots: 2, nowNanoseconds: wake)
        #expect(first.count + second.count == 1)
        #expect(pacer.nextNanoseconds(slots: 1_000_000) == wake + PingPacer.stepNanoseconds)
    }
}
