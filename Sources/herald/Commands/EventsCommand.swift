import ArgumentParser
import HeraldCore
import HeraldRedis
import HeraldWire
import Logging
import Synchronization
import UnixSignals

struct EventsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Follows who comes and who goes: presence events, one JSON line each.",
        discussion: """
            Without --group it only looks: every event from --from on, again for each who asks. With --group it is a \
            consumer: each event is acknowledged when its line is written, and what was not is printed again by the \
            next one of that group; one of them reads at a time, the others wait. A new group begins with events \
            from then on. Events of one user come in order.

            Comes back by itself when Redis was away. Ends at SIGINT and SIGTERM.

            Exit codes: 0 ended as asked, 2 wrong usage or setting, 69 Redis is out of reach (or, with --once, \
            another one reads for the group), 70 the log holds what is not Herald's, or nobody reads the output.
            """
    )

    @Option(
        help: ArgumentHelp(
            "Where to begin: start (the oldest that is kept), now, or behind the event of an id.",
            discussion: "Default: now, and start with --once.",
            valueName: "start|now|id"
        )
    )
    var from: EventsStart?
    @Option(help: ArgumentHelp("Only events of this user.", valueName: "user")) var user: String?
    @Option(help: ArgumentHelp("Read as a consumer of this group.", valueName: "name")) var group: String?
    @Flag(help: "Print what is there, and end.") var once = false
    @OptionGroup var shared: SharedOptions

    func validate() throws {
        if group != nil, from != nil || user != nil {
            throw ValidationError("--group takes neither --from nor --user: a group sees every event once")
        }
        if let group, !(1...64).contains(group.utf8.count) || !group.utf8.allSatisfy(Self.isGroupByte) {
            throw ValidationError("--group must have 1 to 64 of a-z A-Z 0-9 . _ -")
        }
        if group == "webhooks" {
            throw ValidationError("--group webhooks is what the webhooks are sent from: take another name")
        }
    }

    private static func isGroupByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    func run() async throws {
        let settings = try shared.settings()
        let user: UserID?
        do { user = try self.user.map { try UserID($0) } } catch { throw Failure(.usage, "--user: \(error)") }
        let stop = StopCall()
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            defer { tasks.cancelAll() }
            tasks.addTask {
                try await RedisSession.open(settings) { link in
                    let log = RedisPresenceLog(
                        link: link,
                        prefix: settings.redis.prefix,
                        logger: Logger(label: "herald")
                    )
                    guard let group else { return try await look(log, user, stop) }
                    var consumer = EventsConsumer(log: log, group: group, once: once)
                    consumer.isStopped = { stop.isCalled }
                    try await consumer.run()
                }
            }
            tasks.addTask {
                for await _ in signals { break }
                stop.call()
                // For what is being printed; Redis may be away.
                try await Task.sleep(for: .seconds(3))
            }
            try await tasks.next()
        }
    }

    private func look(_ log: RedisPresenceLog, _ user: UserID?, _ stop: StopCall) async throws {
        let start = from ?? (once ? .start : .now)
        var place = RedisPresenceLog.Place.beginning
        if start == .now {
            place = try await EventsTrouble.patiently(once) { () async throws(PresenceLogError) in
                try await log.end()
            }
        }
        while !stop.isCalled {
            let here = place
            let (events, next) = try await EventsTrouble.patiently(once) {
                () async throws(PresenceLogError) in try await log.tail(from: here)
            }
            place = next
            for event in events where start.precedes(event.id) && (user ?? event.name.user) == event.name.user
            {
                guard Console.deliver(PresenceJSON.encode(event)) else { throw EventsTrouble.nobodyReads }
            }
            guard events.isEmpty else { continue }
            if once { return }
            try await Task.sleep(for: .milliseconds(200))
        }
    }
}

/// Tells work that it shall end when it has a moment, which cancellation does not leave it.
final class StopCall: Sendable {
    private let called = Atomic(false)

    var isCalled: Bool { called.load(ordering: .relaxed) }
    func call() { called.store(true, ordering: .relaxed) }
}

/// Where following begins.
enum EventsStart: Equatable, ExpressibleByArgument {
    case start, now
    /// In the event's partition behind it; in the others behind what was written before it.
    case after(PresenceEventID)

    init?(argument: String) {
        switch argument {
        case "start": self = .start
        case "now": self = .now
        default:
            guard let id = PresenceEventID(argument) else { return nil }
            self = .after(id)
        }
    }

    /// Whether an event is behind the start, as far as its id says: `now` is a place and not an id.
    func precedes(_ id: PresenceEventID) -> Bool {
        switch self {
        case .start, .now: true
        case .after(let first): Self.numbers(first).lexicographicallyPrecedes(Self.numbers(id))
        }
    }

    /// Milliseconds and counter, the order of Redis's entries.
    private static func numbers(_ id: PresenceEventID) -> [UInt64] {
        id.entry.split(separator: "-").compactMap { UInt64($0) }
    }
}

/// What becomes of errors of the log.
enum EventsTrouble {
    static let nobodyReads = ExitCode(Failure.Code.failed.rawValue)

    private static let pause: Duration = .seconds(1)

    /// Calls until Redis answers, and says once that it does not; with `once`, gives up at once.
    static func patiently<Result: Sendable>(
        _ once: Bool,
        _ call: () async throws(PresenceLogError) -> Result
    ) async throws -> Result {
        var isAway = false
        while true {
            do throws(PresenceLogError) {
                let result = try await call()
                if isAway { Console.complain("herald: Redis answers again") }
                return result
            } catch {
                switch error {
                case .corrupt: throw Failure(.failed, "\(error)")
                case .groupLost: throw error
                case .unavailable:
                    try Task.checkCancellation()
                    if once { throw Failure(.unavailable, "\(error)") }
                    if !isAway { Console.complain("herald: \(error)") }
                    isAway = true
                }
            }
            try await Task.sleep(for: pause)
        }
    }
}
