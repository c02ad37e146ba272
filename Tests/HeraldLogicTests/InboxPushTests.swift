import HeraldCore
import HeraldTesting
import HeraldWire
import Testing

@testable import HeraldLogic

/// Durable pushes through the pipeline.
struct InboxPushTests {
    private let fleet = Fleet()

    private func durable(_ event: String, to targets: Target..., isRepeat: Bool = false) throws -> Push {
        Push(
            id: try PushID(event),
            targets: targets,
            message: Message(event: event),
            isDurable: true,
            isRepeat: isRepeat
        )
    }

    private func kept(_ user: String) throws -> [String] {
        fleet.messages.messages(of: .user(try UserID(user))).map(\.push.description)
    }

    @Test func `a durable push is kept, delivered with its places, and answered with them`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.table.share([RoomID("news"): 3], of: lease, for: .seconds(60))
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                _ = try await pipeline.push(durable("before", to: .room("news")))
                let answer = try await pipeline.push(
                    durable("a", to: .user("alice"), .user("bob"), .room("news"), .room("empty"))
                )
                #expect(answer.summary == ["routed cloud-1", "stored", "routed cloud-1", "stored"])
                #expect(answer.verdicts.map(\.position?.offset) == [1, 1, 2, 1])
                #expect(pipeline.counters.done.targetsStored == 2)
            }
        }
        let delivery = try #require(try fleet.inbox("cloud-1").flatMap(\.deliveries).last)
        #expect(delivery.targets == [.user(try UserID("alice")), .room(try RoomID("news"))])
        #expect(delivery.positions.map { $0?.offset } == [1, 2])
        #expect(try kept("bob") == ["a"])
        #expect(fleet.messages.appends.map(\.count) == [1, 4])
    }

    @Test func `what is not durable is not kept, and bears no place`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                let answer = try await pipeline.push(push("a", to: .user("alice"), .user("bob")))
                #expect(answer.summary == ["routed cloud-1", "offline"])
                #expect(answer.verdicts.allSatisfy { $0.position == nil })
            }
        }
        #expect(fleet.messages.appends.isEmpty)
        #expect(try fleet.inbox("cloud-1").flatMap(\.deliveries).map(\.positions) == [[]])
    }

    @Test func `what waits together is kept in one call, in the order of acceptance`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                fleet.messages.appendGate.close()
                let answers = Answers()
                pipeline.submit(try durable("0", to: .user("alice")), answers.caller)
                await fleet.messages.appendGate.waitUntilWaiting()
                for number in 1...50 {
                    pipeline.submit(try durable("\(number)", to: .user("alice")), answers.caller)
                    pipeline.submit(try push("x\(number)", to: .user("alice")), answers.caller)
                }
                fleet.messages.appendGate.open()
                #expect(await answers.wait(for: 101).allSatisfy { $0 == "routed" })
            }
        }
        #expect(fleet.messages.appends.map(\.count) == [1, 50])
        #expect(try kept("alice") == (0...50).map(String.init))
        let deliveries = try fleet.inbox("cloud-1").flatMap(\.deliveries)
        #expect(deliveries.compactMap { $0.position(at: 0)?.offset } == Array(1...51))
    }

    @Test func `what an inbox did not take is refused and goes to nobody; the others go on`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        fleet.messages.breakInbox(of: .user(try UserID("mallory")))
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                fleet.table.lookupGate.close()
                let answers = Answers()
                pipeline.submit(try push("first", to: .user("alice")), answers.caller)
                await fleet.table.lookupGate.waitUntilWaiting()
                pipeline.submit(try durable("bad", to: .user("alice"), .user("mallory")), answers.caller)
                pipeline.submit(try durable("good", to: .user("alice")), answers.caller)
                pipeline.submit(try push("plain", to: .user("alice")), answers.caller)
                fleet.table.lookupGate.open()
                #expect(await answers.wait(for: 4).sorted() == ["internal", "routed", "routed", "routed"])
                #expect(pipeline.counters.done.appendsFailed == 1)
            }
        }
        #expect(try fleet.events("cloud-1") == ["first", "good", "plain"])
    }

    @Test(arguments: [true, false])
    func `without its inboxes a durable push is refused, and others are sent`(isFull: Bool) async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        if isFull { fleet.messages.isFull = true } else { fleet.messages.isUnavailable = true }
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                let refusal = await #expect(throws: PushRefusal.self) {
                    try await pipeline.push(durable("a", to: .user("alice")))
                }
                #expect(refusal?.code == (isFull ? .inboxFull : .redisUnavailable))
                #expect(refusal?.retryAfter != nil)
                let plain = try await pipeline.summary("b", to: .user("alice"))
                #expect(plain == ["routed cloud-1"])
            }
        }
        #expect(try fleet.events("cloud-1") == ["b"])
        #expect(try kept("alice") == [])
    }

    @Test func `a retry after a lost answer is kept once and delivered`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                fleet.messages.loseNextAnswer()
                let refusal = await #expect(throws: PushRefusal.self) {
                    try await pipeline.push(durable("a", to: .user("alice"), .user("bob")))
                }
                #expect(refusal?.detail.contains("may be kept") == true)
                let retry = try durable("a", to: .user("alice"), .user("bob"), isRepeat: true)
                let answer = try await pipeline.push(retry)
                #expect(answer.summary == ["routed cloud-1", "stored"])
                #expect(answer.verdicts.map(\.position?.offset) == [1, 1])
            }
        }
        #expect(try kept("alice") == ["a"] && kept("bob") == ["a"])
        #expect(try fleet.events("cloud-1") == ["a"])
    }

    @Test func `what is kept stays answered when the rest of the way is cut`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.pushing { pipeline in
            fleet.table.isUnavailable = true
            let lost = try await pipeline.push(durable("a", to: .user("alice"), .user("bob")))
            #expect(lost.summary == ["stored", "stored"])
            #expect(lost.verdicts.allSatisfy { $0.position?.offset == 1 && $0.reason != nil })
            fleet.table.isUnavailable = false
            fleet.bus.isUnavailable = true
            let unsent = try await pipeline.push(durable("b", to: .user("alice")))
            #expect(unsent.summary == ["stored"])
        }
        #expect(try kept("alice") == ["a", "b"])
    }

    @Test func `a node that does not listen leaves the target unreachable, and the message kept`()
        async throws
    {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.pushing { pipeline in
            let answer = try await pipeline.push(durable("a", to: .user("alice")))
            #expect(answer.summary == ["unreachable not cloud-1"])
            #expect(answer.verdicts[0].position?.offset == 1)
        }
    }

    @Test func `what is kept is sent although its caller has gone`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.listening(["cloud-1"]) {
            try await fleet.pushing { pipeline in
                fleet.table.lookupGate.close()
                let answers = Answers()
                let ticket = pipeline.submit(try durable("kept", to: .user("alice")), answers.caller)
                await fleet.table.lookupGate.waitUntilWaiting()
                pipeline.cancel(try #require(ticket))
                fleet.table.lookupGate.open()
                let next = try await pipeline.summary("next", to: .user("alice"))
                #expect(next == ["routed cloud-1"] && answers.now == ["cancelled"])
            }
        }
        #expect(try fleet.events("cloud-1") == ["kept", "next"])
    }

    @Test func `who is late while it is being kept is told that it may be kept`() async throws {
        let clock = ManualClock()
        try await fleet.pushing(clock: clock) { pipeline in
            fleet.messages.appendGate.close()
            let refusals = Mutexed<[PushRefusal]>([])
            let (told, signal) = AsyncStream<Void>.makeStream()
            pipeline.submit(try durable("a", to: .user("alice"))) { result in
                if case .failure(let refusal) = result { refusals.change { $0.append(refusal) } }
                signal.finish()
            }
            await fleet.messages.appendGate.waitUntilWaiting()
            await clock.waitUntilSleeping()
            clock.advance(by: .seconds(4))
            for await _ in told {}
            #expect(refusals.value == [.lateMaybeSent])
            fleet.messages.appendGate.open()
        }
    }
}
