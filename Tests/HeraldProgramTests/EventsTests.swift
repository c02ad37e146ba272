import ArgumentParser
import HeraldCore
import HeraldTesting
import HeraldWire
import Synchronization
import Testing

@testable import herald

@Suite struct EventsTests {
    @Test(arguments: [
        ("start", EventsStart.start), ("now", .now),
        ("3-17-1", .after(PresenceEventID(partition: 3, entry: "17-1"))),
    ])
    func `following begins at a word or an id`(text: String, start: EventsStart) {
        #expect(EventsStart(argument: text) == start)
    }

    @Test(arguments: ["", "end", "17-1", "16-17-1", "3-17"])
    func `what is neither is refused`(text: String) { #expect(EventsStart(argument: text) == nil) }

    @Test func `behind an event is what was written later, in any partition`() {
        let start = EventsStart.after(PresenceEventID(partition: 3, entry: "99-1"))
        let later = [(3, "99-2"), (3, "100-0"), (5, "100-0"), (5, "99-2")]
        let earlier = [(3, "99-1"), (3, "99-0"), (3, "9-5"), (5, "98-7")]
        for (partition, entry) in later {
            #expect(start.precedes(PresenceEventID(partition: partition, entry: entry)))
        }
        for (partition, entry) in earlier {
            #expect(!start.precedes(PresenceEventID(partition: partition, entry: entry)))
        }
    }

    @Test(arguments: [
        ["--group", "a b"], ["--group", ""], ["--group", "webhooks"], ["--group", "g", "--user", "alice"],
        ["--group", "g", "--from", "start"], ["--from", "yesterday"],
    ])
    func `what does not go together is refused`(words: [String]) {
        #expect(throws: (any Error).self) { try EventsCommand.parse(words) }
    }

    // MARK: a consumer

    private typealias Log = MemoryPresenceLog<ContinuousClock>

    private final class Output: Sendable {
        private let state = Mutex<(lines: [PresenceEvent], isOpen: Bool)>(([], true))
        var lines: [PresenceEvent] { state.withLock { $0.lines } }

        /// Takes so many lines more, and then nobody reads.
        func write(_ line: [UInt8], max: Int = .max) -> Bool {
            guard let event = try? PresenceJSON.decode(line) else { return false }
            return state.withLock { state in
                guard state.lines.count < max else { return false }
                state.lines.append(event)
                return true
            }
        }
    }

    private func append(_ log: Log, _ users: [String]) throws -> [PresenceEvent] {
        try users.map {
            log.append(of: try UserKey("\($0)/phone"), at: RedisTime(milliseconds: 1_700_000_000_000))
        }
    }

    private func consumer(_ log: Log, _ output: Output, max: Int = .max) -> EventsConsumer<Log> {
        var consumer = EventsConsumer(log: log, group: "g", once: true)
        consumer.write = { output.write($0, max: max) }
        return consumer
    }

    @Test func `a group prints each event once, from its beginning on`() async throws {
        let log = Log(clock: ContinuousClock())
        _ = try append(log, ["alice"])
        let output = Output()
        try await consumer(log, output).run()
        #expect(output.lines.isEmpty)
        let events = try append(log, ["alice", "bob", "alice"])
        try await consumer(log, output).run()
        try await consumer(log, output).run()
        #expect(Set(output.lines) == Set(events) && output.lines.count == 3)
        #expect(output.lines.filter { $0.name.user.description == "alice" } == [events[0], events[2]])
        #expect(log.pending(in: "g").isEmpty && log.holder(of: "g") == nil)
    }

    @Test func `what was not written is not acknowledged, and printed by the next`() async throws {
        let log = Log(clock: ContinuousClock())
        let output = Output()
        try await consumer(log, output).run()
        let events = try append(log, ["alice", "alice", "alice"])
        await #expect(throws: (any Error).self) { try await consumer(log, output, max: 1).run() }
        #expect(output.lines == [events[0]] && log.pending(in: "g").count == 3)
        #expect(log.holder(of: "g") == nil)
        let next = Output()
        try await consumer(log, next).run()
        #expect(next.lines == events && log.pending(in: "g").isEmpty)
    }

    @Test func `one reads at a time`() async throws {
        let log = Log(clock: ContinuousClock())
        #expect(try await log.hold("g", by: "another", for: .seconds(60)))
        let failure = await #expect(throws: Failure.self) { try await consumer(log, Output()).run() }
        #expect(failure?.code == .unavailable)
    }
}
