import Testing

@testable import HeraldSockets

@Suite struct TimerWheelTests {
    private func expired(_ wheel: inout TimerWheel, at tick: UInt64) -> [Int] {
        wheel.advance(to: tick)
        var entries: [Int] = []
        while let entry = wheel.popExpired() { entries.append(entry) }
        return entries.sorted()
    }

    @Test(arguments: [
        1, 2, 63, 64, 65, 4095, 4096, 4097, 262_143, 262_144, 300_000, 16_777_215, 16_777_216, 40_000_000,
    ])
    func `a deadline comes at its tick and not before`(ticks: Int) {
        for start in [UInt64(0), 1, 63, 64, 4095, 1_000_003] {
            var wheel = TimerWheel(capacity: 4, now: start)
            wheel.set(2, due: start + UInt64(ticks))
            let (early, timely) = (
                expired(&wheel, at: start + UInt64(ticks) - 1), expired(&wheel, at: start + UInt64(ticks))
            )
            #expect(early == [])
            #expect(timely == [2])
            let (count, next) = (wheel.count, wheel.nextTick)
            #expect(count == 0)
            #expect(next == nil)
        }
    }

    @Test func `a deadline in the past comes with the next tick`() {
        var wheel = TimerWheel(capacity: 1, now: 100)
        wheel.set(0, due: 3)
        let next = wheel.nextTick
        #expect(next == 101)
        let entries = expired(&wheel, at: 101)
        #expect(entries == [0])
    }

    @Test func `setting again moves, cancelling removes`() {
        var wheel = TimerWheel(capacity: 3, now: 0)
        wheel.set(0, due: 10)
        wheel.set(0, due: 5000)
        wheel.set(1, due: 10)
        wheel.set(2, due: 10)
        wheel.cancel(1)
        wheel.cancel(1)
        let answers = [expired(&wheel, at: 10), expired(&wheel, at: 4999), expired(&wheel, at: 5000)]
        #expect(answers == [[2], [], [0]])
    }

    @Test func `one that has come due can still be cancelled or set anew`() {
        var wheel = TimerWheel(capacity: 3, now: 0)
        for entry in 0..<3 { wheel.set(entry, due: 7) }
        wheel.advance(to: 7)
        let first = wheel.popExpired()
        #expect(first != nil)
        for entry in 0..<3 where entry != first { wheel.cancel(entry) }
        let other = wheel.popExpired()
        #expect(other == nil)
        wheel.set(1, due: 9)
        let entries = expired(&wheel, at: 20)
        #expect(entries == [1])
    }

    @Test(arguments: 1...8)
    func `it agrees with a list that is searched`(seed: Int) {
        var random = SplitMix(state: UInt64(seed))
        var wheel = TimerWheel(capacity: 50, now: 1000)
        var model: [Int: UInt64] = [:]
        var now: UInt64 = 1000
        for _ in 0..<3000 {
            let entry = Int(random.next() % 50)
            switch random.next() % 4 {
            case 0, 1:
                let due = now + random.next() % (1 << (random.next() % 26))
                wheel.set(entry, due: due)
                model[entry] = max(due, now + 1)
            case 2:
                wheel.cancel(entry)
                model[entry] = nil
            default:
                now += random.next() % (1 << (random.next() % 20))
                let due = model.filter { $0.value <= now }.keys.sorted()
                let entries = expired(&wheel, at: now)
                #expect(entries == due)
                for entry in due { model[entry] = nil }
            }
            let (count, next) = (wheel.count, wheel.nextTick)
            #expect(count == model.count)
            #expect((next == nil) == model.isEmpty)
            if let next, let nearest = model.values.min() { #expect(next > now && next <= nearest) }
        }
    }
}

/// A small reproducible random number generator (Steele, Lea and Flood, 2014).
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
