import HeraldCore
import Testing

@testable import HeraldLogic

/// A dispatcher's machine under a hand-moved clock, whose effects read as words. Events are numbered; each lies in
/// the partition that a test says.
final class WebhookDesk {
    private var machine: WebhookDispatcherStateMachine
    private let rules: WebhookRules
    /// Of the steady clock; the wall clock goes with it, from `unixStart` on.
    private(set) var seconds = 0.0

    static let unixStart: UInt64 = 1_700_000_000_000

    init(_ change: (inout WebhookRules) -> Void = { _ in }) {
        var rules = WebhookRules()
        change(&rules)
        self.rules = rules
        machine = WebhookDispatcherStateMachine(rules: rules)
    }

    var counts: WebhookCounters { machine.counts }
    var isEnded: Bool { machine.isEnded }

    /// Past the hold and the first read, with nothing pending anywhere.
    static func delivering(_ change: (inout WebhookRules) -> Void = { _ in }) -> WebhookDesk {
        let desk = WebhookDesk(change)
        _ = desk.began()
        _ = desk.hold(true)
        _ = desk.read()
        return desk
    }

    func pass(_ seconds: Double) { self.seconds += seconds }

    func began() -> [String] { effects { $0.began(&$1) } }
    func hold(_ isHeld: Bool, askedAgo: Double = 0) -> [String] {
        let askedAt = Duration.seconds(seconds - askedAgo)
        return effects { $0.holdAnswered(isHeld, askedAt: askedAt, at: now, &$1) }
    }
    func holdFailed() -> [String] { effects { $0.holdFailed(Self.away, at: now, &$1) } }
    func due(_ wake: WebhookDispatcherStateMachine.Wake) -> [String] {
        effects { machine, effects in
            switch wake {
            case .hold: machine.holdDue(at: now, &effects)
            case .lapse: machine.lapseDue(at: now, &effects)
            case .reading: machine.readingDue(at: now, &effects)
            case .lane(let lane): machine.laneDue(lane, at: now, &effects)
            }
        }
    }
    func read(_ events: PresenceEvent...) -> [String] { read(events) }
    func read(_ events: [PresenceEvent]) -> [String] {
        effects { $0.eventsRead(events, at: now, random: 1, &$1) }
    }
    func readFailed(_ error: PresenceLogError = away) -> [String] {
        effects { $0.readFailed(error, at: now, &$1) }
    }
    func answer(_ lane: Int, _ outcome: WebhookOutcome = .accepted, random: Double = 1) -> [String] {
        effects { $0.answered(outcome, lane: lane, at: now, random: random, &$1) }
    }
    func acknowledged(_ lane: Int) -> [String] {
        effects { $0.acknowledged(lane: lane, at: now, random: 1, &$1) }
    }
    func acknowledgeFailed(_ lane: Int, _ error: PresenceLogError = away) -> [String] {
        effects { $0.acknowledgeFailed(error, lane: lane, at: now, random: 1, &$1) }
    }
    func stop() -> [String] { effects { $0.stopped(&$1) } }

    static let away = PresenceLogError.unavailable("away")
    static let busy = WebhookOutcome.refused(status: 503, retryAfter: nil)

    /// An event that happened `ago` seconds before the desk's start.
    static func event(_ partition: Int, _ number: Int, ago: UInt64 = 0) -> PresenceEvent {
        guard let session = SessionID("cloud-1#1.1"), let name = try? UserKey("alice/phone") else {
            preconditionFailure("fixtures are valid")
        }
        return PresenceEvent(
            id: PresenceEventID(partition: partition, entry: "\(number)-0"),
            kind: .connected,
            name: name,
            session: session,
            epoch: Epoch(1),
            connections: 1,
            at: RedisTime(milliseconds: unixStart - ago * 1000)
        )
    }

    private var now: WebhookTime {
        WebhookTime(
            steady: .seconds(seconds),
            unix: RedisTime(milliseconds: Self.unixStart + UInt64(seconds * 1000))
        )
    }

    private func effects(
        _ event: (inout WebhookDispatcherStateMachine, inout [WebhookDispatcherStateMachine.Effect]) -> Void
    ) -> [String] {
        var effects: [WebhookDispatcherStateMachine.Effect] = []
        event(&machine, &effects)
        return effects.map(Self.words)
    }

    private static func words(_ effect: WebhookDispatcherStateMachine.Effect) -> String {
        switch effect {
        case .askHold: "ask"
        case .read(let partitions, let again): "read \(again ? "again" : "new") \(words(partitions))"
        case .send(let lane, let events): "send \(lane): \(words(events))"
        case .acknowledge(let lane, let events): "ack \(lane): \(words(events))"
        case .wake(let wake, let pause): "wake \(words(wake)) in \(pause / .seconds(1))"
        case .drop: "drop"
        case .release: "release"
        case .end: "end"
        case .tell(let news): "tell \(words(news))"
        }
    }

    private static func words(_ partitions: [Int]) -> String {
        let missing = (0..<PresencePartition.count).filter { !partitions.contains($0) }
        if missing.isEmpty { return "all" }
        if missing.count < 4 { return "all but " + missing.map { "\($0)" }.joined(separator: " ") }
        return partitions.map { "\($0)" }.joined(separator: " ")
    }

    private static func words(_ events: [PresenceEvent]) -> String {
        let numbers = events.map { $0.id.entry.prefix { $0 != "-" } }
        guard numbers.count > 4 else { return numbers.joined(separator: " ") }
        return "\(numbers[0]) to \(numbers[numbers.count - 1])"
    }

    private static func words(_ wake: WebhookDispatcherStateMachine.Wake) -> String {
        switch wake {
        case .hold: "hold"
        case .lapse: "lapse"
        case .reading: "reading"
        case .lane(let lane): "lane \(lane)"
        }
    }

    private static func words(_ news: WebhookNews) -> String {
        switch news {
        case .holding: "holding"
        case .lost: "lost"
        case .failing(let outcome, let first): "failing \(first): \(outcome)"
        case .recovered: "recovered"
        case .gaveUp(let events, let first): "gave up \(events) from \(first)"
        case .gone: "gone"
        case .logFailed: "log failed"
        case .logAnswers: "log answers"
        }
    }
}

/// One line of a transcript.
func expect(_ answer: [String], _ expected: String..., sourceLocation: SourceLocation = #_sourceLocation) {
    #expect(answer == expected, sourceLocation: sourceLocation)
}
