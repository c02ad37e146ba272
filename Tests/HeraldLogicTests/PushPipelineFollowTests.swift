import HeraldCore
import HeraldTesting
import HeraldWire
import ServiceLifecycle
import Synchronization
import Testing

@testable import HeraldLogic

/// Confirmations and stale routes through a whole pipeline, with nodes that answer.
@Suite(.timeLimit(.minutes(1)))
struct PushPipelineFollowTests {
    private let fleet = Fleet()
    private let all = Reach(connections: 1, written: 1)

    @Test func `a push that asks for written is answered by the nodes' receipts`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: first)
        try await fleet.bind("alice/laptop", on: second, counter: 2)
        let all = all
        try await fleet.answering(["cloud-1": { _ in all }, "cloud-2": { _ in all }]) {
            try await fleet.pushing { pipeline in
                try await pipeline.hears()
                let answer = try await pipeline.push(asking(.written, "a"))
                #expect(answer.verdicts.map(\.verdict) == [.written])
                #expect(answer.verdicts[0].nodes.sorted().map(\.description) == ["cloud-1", "cloud-2"])
                #expect(answer.verdicts[0].reach == Reach(connections: 2, written: 2))
                #expect(pipeline.counters.done.targetsWritten == 1)
                #expect(pipeline.counters.done.follow.held == 0)
            }
        }
    }

    @Test func `without an answer it is told at its deadline what is known`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let clock = ManualClock()
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing(clock: clock) { pipeline in
                try await pipeline.hears()
                let answers = Answers()
                var push = try asking(.written, "a")
                push.deadline = .milliseconds(250)
                await clock.waitUntilSleeping()
                pipeline.submit(push, answers.caller)
                try await eventually("held") { pipeline.counters.done.follow.held == 1 }
                // The alarm was moved: wherever it stands, these steps reach the deadline and no later one.
                for _ in 0..<5 {
                    await clock.waitUntilSleeping()
                    clock.advance(by: .milliseconds(50))
                }
                #expect(await answers.wait(for: 1) == ["unreachable"])
                #expect(pipeline.counters.done.targetsUnreachable == 1)
            }
        }
    }

    @Test func `a stale route is followed to the new node, and shown there once`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: first)
        let all = all
        let (fleet, moved) = (fleet, Mutexed(false))
        try await fleet.answering(["cloud-1": { _ in moved.value ? nil : all }, "cloud-2": { _ in all }]) {
            try await fleet.pushing { pipeline in
                try await pipeline.hears()
                fleet.bus.publishGate.close()
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                await fleet.bus.publishGate.waitUntilWaiting()
                // She moves between the look-up and the delivery.
                moved.change { $0 = true }
                try await fleet.bind("alice/phone", on: second)
                fleet.bus.publishGate.open()
                _ = await answers.wait(for: 1)
                try await eventually("a is at cloud-2") { try fleet.events("cloud-2") == ["a"] }
                let written = try await pipeline.push(asking(.written, "b"))
                #expect(written.summary == ["written cloud-2"])
                let story = try #require(pipeline.story(of: try PushID("a")))
                #expect(story.targets[0].verdict.nodes.map(\.description) == ["cloud-2"])
                #expect(pipeline.counters.done.follow.sentOnward == 1)
            }
        }
        #expect(try fleet.events("cloud-1") == ["a"])
        #expect(try fleet.events("cloud-2") == ["a", "b"])
    }

    @Test func `a node that listens again is heard of, and gets nothing twice`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let clock = ManualClock()
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing(
                following: PushFollow.Bounds(),
                clock: clock
            ) { pipeline in
                let node = try NodeID("cloud-1")
                fleet.bus.cut(node)
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                try await eventually("a waits for its next look") { Self.waiting(pipeline) == 1 }
                #expect(pipeline.counters.done.retried == 1)
                // What comes later does not wait for it, and does not overtake it.
                pipeline.submit(try push("b", to: .user("alice")), answers.caller)
                try await eventually("both wait for their next look") { Self.waiting(pipeline) == 2 }
                #expect(pipeline.counters.done.retried >= 3)
                fleet.bus.restore(node)
                while answers.now.count < 2 {
                    await clock.waitUntilSleeping()
                    clock.advance(by: .milliseconds(25))
                    // The time stands still while somebody is looked up.
                    try await eventually("looked up again") {
                        Self.waiting(pipeline) + answers.now.count == 2
                    }
                }
                #expect(answers.now == ["routed", "routed"])
            }
        }
        let sent = fleet.bus.published.joined().compactMap { try? Envelope(wire: $0.bytes) }
        #expect(sent.flatMap(\.deliveries).map(\.push.description) == ["a", "b"])
    }

    @Test func `a node that was sent nothing is not taken for one that listens`() async throws {
        let dead = try await fleet.register("cloud-1")
        let alive = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: dead)
        try await fleet.bind("bob/phone", on: alive)
        let clock = ManualClock()
        try await fleet.listening(["cloud-2"]) {
            try await fleet.pushing(following: PushFollow.Bounds(), clock: clock) { pipeline in
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                try await eventually("a waits for its next look") { Self.waiting(pipeline) == 1 }
                fleet.table.lookupGate.close()
                pipeline.submit(try push("b", to: .user("bob")), answers.caller)
                await fleet.table.lookupGate.waitUntilWaiting()
                // These two are one turn; of the first nothing is sent, because its caller goes.
                let gone = pipeline.submit(try push("gone", to: .user("alice")), answers.caller)
                pipeline.submit(try push("c", to: .user("bob")), answers.caller)
                fleet.table.lookupGate.letOneThrough()
                await fleet.table.lookupGate.waitUntilWaiting()
                pipeline.cancel(try #require(gone))
                fleet.table.lookupGate.open()
                #expect(await answers.wait(for: 3).sorted() == ["cancelled", "routed", "routed"])
                while answers.now.count < 4 {
                    await clock.waitUntilSleeping()
                    clock.advance(by: .milliseconds(25))
                    try await eventually("looked up again") {
                        Self.waiting(pipeline) + answers.now.count == 4
                    }
                }
                #expect(answers.now.last == "unreachable")
            }
        }
    }

    /// Pushes whose next look-up is still to come.
    private static func waiting(_ pipeline: MemoryPipeline) -> Int {
        let now = pipeline.now
        return pipeline.follow.withLock { follow in
            follow.pursuits.values.count { $0.nextTry.map { $0 > now } ?? false }
        }
    }

    @Test func `a dead node holds nobody else up`() async throws {
        let dead = try await fleet.register("cloud-1")
        let alive = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: dead)
        try await fleet.bind("bob/phone", on: alive)
        try await fleet.listening(["cloud-2"]) {
            try await fleet.pushing(following: PushFollow.Bounds()) { pipeline in
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                for number in 0..<100 {
                    let summary = try await pipeline.summary("b\(number)", to: .user("bob"))
                    #expect(summary == ["routed cloud-2"])
                }
                // The clock stands still: alice's push is still looked for.
                #expect(answers.now == [])
                #expect(fleet.table.lookups.flatMap(\.users).filter { $0.description == "alice" }.count < 5)
            }
        }
    }

    @Test func `shutting down gracefully waits for those that are held`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let clock = ManualClock()
        let pipeline = MemoryPipeline(
            table: fleet.table,
            bus: fleet.bus,
            sender: "logic-test",
            clock: clock,
            logger: .silent
        )
        let group = ServiceGroup(services: [pipeline], logger: .silent)
        try await fleet.listening(["cloud-1"]) {
            try await withThrowingTaskGroup { tasks in
                tasks.addTask { try await group.run() }
                let answers = Answers()
                await clock.waitUntilSleeping()
                pipeline.submit(try asking(.written, "a"), answers.caller)
                try await eventually("held") { pipeline.counters.done.follow.held == 1 }
                await group.triggerGracefulShutdown()
                await clock.waitUntilSleeping()
                #expect(answers.now == [])
                clock.advance(by: .seconds(3))
                try await tasks.waitForAll()
                #expect(answers.now == ["unreachable"])
            }
        }
    }
}

extension PushPipeline {
    /// Returns once replies of nodes arrive.
    func hears() async throws {
        try await eventually("replies are heard") { self.follow.withLock { $0.isHearing } }
    }
}
