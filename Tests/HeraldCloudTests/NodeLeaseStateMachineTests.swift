import HeraldCore
import Testing

@testable import HeraldCloud

struct NodeLeaseStateMachineTests {
    @Test func `register, then renew every three seconds`() {
        let lease = Watch()
        #expect(lease.step() == .register)
        #expect(lease.registered(7) == lease.at(10_000))
        #expect(lease.step() == .wait(until: lease.at(3000)))
        lease.wait(3000)
        #expect(lease.step() == .renew(lease.lease(7)))
        #expect(lease.renewed(7) == lease.at(13_000))
        #expect(lease.step() == .wait(until: lease.at(6000)))
    }

    @Test func `a renewal that fails is tried again each second, past the lapse too`() {
        let lease = Watch()
        _ = lease.registered(7)
        lease.wait(3000)
        for _ in 0..<20 {
            #expect(lease.step() == .renew(lease.lease(7)))
            lease.machine.failed(at: lease.now)
            lease.wait(1000)
        }
        _ = lease.renewed(7)
        #expect(lease.step() == .wait(until: lease.now + .seconds(3)))
    }

    @Test func `a lost lease is taken anew at once`() {
        let lease = Watch()
        _ = lease.registered(7)
        lease.wait(3000)
        #expect(lease.machine.renewAnswered(nil, asked: lease.now, at: lease.now) == nil)
        #expect(lease.step() == .register)
        _ = lease.registered(8)
        lease.wait(3000)
        #expect(lease.step() == .renew(lease.lease(8)))
    }

    @Test func `the lease of a run that was killed is waited for`() {
        let lease = Watch()
        #expect(lease.held(by: 6, left: 8000))
        var left = 8000
        while left > 0 {
            guard case .wait(let until) = lease.step() else {
                Issue.record("it waits")
                return
            }
            left -= Int(until.milliseconds - lease.now.milliseconds)
            lease.now = until
            #expect(lease.step() == .register)
            if left > 0 { #expect(!lease.held(by: 6, left: left)) }
        }
        #expect(lease.now <= lease.at(8500))
        _ = lease.registered(7)
        #expect(lease.step() == .wait(until: lease.now + .seconds(3)))
    }

    @Test func `a lease that its holder renews is refused within four seconds, by name`() {
        let lease = Watch()
        _ = lease.held(by: 6, left: 9000)
        var looks = 0
        while true {
            switch lease.step() {
            case .wait(let until): lease.now = until
            case .register:
                looks += 1
                let sinceRenewal = lease.now.milliseconds % 3000
                _ = lease.held(by: 6, left: 10_000 - Int(sinceRenewal))
            case .fail(let holder):
                #expect(holder == .init(incarnation: Incarnation(6), url: "ws://other"))
                #expect(lease.now <= lease.at(4000))
                return
            case .renew:
                Issue.record("there is nothing to renew")
                return
            }
            if looks > 20 {
                Issue.record("it never gives up")
                return
            }
        }
    }

    @Test func `another holder than before is refused`() {
        let lease = Watch()
        _ = lease.held(by: 6, left: 5000)
        lease.wait(1000)
        _ = lease.held(by: 7, left: 3000)
        #expect(lease.step() == .fail(.init(incarnation: Incarnation(7), url: "ws://other")))
    }
}

private final class Watch {
    var now = Moment(milliseconds: 0)
    var machine = NodeLeaseStateMachine(.init(), at: Moment(milliseconds: 0))

    func at(_ milliseconds: Int64) -> Moment { Moment(milliseconds: milliseconds) }

    func lease(_ incarnation: UInt64) -> Lease {
        Lease(
            node: NodeID(fixed: "cloud-1"),
            incarnation: Incarnation(incarnation),
            deadline: RedisTime(milliseconds: 0)
        )
    }

    func wait(_ milliseconds: Int64) { now = now + .milliseconds(milliseconds) }
    func step() -> NodeLeaseStateMachine.Step { machine.nextStep(at: now) }
    func registered(_ incarnation: UInt64) -> Moment {
        machine.registered(lease(incarnation), asked: now, at: now)
    }
    func renewed(_ incarnation: UInt64) -> Moment? {
        machine.renewAnswered(lease(incarnation), asked: now, at: now)
    }
    func held(by incarnation: UInt64, left: Int) -> Bool {
        let holder = NodeLeaseStateMachine.HeldBy(incarnation: Incarnation(incarnation), url: "ws://other")
        return machine.nodeHeld(by: holder, left: .milliseconds(left), at: now)
    }
}
