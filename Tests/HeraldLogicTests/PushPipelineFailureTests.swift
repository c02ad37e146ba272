import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldLogic

struct PushPipelineFailureTests {
    private let fleet = Fleet()

    @Test func `a target that one of its nodes missed is unreachable, and says which`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.bind("alice/laptop", on: first)
        try await fleet.bind("alice/phone", on: second)
        try await fleet.bind("bob/phone", on: first, counter: 2)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                let answer = try await pipeline.push(push("a", to: .user("alice"), .user("bob")))
                #expect(answer.summary == ["unreachable cloud-1 not cloud-2", "routed cloud-1"])
                #expect(pipeline.counters.done.targetsUnreachable == 1)
                #expect(pipeline.counters.done.retried == 1)
            }
        }
        // The node that took it is not sent it again.
        #expect(try fleet.events("cloud-1") == ["a"])
        #expect(
            fleet.bus.published.map { $0.map(\.address.description) } == [
                ["cloud-1", "cloud-2"], ["cloud-2"],
            ]
        )
        #expect(try fleet.table.lookups[1] == Lookup(users: [UserID("alice")]))
    }

    @Test func `a target that moved is followed`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: first)
        try await fleet.listening(["cloud-2"]) {
            try await fleet.pushing { pipeline in
                fleet.bus.publishGate.close()
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                await fleet.bus.publishGate.waitUntilWaiting()
                // Looked up already, where alice is now too: it may not overtake the first.
                pipeline.submit(try push("b", to: .key("alice/phone")), answers.caller)
                try await fleet.bind("alice/phone", on: second)
                fleet.bus.publishGate.open()
                #expect(await answers.wait(for: 2) == ["routed", "routed"])
            }
        }
        #expect(try fleet.events("cloud-2") == ["a", "b"])
    }

    @Test func `a target that left is offline`() async throws {
        let lease = try await fleet.register("cloud-1")
        let route = try await fleet.bind("alice/phone", on: lease)
        try await fleet.pushing { pipeline in
            fleet.bus.publishGate.close()
            let answers = Answers()
            pipeline.submit(try push("a", to: .user("alice")), answers.caller)
            await fleet.bus.publishGate.waitUntilWaiting()
            #expect(try await fleet.table.unbind([Departure(route, reason: .closed)]) == [true])
            fleet.bus.publishGate.open()
            #expect(await answers.wait(for: 1) == ["offline"])
        }
    }

    @Test func `who was reached is answered before the second try`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: first)
        try await fleet.bind("bob/phone", on: second)
        try await fleet.listening(["cloud-2"]) {
            try await fleet.pushing { pipeline in
                fleet.bus.publishGate.close()
                fleet.table.lookupGate.close()
                let answers = Answers()
                pipeline.submit(try push("warm-up", to: .user("bob")), answers.caller)
                await fleet.table.lookupGate.waitUntilWaiting()
                // While that turn is held, these two come together into the next one.
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                pipeline.submit(try push("b", to: .user("bob")), answers.caller)
                fleet.table.lookupGate.open()
                await fleet.bus.publishGate.waitUntilWaiting()
                #expect(fleet.bus.publishGate.letOneThrough())
                #expect(await answers.wait(for: 1) == ["routed"])
                await fleet.bus.publishGate.waitUntilWaiting()
                fleet.table.lookupGate.close()
                fleet.bus.publishGate.open()
                await fleet.table.lookupGate.waitUntilWaiting()
                #expect(answers.now == ["routed", "routed"])
                // The second try fails: what the first came to stands.
                fleet.table.isUnavailable = true
                fleet.table.lookupGate.open()
                #expect(await answers.wait(for: 3).last == "unreachable")
            }
        }
    }

    @Test func `without the table pushes are refused, and answered again when it is back`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                fleet.table.isUnavailable = true
                for name in ["a", "b"] {
                    await #expect(throws: PushRefusal.tableUnavailable) {
                        try await pipeline.push(push(name, to: .user("alice")))
                    }
                }
                #expect(PushRefusal.tableUnavailable.retryAfter == .seconds(1))
                fleet.table.isUnavailable = false
                let again = try await pipeline.summary("c", to: .user("alice"))
                #expect(again == ["routed cloud-1"])
                #expect(pipeline.counters.done.refused[.redisUnavailable] == 2)
            }
        }
        #expect(try fleet.events("cloud-1") == ["c"])
    }

    @Test func `an error of the bus is an error for that turn's pushes only`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                fleet.bus.isUnavailable = true
                await #expect(throws: PushRefusal.busUnavailable) {
                    try await pipeline.push(push("a", to: .user("alice")))
                }
                // Who needs no bus does not notice.
                let lonely = try await pipeline.summary("b", to: .user("nobody"))
                #expect(lonely == ["offline"])
                fleet.bus.isUnavailable = false
                let again = try await pipeline.summary("c", to: .user("alice"))
                #expect(again == ["routed cloud-1"])
            }
        }
        #expect(try fleet.events("cloud-1") == ["c"])
    }

    @Test func `a push over the bound is refused at once`() async throws {
        let bounds = PushQueue.Bounds(waitingMax: 1, deadline: .seconds(3))
        try await fleet.pushing(bounds: bounds) { pipeline in
            fleet.table.lookupGate.close()
            let answers = Answers()
            pipeline.submit(try push("a", to: .everyone), answers.caller)
            await fleet.table.lookupGate.waitUntilWaiting()
            pipeline.submit(try push("b", to: .everyone), answers.caller)
            await #expect(throws: PushRefusal.tooManyWaiting) {
                try await pipeline.push(push("c", to: .everyone))
            }
            fleet.table.lookupGate.open()
            #expect(await answers.wait(for: 2) == ["offline", "offline"])
        }
    }

    @Test func `a push that Redis keeps waiting is refused in time and not sent later`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let clock = ManualClock()
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing(clock: clock) { pipeline in
                await clock.waitUntilSleeping()
                fleet.table.lookupGate.close()
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                await fleet.table.lookupGate.waitUntilWaiting()
                clock.advance(by: .seconds(1))
                pipeline.submit(try push("b", to: .user("alice")), answers.caller)
                clock.advance(by: .seconds(2))
                #expect(await answers.wait(for: 1) == ["deadline"])
                fleet.table.lookupGate.open()
                #expect(await answers.wait(for: 2) == ["deadline", "routed"])
            }
        }
        #expect(try fleet.events("cloud-1") == ["b"])
    }

    @Test func `a push that is late while it is sent is told that it may have gone out`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let clock = ManualClock()
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing(clock: clock) { pipeline in
                await clock.waitUntilSleeping()
                fleet.bus.publishGate.close()
                try await withThrowingTaskGroup { group in
                    group.addTask {
                        await #expect(throws: PushRefusal.lateMaybeSent) {
                            try await pipeline.push(push("a", to: .user("alice")))
                        }
                    }
                    await fleet.bus.publishGate.waitUntilWaiting()
                    clock.advance(by: .seconds(3))
                    try await group.waitForAll()
                }
                fleet.bus.publishGate.open()
                let next = try await pipeline.summary("b", to: .user("alice"))
                #expect(next == ["routed cloud-1"])
            }
        }
        #expect(try fleet.events("cloud-1") == ["a", "b"])
    }

    @Test func `a caller that goes away is let go at once, and its push is not sent`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                fleet.table.lookupGate.close()
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                await fleet.table.lookupGate.waitUntilWaiting()
                let gone = Task {
                    _ = await #expect(throws: PushRefusal.callerGone) {
                        try await pipeline.push(push("b", to: .user("alice")))
                    }
                }
                gone.cancel()
                await gone.value
                fleet.table.lookupGate.open()
                #expect(await answers.wait(for: 1) == ["routed"])
            }
        }
        #expect(try fleet.events("cloud-1") == ["a"])
    }

    @Test func `a pipeline that is cancelled refuses what it has`() async throws {
        let answers = Answers()
        let kept = Mutexed<MemoryPipeline?>(nil)
        try await fleet.pushing { pipeline in
            kept.change { $0 = pipeline }
            fleet.table.lookupGate.close()
            pipeline.submit(try push("a", to: .everyone), answers.caller)
            await fleet.table.lookupGate.waitUntilWaiting()
            pipeline.submit(try push("b", to: .everyone), answers.caller)
        }
        #expect(answers.now.contains("stopping"))
        #expect(answers.now.count == 2)
        kept.value?.submit(try push("c", to: .everyone), answers.caller)
        #expect(answers.now.last == "stopping")
    }
}
