import Testing

@testable import HeraldRedis

/// Transcripts: what the link is told, at which millisecond, and what it decides.
@Suite struct RedisLinkStateMachineTests {
    private typealias Machine = RedisLinkStateMachine<String>

    private static let limits: RedisLinkLimits = {
        var limits = RedisLinkLimits()
        limits.commandsInFlightMax = 10
        limits.bytesInFlightMax = 100
        return limits
    }()

    private func at(_ milliseconds: Int64) -> Moment { Moment(nanoseconds: milliseconds * 1_000_000) }

    private func make() -> Machine { Machine(limits: Self.limits, now: at(0)) }

    private func makeReady() -> Machine {
        var link = make()
        #expect(link.connected(greetings: 1, now: at(10)) == true)
        #expect(link.replied(now: at(20)) == .greeted([]))
        return link
    }

    @Test func `requests wait through the greeting and leave in order`() {
        var link = make()
        #expect(link.requested("a", commands: 1, bytes: 5, deadline: at(2000), now: at(0)) == .wait)
        #expect(link.connected(greetings: 2, now: at(10)) == true)
        #expect(link.requested("b", commands: 2, bytes: 5, deadline: at(2000), now: at(11)) == .wait)
        #expect(link.replied(now: at(12)) == .greeting)
        #expect(link.replied(now: at(13)) == .greeted(["a", "b"]))
        #expect(link.requested("c", commands: 1, bytes: 5, deadline: at(2000), now: at(14)) == .write)
        #expect(link.commandsInFlight == 4)
        #expect(link.replied(now: at(15)) == .reply(to: "a", isLast: true))
        #expect(link.replied(now: at(15)) == .reply(to: "b", isLast: false))
        #expect(link.replied(now: at(15)) == .reply(to: "b", isLast: true))
        #expect(link.replied(now: at(15)) == .reply(to: "c", isLast: true))
        #expect(link.commandsInFlight == 0)
        #expect(link.replied(now: at(16)) == .unasked)
    }

    @Test func `after a second without a connection requests are refused at once`() {
        var link = make()
        #expect(link.requested("a", commands: 1, bytes: 1, deadline: at(2000), now: at(0)) == .wait)
        #expect(link.requested("b", commands: 1, bytes: 1, deadline: at(300), now: at(0)) == .wait)
        #expect(link.alarm == at(300))
        #expect(link.timePassed(now: at(300)) == .init(unavailable: ["b"]))
        #expect(link.alarm == at(1000))
        #expect(link.timePassed(now: at(1000)) == .init(unavailable: ["a"]))
        #expect(
            link.requested("c", commands: 1, bytes: 1, deadline: at(2000), now: at(1000))
                == .refuse(.unavailable)
        )
        // A connection that does not get through its greeting does not begin a new grace.
        #expect(link.connected(greetings: 1, now: at(1100)) == true)
        #expect(
            link.requested("d", commands: 1, bytes: 1, deadline: at(2000), now: at(1100))
                == .refuse(.unavailable)
        )
        #expect(link.lost(now: at(1200)) == [])
        #expect(
            link.requested("e", commands: 1, bytes: 1, deadline: at(2000), now: at(1200))
                == .refuse(.unavailable)
        )
        #expect(link.commandsInFlight == 0)
    }

    @Test func `what was in flight when the connection ended is answered and later ones wait`() {
        var link = makeReady()
        #expect(link.requested("a", commands: 2, bytes: 1, deadline: at(2000), now: at(30)) == .write)
        #expect(link.requested("b", commands: 1, bytes: 1, deadline: at(2000), now: at(30)) == .write)
        #expect(link.replied(now: at(31)) == .reply(to: "a", isLast: false))
        #expect(link.lost(now: at(5000)) == ["a", "b"])
        #expect(link.commandsInFlight == 0)
        #expect(link.requested("c", commands: 1, bytes: 1, deadline: at(7000), now: at(5000)) == .wait)
        #expect(link.connected(greetings: 1, now: at(5050)) == true)
        #expect(link.replied(now: at(5051)) == .greeted(["c"]))
        #expect(link.replied(now: at(5052)) == .reply(to: "c", isLast: true))
    }

    @Test func `a late reply goes to nobody and the link stays in step`() {
        var link = makeReady()
        #expect(link.requested("slow", commands: 2, bytes: 1, deadline: at(100), now: at(30)) == .write)
        #expect(link.requested("next", commands: 1, bytes: 1, deadline: at(2030), now: at(30)) == .write)
        #expect(link.alarm == at(100))
        #expect(link.timePassed(now: at(100)) == .init(timedOut: ["slow"]))
        #expect(link.commandsInFlight == 3)
        #expect(link.replied(now: at(150)) == .nobody)
        #expect(link.replied(now: at(150)) == .nobody)
        #expect(link.replied(now: at(150)) == .reply(to: "next", isLast: true))
        #expect(link.commandsInFlight == 0)
    }

    @Test func `a connection that owes replies and is silent is given up`() {
        var link = makeReady()
        #expect(link.requested("a", commands: 1, bytes: 1, deadline: at(5000), now: at(1000)) == .write)
        #expect(link.timePassed(now: at(2999)) == .init())
        #expect(link.alarm == at(3000))
        // One byte of a long reply is a sign of life.
        link.heard(now: at(2999))
        #expect(link.timePassed(now: at(3000)) == .init())
        #expect(link.alarm == at(4999))
        #expect(link.timePassed(now: at(4999)) == .init(isSilent: true))
        #expect(link.lost(now: at(4999)) == ["a"])
    }

    @Test func `an idle connection is silent for as long as it likes`() {
        var link = makeReady()
        #expect(link.timePassed(now: at(1_000_000)) == .init())
        #expect(link.alarm == nil)
        #expect(link.isIdle(now: at(3019)) == false)
        #expect(link.isIdle(now: at(3020)) == true)
        // Its silence counts from the moment when it owes a reply.
        #expect(
            link.requested("a", commands: 1, bytes: 1, deadline: at(2_000_000), now: at(1_000_000)) == .write
        )
        #expect(link.timePassed(now: at(1_001_999)) == .init())
        #expect(link.timePassed(now: at(1_002_000)).isSilent == true)
    }

    @Test func `the limit counts commands and bytes until they are answered`() {
        var link = makeReady()
        #expect(link.requested("a", commands: 10, bytes: 1, deadline: at(100), now: at(30)) == .write)
        #expect(
            link.requested("b", commands: 1, bytes: 1, deadline: at(100), now: at(30)) == .refuse(.overloaded)
        )
        #expect(link.timePassed(now: at(100)) == .init(timedOut: ["a"]))
        // Redis still has to answer them all.
        #expect(
            link.requested("b", commands: 1, bytes: 1, deadline: at(200), now: at(100))
                == .refuse(.overloaded)
        )
        for _ in 0..<10 { #expect(link.replied(now: at(101)) == .nobody) }
        #expect(
            link.requested("b", commands: 1, bytes: 101, deadline: at(200), now: at(102))
                == .refuse(.overloaded)
        )
        #expect(link.requested("b", commands: 1, bytes: 100, deadline: at(200), now: at(102)) == .write)
    }

    @Test func `a cancelled request never leaves, unless it has left`() {
        var link = make()
        #expect(link.requested("w", commands: 1, bytes: 1, deadline: at(100), now: at(0)) == .wait)
        #expect(link.requested("x", commands: 1, bytes: 1, deadline: at(100), now: at(0)) == .wait)
        #expect(link.cancelled("w") == true)
        #expect(link.cancelled("w") == false)
        #expect(link.commandsInFlight == 1)
        #expect(link.connected(greetings: 1, now: at(1)) == true)
        #expect(link.cancelled("x") == true)
        #expect(link.replied(now: at(2)) == .greeted([]))
        #expect(link.requested("a", commands: 1, bytes: 1, deadline: at(100), now: at(3)) == .write)
        #expect(link.cancelled("a") == false)
        #expect(link.commandsInFlight == 1)
        #expect(link.replied(now: at(4)) == .reply(to: "a", isLast: true))
    }

    @Test func `a greeting that takes too long ends the connection`() {
        var link = make()
        #expect(link.connected(greetings: 2, now: at(10)) == true)
        #expect(link.alarm == at(2010))
        #expect(link.timePassed(now: at(2009)) == .init())
        #expect(link.timePassed(now: at(2010)) == .init(isSilent: true))
        #expect(link.lost(now: at(2010)) == [])
    }

    @Test func `a stopped link lets what is in flight end and takes nothing new`() {
        var link = makeReady()
        #expect(link.requested("a", commands: 1, bytes: 1, deadline: at(100), now: at(30)) == .write)
        #expect(link.stop() == [])
        #expect(link.isDone == false)
        #expect(
            link.requested("b", commands: 1, bytes: 1, deadline: at(100), now: at(31)) == .refuse(.stopped)
        )
        #expect(link.replied(now: at(32)) == .reply(to: "a", isLast: true))
        #expect(link.isDone == true)
        #expect(link.lost(now: at(33)) == [])
        #expect(link.connected(greetings: 1, now: at(34)) == false)
        #expect(
            link.requested("c", commands: 1, bytes: 1, deadline: at(100), now: at(35)) == .refuse(.stopped)
        )
    }

    @Test func `a link that is stopped without a connection refuses who waits`() {
        var link = make()
        #expect(link.requested("a", commands: 1, bytes: 1, deadline: at(100), now: at(0)) == .wait)
        #expect(link.stop() == ["a"])
        #expect(link.isDone == true)
        #expect(link.commandsInFlight == 0)
    }

    @Test func `a queue gives what it was given through its compactions`() {
        var queue = Queue<Int>()
        var next = 0
        for number in 0..<1000 {
            queue.append(number)
            if number % 3 != 0 {
                #expect(queue.removeFirst() == next)
                next += 1
            }
        }
        #expect(queue.elements == Array(next..<1000))
        #expect(queue.removeAll { $0 % 2 == 0 }.count == queue.count)
        #expect(queue.first == (next % 2 == 1 ? next : next + 1))
    }

    @Test func `the wait before a reconnect doubles up to a second and half of it is chance`() {
        let backoff = RedisBackoff(min: .milliseconds(50), max: .seconds(1))
        #expect(backoff.delay(failures: 1, random: 1) == .milliseconds(50))
        #expect(backoff.delay(failures: 1, random: 0) == .milliseconds(25))
        #expect(backoff.delay(failures: 2, random: 1) == .milliseconds(100))
        #expect(backoff.delay(failures: 5, random: 1) == .milliseconds(800))
        #expect(backoff.delay(failures: 6, random: 1) == .seconds(1))
        #expect(backoff.delay(failures: .max, random: 0.5) == .milliseconds(750))
    }
}
