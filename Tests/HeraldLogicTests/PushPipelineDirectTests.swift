import HeraldCore
import HeraldTesting
import ServiceLifecycle
import Synchronization
import Testing

@testable import HeraldLogic

/// Pushes that come alone, looked up and published in one step.
@Suite(.timeLimit(.minutes(1)))
struct PushPipelineDirectTests {
    private let fleet = Fleet()
    private let all = Reach(connections: 1, written: 1)

    @Test func `one push to one user or key goes out in one step`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: first)
        try await fleet.bind("alice/laptop", on: second, counter: 2)
        let direct = MemoryDirectBus(fleet)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing(direct: direct) { pipeline in
                let key = try await pipeline.summary("a", to: .key("alice/phone"))
                #expect(key == ["routed cloud-1"])
                let user = try await pipeline.summary("b", to: .user("alice"))
                #expect(user == ["unreachable cloud-1 not cloud-2"])
                let done = pipeline.counters.done
                #expect(done.direct == 2)
                #expect(done.envelopes == 4)
                #expect(done.envelopesMissed >= 1)
                #expect(pipeline.story(of: try PushID("a"))?.targets.map(\.verdict.verdict) == [.routed])
            }
        }
        #expect(try fleet.events("cloud-1") == ["a", "b"])
    }

    @Test func `what is not one target, or not all well, goes the ordinary way`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let direct = MemoryDirectBus(fleet)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing(direct: direct) { pipeline in
                let two = try await pipeline.summary("a", to: .user("alice"), .key("alice/phone"))
                #expect(two == ["routed cloud-1", "routed cloud-1"])
                let everyone = try await pipeline.summary("b", to: .everyone)
                #expect(everyone == ["routed cloud-1"])
                #expect(direct.count == 0)
                let nobody = try await pipeline.summary("c", to: .user("nobody"))
                #expect(nobody == ["offline"])
                #expect(direct.count == 1)
                #expect(pipeline.counters.done.direct == 0)
            }
        }
        #expect(try fleet.events("cloud-1") == ["a", "b"])
    }

    @Test func `who comes while it is under way shares the next turn, and comes behind it`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let direct = MemoryDirectBus(fleet)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing(direct: direct) { pipeline in
                direct.entry.close()
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                await direct.entry.waitUntilWaiting()
                for event in ["b", "c", "d"] {
                    pipeline.submit(try push(event, to: .user("alice")), answers.caller)
                }
                direct.entry.open()
                #expect(await answers.wait(for: 4) == Array(repeating: "routed", count: 4))
                #expect(pipeline.counters.done.direct == 1)
                #expect(pipeline.counters.done.turns == 2)
            }
        }
        #expect(try fleet.events("cloud-1") == ["a", "b", "c", "d"])
    }

    @Test func `a receipt that is here before the answer counts`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let all = all
        let direct = MemoryDirectBus(fleet)
        try await fleet.answering(["cloud-1": { _ in all }]) {
            try await fleet.pushing(direct: direct) { pipeline in
                try await pipeline.hears()
                direct.exit.close()
                let answers = Answers()
                var push = try push("a", to: .user("alice"))
                push.confirm = .written
                pipeline.submit(push, answers.caller)
                await direct.exit.waitUntilWaiting()
                try await eventually("the receipt is here") {
                    pipeline.counters.done.follow.receipts == 1
                }
                direct.exit.open()
                #expect(await answers.wait(for: 1) == ["written"])
                #expect(pipeline.counters.done.follow.receiptsStrange == 0)
                #expect(pipeline.counters.done.direct == 1)
            }
        }
    }

    @Test func `a route that was stale is followed though the node spoke first`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: first)
        let all = all
        let direct = MemoryDirectBus(fleet)
        try await fleet.answering(["cloud-1": { _ in nil }, "cloud-2": { _ in all }]) {
            try await fleet.pushing(direct: direct) { pipeline in
                try await pipeline.hears()
                direct.exit.close()
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                await direct.exit.waitUntilWaiting()
                try await eventually("the receipt is here") {
                    pipeline.counters.done.follow.receipts == 1
                }
                try await fleet.bind("alice/phone", on: second)
                direct.exit.open()
                _ = await answers.wait(for: 1)
                try await eventually("a is at cloud-2") { try fleet.events("cloud-2") == ["a"] }
                #expect(pipeline.counters.done.follow.sentOnward == 1)
            }
        }
    }

    @Test func `a failure says that it may have gone out, and the next push is on its own`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let direct = MemoryDirectBus(fleet)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing(direct: direct) { pipeline in
                fleet.bus.isUnavailable = true
                await #expect(throws: PushRefusal.busUnavailable) {
                    try await pipeline.push(push("a", to: .user("alice")))
                }
                #expect(pipeline.story(of: try PushID("a"))?.refusal != nil)
                fleet.bus.isUnavailable = false
                let next = try await pipeline.summary("b", to: .user("alice"))
                #expect(next == ["routed cloud-1"])
            }
        }
        #expect(try fleet.events("cloud-1") == ["b"])
    }

    @Test func `what certainly was not sent is told so`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let direct = MemoryDirectBus(fleet)
        try await fleet.pushing(direct: direct) { pipeline in
            direct.isUnreachable = true
            await #expect(throws: PushRefusal.tableUnavailable) {
                try await pipeline.push(push("a", to: .user("alice")))
            }
        }
        #expect(fleet.bus.published.isEmpty)
    }
}
