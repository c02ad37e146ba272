import Testing

@testable import HeraldRedis

@Suite struct RedisSubscriptionStateMachineTests {
    private func at(_ milliseconds: Int64) -> Moment { Moment(nanoseconds: milliseconds * 1_000_000) }

    private func make(channels: Int = 1) -> RedisSubscriptionStateMachine {
        RedisSubscriptionStateMachine(limits: RedisLinkLimits(), channels: channels)
    }

    @Test func `it is live when the last channel is confirmed`() {
        var machine = make(channels: 2)
        #expect(machine.connected(greetings: 2, now: at(0)) == true)
        #expect(machine.alarm == at(2000))
        #expect(machine.received(.other, now: at(1)) == .greeting)
        #expect(machine.received(.other, now: at(1)) == .greeting)
        #expect(machine.received(.confirmed, now: at(2)) == .nothing)
        #expect(
            machine.received(.message(channel: [1], bytes: [2]), now: at(2))
                == .message(channel: [1], bytes: [2])
        )
        #expect(machine.received(.confirmed, now: at(3)) == .subscribed)
        #expect(machine.alarm == at(3003))
        #expect(
            machine.received(.message(channel: [1], bytes: [3]), now: at(4))
                == .message(channel: [1], bytes: [3])
        )
        #expect(machine.lost() == true)
        #expect(machine.lost() == false)
        #expect(machine.alarm == nil)
    }

    @Test func `a quiet connection is pinged and a silent one given up`() {
        var machine = make()
        #expect(machine.connected(greetings: 1, now: at(0)) == true)
        #expect(machine.received(.other, now: at(0)) == .greeting)
        #expect(machine.received(.confirmed, now: at(0)) == .subscribed)
        #expect(machine.timePassed(now: at(2999)) == .nothing)
        #expect(machine.timePassed(now: at(3000)) == .ping)
        #expect(machine.alarm == at(5000))
        #expect(machine.timePassed(now: at(3001)) == .nothing)
        #expect(machine.received(.pong, now: at(3002)) == .nothing)
        #expect(machine.alarm == at(6002))
        #expect(machine.timePassed(now: at(6002)) == .ping)
        // A message, or a part of one, is as good as a PONG.
        machine.heard(now: at(7000))
        #expect(machine.timePassed(now: at(8002)) == .nothing)
        #expect(machine.timePassed(now: at(10_000)) == .ping)
        #expect(machine.timePassed(now: at(11_999)) == .nothing)
        #expect(machine.timePassed(now: at(12_000)) == .silent)
        #expect(machine.lost() == true)
    }

    @Test func `a greeting or a SUBSCRIBE that takes too long ends the connection`() {
        var machine = make()
        #expect(machine.connected(greetings: 1, now: at(0)) == true)
        #expect(machine.timePassed(now: at(1999)) == .nothing)
        #expect(machine.received(.other, now: at(1999)) == .greeting)
        #expect(machine.timePassed(now: at(2000)) == .silent)
        #expect(machine.lost() == false)
    }

    @Test func `a refusal and nonsense end the connection`() {
        let error = RedisReplyError("NOPERM no")
        var machine = make()
        #expect(machine.received(.pong, now: at(0)) == .violated)
        #expect(machine.connected(greetings: 1, now: at(0)) == true)
        #expect(machine.received(.other, now: at(0)) == .greeting)
        #expect(machine.received(.error(error), now: at(0)) == .refused(error))
        #expect(machine.lost() == false)
        #expect(machine.connected(greetings: 1, now: at(1)) == true)
        #expect(machine.received(.other, now: at(1)) == .greeting)
        #expect(machine.received(.other, now: at(1)) == .violated)
    }

    @Test func `a stopped subscription stays so`() {
        var machine = make()
        machine.stop()
        #expect(machine.connected(greetings: 1, now: at(0)) == false)
        #expect(machine.received(.confirmed, now: at(0)) == .nothing)
        #expect(machine.lost() == false)
        #expect(machine.alarm == nil)
    }

    @Test func `replies are read as a subscriber reads them`() {
        typealias Arrival = RedisSubscriptionStateMachine.Arrival
        func words(_ words: String...) -> [RedisValue] { words.map { .string(Array($0.utf8)) } }
        #expect(Arrival(.array(words("message", "c", "m"))) == .message(channel: [99], bytes: [109]))
        #expect(Arrival(.array(words("subscribe", "c") + [.integer(1)])) == .confirmed)
        #expect(Arrival(.array(words("pong", ""))) == .pong)
        #expect(Arrival(.array(words("message", "c"))) == .other)
        #expect(Arrival(.array(words("message", "c") + [.null])) == .other)
        #expect(Arrival(.array([])) == .other)
        #expect(Arrival(.status("OK")) == .other)
        #expect(Arrival(.error(RedisReplyError("NO"))) == .error(RedisReplyError("NO")))
    }
}
