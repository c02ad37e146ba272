import HeraldTesting
import Testing

@testable import HeraldLogic

@Suite(.timeLimit(.minutes(1)))
struct AlarmTests {
    private let clock = ManualClock()

    @Test func `it rings at its moment`() async {
        let alarm = Alarm(clock)
        async let rung: Void = alarm.sleep(until: moment(3))
        await clock.waitUntilSleeping()
        clock.advance(by: .seconds(3))
        await rung
        #expect(clock.sleepers == 0)
    }

    @Test func `it rings when its moment is moved forward, and not when it is moved back`() async {
        let alarm = Alarm(clock)
        async let rung: Void = alarm.sleep(until: moment(3))
        await clock.waitUntilSleeping()
        alarm.move(to: moment(5))
        #expect(clock.sleepers == 1)
        alarm.move(to: moment(1))
        await rung
        #expect(clock.sleepers == 0)
        // It sleeps again after that.
        async let again: Void = alarm.sleep(until: moment(1))
        await clock.waitUntilSleeping()
        clock.advance(by: .seconds(1))
        await again
    }

    @Test func `a moment that was moved while nobody slept counts`() async {
        let alarm = Alarm(clock)
        alarm.move(to: moment(2))
        alarm.move(to: moment(1))
        await alarm.sleep(until: moment(3))
        // It was told once.
        async let rung: Void = alarm.sleep(until: moment(3))
        await clock.waitUntilSleeping()
        clock.advance(by: .seconds(3))
        await rung
    }

    @Test func `it ends when its task is cancelled`() async {
        let alarm = Alarm(clock)
        let sleeping = Task { await alarm.sleep(until: moment(3)) }
        await clock.waitUntilSleeping()
        sleeping.cancel()
        await sleeping.value
        #expect(clock.sleepers == 0)
    }

    private func moment(_ seconds: Int) -> ManualClock.Instant { .init(offset: .seconds(seconds)) }
}
