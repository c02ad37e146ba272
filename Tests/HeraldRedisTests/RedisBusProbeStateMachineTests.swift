import Testing

@testable import HeraldRedis

@Suite struct RedisBusProbeStateMachineTests {
    private func at(_ milliseconds: Int64) -> Moment { Moment(nanoseconds: milliseconds * 1_000_000) }

    /// Subscribed at 0, with its first probe back at 10.
    private func quiet() -> RedisBusProbeStateMachine {
        var probe = RedisBusProbeStateMachine(limits: RedisBusLimits())
        let attempt = probe.needed()
        probe.taken(attempt, now: at(5))
        probe.arrived(now: at(10))
        return probe
    }

    @Test func `a quiet subscription is probed each interval`() {
        var probe = quiet()
        #expect(probe.alarm == at(2010))
        #expect(probe.timePassed(now: at(2009)) == .nothing)
        #expect(probe.timePassed(now: at(2010)) == .probe(2))
        #expect(probe.alarm == nil)
        probe.taken(2, now: at(2011))
        #expect(probe.alarm == at(3011))
        probe.heard(now: at(2012))
        probe.arrived(now: at(2012))
        #expect(probe.alarm == at(4012))
        #expect(probe.timePassed(now: at(4012)) == .probe(3))
    }

    @Test func `a probe that Redis took and that does not arrive means starved, within two intervals`() {
        var probe = quiet()
        #expect(probe.timePassed(now: at(2010)) == .probe(2))
        probe.taken(2, now: at(2020))
        #expect(probe.timePassed(now: at(3019)) == .nothing)
        #expect(probe.timePassed(now: at(3020)) == .starved)
        #expect(probe.alarm == nil)
        #expect(probe.timePassed(now: at(9000)) == .nothing)
        probe.heard(now: at(9000))
        probe.arrived(now: at(9000))
        #expect(probe.alarm == nil)
        #expect(probe.needed() == 3)
    }

    @Test func `a busy subscription is not probed`() {
        var probe = quiet()
        for time in stride(from: Int64(1000), to: 20_000, by: 1000) {
            probe.heard(now: at(time))
            #expect(probe.alarm == at(time + 2000))
            #expect(probe.timePassed(now: at(time + 999)) == .nothing)
        }
    }

    @Test func `whatever arrives is life, be it before or after Redis took the probe`() {
        var probe = quiet()
        #expect(probe.timePassed(now: at(2010)) == .probe(2))
        probe.heard(now: at(2011))
        #expect(probe.alarm == at(4011))
        probe.taken(2, now: at(2012))
        #expect(probe.alarm == at(4011))
        #expect(probe.timePassed(now: at(4011)) == .probe(3))
        probe.taken(3, now: at(4012))
        probe.heard(now: at(4900))
        #expect(probe.alarm == at(6900))
    }

    @Test func `while Redis does not answer nothing is concluded`() {
        var probe = quiet()
        for round in 2..<20 {
            guard let alarm = probe.alarm else {
                Issue.record("no more probes")
                return
            }
            #expect(probe.timePassed(now: alarm) == .probe(round))
            #expect(probe.alarm == nil)
            #expect(probe.timePassed(now: alarm + .seconds(60)) == .nothing)
            probe.failed(round, now: alarm + .seconds(2))
            #expect(probe.alarm == alarm + .seconds(4))
        }
    }

    @Test func `the first probe must arrive itself, and is sent again soon`() {
        var probe = RedisBusProbeStateMachine(limits: RedisBusLimits())
        #expect(probe.needed() == 1)
        probe.heard(now: at(1))
        #expect(probe.alarm == nil)
        probe.failed(1, now: at(2))
        #expect(probe.alarm == at(102))
        probe.heard(now: at(50))
        #expect(probe.alarm == at(102))
        #expect(probe.timePassed(now: at(102)) == .probe(2))
        probe.taken(2, now: at(103))
        #expect(probe.alarm == at(1103))
        // A long backlog before it: more time, but not for ever.
        probe.heard(now: at(1000))
        #expect(probe.timePassed(now: at(1103)) == .nothing)
        #expect(probe.alarm == at(2000))
        #expect(probe.timePassed(now: at(2000)) == .starved)
    }

    @Test func `answers to older probes change nothing`() {
        var probe = RedisBusProbeStateMachine(limits: RedisBusLimits())
        #expect(probe.needed() == 1)
        probe.lost()
        #expect(probe.alarm == nil)
        #expect(probe.needed() == 2)
        probe.taken(1, now: at(1))
        probe.failed(1, now: at(1))
        #expect(probe.alarm == nil)
        #expect(probe.needed() == 3)
        probe.taken(2, now: at(2))
        #expect(probe.alarm == nil)
        probe.taken(3, now: at(3))
        #expect(probe.alarm == at(1003))
        probe.taken(3, now: at(500))
        #expect(probe.alarm == at(1003))
    }
}
