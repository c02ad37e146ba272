import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldRedis

/// The scripts as a value against the scripts in Redis: the model checker's word is worth what this says.
@Suite(.serialized, .timeLimit(.minutes(1)))
struct KeyRecordTests {
    /// Sequences of ten commands over one key, four hundred a seed; a failure names the seed.
    @Test(arguments: 1...4, [false, true])
    func `the scripts as a value and in Redis decide alike`(seed: Int, withEvents: Bool) async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                var dice = CommandSchedule(seed: UInt64(seed))
                dice.writesEvents = withEvents
                for round in 0..<400 { try await run(round, &dice, link) }
            }
        }
    }

    /// Redis's clock cannot be held still, so the value is asked twice: with the clock before the commands and
    /// with the one after. Where both agree, Redis must too; epochs that are the moment itself lie between.
    private func run(_ round: Int, _ dice: inout CommandSchedule, _ link: RedisLink) async throws {
        let name = try UserKey("user-\(round)/phone")
        let start = RedisTime(milliseconds: UInt64(try await redisMilliseconds(link)))
        var steps: [CommandSchedule.Step] = []
        if dice.roll(2) == 0 { steps.append(.put(try dice.mapping(name, around: start))) }
        for _ in 0..<10 { steps.append(try dice.step(name, around: start)) }
        let replies = try await link.send(steps.map { $0.command(writesEvents: dice.writesEvents) })
        let end = RedisTime(milliseconds: UInt64(try await redisMilliseconds(link)))
        var early = KeyRecord()
        var late = KeyRecord()
        for (step, reply) in zip(steps, replies) {
            let first = step.perform(on: &early, at: start)
            let last = step.perform(on: &late, at: end)
            // The rest hangs on what was written, so it is told by nobody when a millisecond decided.
            guard first.isAlike(last) else { return }
            let answer = CommandSchedule.Answer(reply)
            #expect(
                answer.map { $0.isBetween(first, last) } == true,
                "\(steps): \(step) was answered \(reply), not \(first)"
            )
        }
        let text = try await link.send(RedisCommand("HGET", .text("herald:user:{\(name.user)}"), "phone"))
        if case .string(let bytes) = text, let route = RouteText.route(name, bytes) {
            #expect(route.session == early.stored?.session)
            #expect((early.stored?.epoch ?? Epoch(0)) <= route.epoch)
            #expect(route.epoch <= (late.stored?.epoch ?? Epoch(0)))
        } else {
            #expect(early.stored == nil)
        }
    }
}

/// Random commands, replayable by a seed.
struct CommandSchedule {
    private var state: UInt64
    var writesEvents = false

    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 }

    enum Step {
        case put(Route)
        case bind(Bind, accepted: ClosedRange<RedisTime>?)
        case renew(Route)
        case unbind(Route)
    }

    static let ttl = Duration.seconds(60)

    mutating func roll(_ sides: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int((state >> 33) % UInt64(sides))
    }

    /// A moment some seconds before or after, never near the edges that a millisecond decides.
    private mutating func moment(around now: RedisTime) -> RedisTime {
        let offsets = [-60_000, -9000, -5000, -1000, -500, 5000, 60_000]
        return RedisTime(milliseconds: UInt64(Int64(now.milliseconds) + Int64(offsets[roll(offsets.count)])))
    }

    private mutating func session() throws -> SessionID {
        SessionID(
            node: try NodeID("cloud-\(1 + roll(2))"),
            incarnation: Incarnation(UInt64(7 + roll(2))),
            counter: UInt64(1 + roll(2))
        )
    }

    mutating func mapping(_ name: UserKey, around now: RedisTime) throws -> Route {
        Route(
            name: name,
            session: try session(),
            epoch: Epoch(moment(around: now).milliseconds),
            expires: moment(around: now)
        )
    }

    mutating func step(_ name: UserKey, around now: RedisTime) throws -> Step {
        switch roll(6) {
        case 0, 1, 2:
            let latest = moment(around: now)
            let earliest = RedisTime(milliseconds: latest.milliseconds - UInt64(roll(2) * 30))
            return .bind(
                Bind(name: name, session: try session()),
                accepted: roll(4) == 0 ? nil : earliest...latest
            )
        case 3, 4: return .renew(try mapping(name, around: now))
        default: return .unbind(try mapping(name, around: now))
        }
    }
}

extension CommandSchedule {
    enum Answer {
        case bound(epoch: Int64, replaced: String)
        /// A renewal's, or how many were removed or written.
        case number(Int64)
        case refused

        init?(_ reply: RedisValue) {
            switch reply {
            case .null: self = .refused
            case .integer(let number): self = .number(number)
            case .array(let words):
                guard words.count == 4, let epoch = words[0].number, let replaced = words[2].text else {
                    return nil
                }
                self = .bound(epoch: epoch, replaced: replaced)
            case .string, .status, .error: return nil
            }
        }

        func isAlike(_ other: Answer) -> Bool {
            switch (self, other) {
            case (.bound(_, let mine), .bound(_, let others)): mine == others
            case (.number(let mine), .number(let others)): mine == others || min(mine, others) > 1
            case (.refused, .refused): true
            case (.bound, _), (.number, _), (.refused, _): false
            }
        }

        func isBetween(_ first: Answer, _ last: Answer) -> Bool {
            guard isAlike(first) else { return false }
            switch (first, self, last) {
            case (.bound(let low, _), .bound(let epoch, _), .bound(let high, _)),
                (.number(let low), .number(let epoch), .number(let high)):
                return low <= epoch && epoch <= high
            case (.refused, _, _), (.bound, _, _), (.number, _, _): return true
            }
        }
    }
}

extension CommandSchedule.Step {
    private static func keys(_ name: UserKey, writesEvents: Bool) -> [String] {
        let keys = RedisKeys()
        return [keys.user(name.user)]
            + (writesEvents ? keys.presence(PresencePartition.of(name.user)) : [])
    }

    private static func words(_ name: UserKey) -> [RedisArgument] {
        [.text(name.user.description), .text(name.key.description)]
    }

    func command(writesEvents: Bool) -> RedisCommand {
        let ttl = RedisArgument.integer(CommandSchedule.ttl.wholeMilliseconds)
        switch self {
        case .put(let route):
            let text = "\(route.session) \(route.epoch) \(route.expires)"
            return RedisCommand("HSET", .text(RedisKeys().user(route.name.user)), "phone", .text(text))
        case .bind(let bind, let accepted):
            let session = bind.session
            return RedisScript.routeBind.call(
                keys: Self.keys(bind.name, writesEvents: writesEvents),
                Self.words(bind.name) + [
                    .text("\(session.node)"), .text("\(session.incarnation)"),
                    .text("\(session.counter)"), ttl,
                    .integer(Int64(accepted?.lowerBound.milliseconds ?? 0)),
                    .integer(Int64(accepted?.upperBound.milliseconds ?? 0)), 0, 0, 100,
                ]
            )
        case .renew(let route):
            return RedisScript.routeRenew.call(
                keys: Self.keys(route.name, writesEvents: writesEvents),
                Self.words(route.name) + [.text("\(route.session)"), .text("\(route.epoch)"), ttl, 0, 100]
            )
        case .unbind(let route):
            return RedisScript.routeUnbind.call(
                keys: Self.keys(route.name, writesEvents: writesEvents),
                Self.words(route.name) + [
                    .text("\(route.session)"), .text("\(route.epoch)"), 5000, "closed", 100,
                ]
            )
        }
    }

    func perform(on record: inout KeyRecord, at now: RedisTime) -> CommandSchedule.Answer {
        switch self {
        case .put(let route):
            record.stored = route
            return .number(1)
        case .bind(let bind, let accepted):
            switch record.bind(bind, accepted: accepted, for: CommandSchedule.ttl, at: now) {
            case .refused, .full, .unusable: return .refused
            case .bound(let route, let replaced, _):
                let epoch = Int64(route.epoch.number)
                return .bound(epoch: epoch, replaced: replaced?.description ?? "")
            }
        case .renew(let route):
            switch record.renew(route, for: CommandSchedule.ttl, at: now) {
            case .refused, .unusable: return .refused
            case .renewed(let expires): return .number(Int64(expires.milliseconds))
            }
        case .unbind(let route):
            return .number(record.unbind(route, at: now) ? 1 : 0)
        }
    }
}
