import HeraldCore
import HeraldTesting
import ServiceLifecycle
import Testing

@testable import HeraldLogic

struct PushPipelineTests {
    private let fleet = Fleet()

    @Test func `each target gets its verdict`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: first)
        try await fleet.bind("alice/laptop", on: second, counter: 2)
        try await fleet.bind("bob/phone", on: second)
        try await fleet.table.share([RoomID("news"): 3], of: second, for: .seconds(60))
        try await fleet.listening(["cloud-1", "cloud-2"]) {
            try await fleet.pushing { pipeline in
                let answer = try await pipeline.push(
                    push(
                        "hello",
                        to: .user("alice"),
                        .user("nobody"),
                        .key("bob/phone"),
                        .key("bob/tablet"),
                        .room("news"),
                        .room("empty"),
                        .everyone
                    )
                )
                #expect(
                    answer.summary == [
                        "routed cloud-2,cloud-1", "offline", "routed cloud-2", "offline", "routed cloud-2",
                        "offline", "routed cloud-1,cloud-2",
                    ]
                )
            }
        }
        let sent = try fleet.inbox("cloud-2")
        #expect(sent.count == 1)
        #expect(sent[0].sender == "logic-test")
        #expect(
            try sent[0].deliveries.map(\.targets) == [
                [.user("alice"), .key("bob/phone"), .room("news"), .everyone]
            ]
        )
        #expect(
            try fleet.inbox("cloud-1").flatMap(\.deliveries).map(\.targets) == [[.user("alice"), .everyone]]
        )
    }

    @Test func `a push to nobody publishes nothing`() async throws {
        try await fleet.register("cloud-1")
        try await fleet.pushing { pipeline in
            let lonely = try await pipeline.summary("lonely", to: .user("nobody"))
            #expect(lonely == ["offline"])
        }
        #expect(fleet.bus.published.isEmpty)
    }

    @Test func `the routes of a dead incarnation are no routes`() async throws {
        let old = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: old)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                fleet.table.advance(by: .seconds(11))
                let dead = try await pipeline.summary("a", to: .user("alice"))
                #expect(dead == ["offline"])
                let new = try await fleet.register("cloud-1")
                let foreign = try await pipeline.summary("b", to: .key("alice/phone"))
                #expect(foreign == ["offline"])
                try await fleet.bind("alice/phone", on: new)
                let alive = try await pipeline.summary("c", to: .user("alice"))
                #expect(alive == ["routed cloud-1"])
            }
        }
        #expect(try fleet.events("cloud-1") == ["c"])
    }

    @Test func `what waits together shares one look-up and one envelope for each node`() async throws {
        let first = try await fleet.register("cloud-1")
        let second = try await fleet.register("cloud-2")
        try await fleet.bind("alice/phone", on: first)
        try await fleet.bind("bob/phone", on: second)
        try await fleet.listening(["cloud-1", "cloud-2"]) {
            try await fleet.pushing { pipeline in
                fleet.table.lookupGate.close()
                try await withThrowingTaskGroup { group in
                    group.addTask { try await pipeline.push(push("first", to: .user("alice"))) }
                    await fleet.table.lookupGate.waitUntilWaiting()
                    let answers = Answers()
                    for number in 1...50 {
                        pipeline.submit(try push("a\(number)", to: .user("alice")), answers.caller)
                        pipeline.submit(try push("b\(number)", to: .user("bob")), answers.caller)
                    }
                    fleet.table.lookupGate.open()
                    try await group.waitForAll()
                    #expect(await answers.wait(for: 100).allSatisfy { $0 == "routed" })
                }
            }
        }
        #expect(fleet.table.lookups.map(\.users.count) == [1, 100])
        #expect(
            fleet.bus.published.map { $0.map(\.address.description) } == [
                ["cloud-1"], ["cloud-1", "cloud-2"],
            ]
        )
        #expect(try fleet.events("cloud-1") == ["first"] + (1...50).map { "a\($0)" })
        #expect(try fleet.events("cloud-2") == (1...50).map { "b\($0)" })
    }

    @Test func `pushes arrive in the order in which they were accepted`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let count = 3000
        try await fleet.listening(["cloud-1"]) {
            let bounds = PushQueue.Bounds(waitingMax: count, turnTargetsMax: 7, deadline: .seconds(3))
            try await fleet.pushing(bounds: bounds) { pipeline in
                let answers = Answers()
                for number in 0..<count {
                    pipeline.submit(try push("\(number)", to: .user("alice")), answers.caller)
                    if number % 10 == 0 { await Task.yield() }
                }
                #expect(await answers.wait(for: count).allSatisfy { $0 == "routed" })
                #expect(pipeline.counters.done.turns >= count / 7)
            }
        }
        #expect(try fleet.events("cloud-1") == (0..<count).map(String.init))
    }

    @Test func `many callers at once all get their own answer`() async throws {
        let lease = try await fleet.register("cloud-1")
        for number in 0..<200 {
            try await fleet.bind("user-\(number)/phone", on: lease, counter: UInt64(number + 1))
        }
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                try await withThrowingTaskGroup { group in
                    for number in 0..<400 {
                        group.addTask {
                            let answer = try await pipeline.push(
                                push("\(number)", to: .user("user-\(number)"))
                            )
                            #expect(answer.id.description == "\(number)")
                            #expect(answer.summary == [number < 200 ? "routed cloud-1" : "offline"])
                        }
                    }
                    try await group.waitForAll()
                }
                let done = pipeline.counters.done
                #expect(done.accepted == 400)
                #expect(done.answered == 400)
                #expect(done.targetsRouted == 200)
                #expect(done.targetsOffline == 200)
                #expect(pipeline.counters.waiting == 0)
            }
        }
        #expect(try Set(fleet.events("cloud-1")) == Set((0..<200).map(String.init)))
    }

    @Test func `shutting down gracefully answers what was accepted and refuses what comes`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        let pipeline = MemoryPipeline(
            table: fleet.table,
            bus: fleet.bus,
            sender: "logic-test",
            clock: ManualClock(),
            logger: .silent
        )
        let group = ServiceGroup(services: [pipeline], logger: .silent)
        try await fleet.listening(["cloud-1"]) {
            fleet.table.lookupGate.close()
            try await withThrowingTaskGroup { tasks in
                tasks.addTask { try await group.run() }
                let answers = Answers()
                pipeline.submit(try push("a", to: .user("alice")), answers.caller)
                await fleet.table.lookupGate.waitUntilWaiting()
                pipeline.submit(try push("b", to: .user("alice")), answers.caller)
                await group.triggerGracefulShutdown()
                // Refused from the moment on that the pipeline has heard of it.
                var refusals = 0
                while refusals == 0 {
                    await Task.yield()
                    let probe = Answers()
                    pipeline.submit(try push("c", to: .user("nobody")), probe.caller)
                    if probe.now == ["stopping"] { refusals += 1 }
                }
                fleet.table.lookupGate.open()
                try await tasks.waitForAll()
                #expect(answers.now == ["routed", "routed"])
            }
        }
        #expect(try fleet.events("cloud-1").sorted() == ["a", "b"])
    }
}

/// Collects the answers to many pushes, in the order in which they come.
final class Answers: Sendable {
    private let lines = Mutexed<[String]>([])
    private let stream = AsyncStream<Void>.makeStream()

    /// The first verdict, or the refusal's code.
    var caller: PushCaller {
        { [lines, stream] result in
            lines.change { lines in
                switch result {
                case .success(let answer): lines.append(answer.verdicts.first?.verdict.description ?? "")
                case .failure(let refusal): lines.append(refusal.code.description)
                }
            }
            stream.continuation.yield()
        }
    }

    var now: [String] { lines.value }

    func wait(for count: Int) async -> [String] {
        for await _ in stream.stream where lines.value.count >= count { break }
        return lines.value
    }
}
