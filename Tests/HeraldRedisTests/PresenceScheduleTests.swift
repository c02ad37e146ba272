import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldRedis

/// The rules of presence events as a value: what is told of one user's keys.
private struct PresenceModel {
    enum Field: Hashable {
        case mapping(Route)
        /// A departure within its grace.
        case held(Route, DisconnectReason)
    }

    var fields: [String: Field] = [:]
    /// `cloud-1#7 alice/phone`.
    var index: Set<String> = []
    var told: [Told] = []

    private static func entry(_ route: Route) -> String {
        "\(route.session.node)#\(route.session.incarnation) \(route.name)"
    }

    private mutating func tell(_ kind: PresenceEvent.Kind, _ route: Route) {
        told.append(Told(kind, route, fields.count))
    }

    /// A bind or a renewal was accepted.
    mutating func took(_ route: Route, renews: Bool) {
        let name = route.name.description
        let before = fields.updateValue(.mapping(route), forKey: name)
        switch before {
        case nil: if index.insert(Self.entry(route)).inserted { tell(.connected, route) }
        case .held: index.insert(Self.entry(route))
        case .mapping(let old):
            index.remove(Self.entry(old))
            index.insert(Self.entry(route))
            let isSame =
                renews
                ? old.session.node == route.session.node && old.session.counter == route.session.counter
                    && old.epoch == route.epoch
                : old.session == route.session
            if !isSame { tell(.replaced(previous: old.session), route) }
        }
    }

    mutating func unbound(_ route: Route, _ reason: DisconnectReason, hasGrace: Bool) {
        switch fields[route.name.description] {
        case nil: if index.contains(Self.entry(route)) { depart(route, reason, hasGrace: hasGrace) }
        case .held: break
        case .mapping(let old):
            if old.session == route.session, old.epoch == route.epoch {
                depart(old, reason, hasGrace: hasGrace)
            }
        }
    }

    mutating func depart(_ route: Route, _ reason: DisconnectReason, hasGrace: Bool) {
        index.remove(Self.entry(route))
        fields[route.name.description] = hasGrace ? .held(route, reason) : nil
        if !hasGrace { tell(.disconnected(reason), route) }
    }

    mutating func settled(_ name: String) {
        guard case .held(let route, let reason) = fields[name] else { return }
        fields[name] = nil
        tell(.disconnected(reason), route)
    }

    mutating func died(_ incarnation: String, in order: [String], hasGrace: Bool) throws {
        for name in order {
            index.remove("\(incarnation) \(name)")
            switch fields[name] {
            case .mapping(let route):
                let session = route.session
                guard "\(session.node)#\(session.incarnation)" == incarnation else { continue }
                depart(route, .nodeLost, hasGrace: hasGrace)
            case .held: continue
            case nil:
                guard let session = SessionID("\(incarnation).0") else { continue }
                let expires = RedisTime(milliseconds: 0)
                let name = try UserKey(name)
                tell(
                    .disconnected(.nodeLost),
                    Route(name: name, session: session, epoch: Epoch(0), expires: expires)
                )
            }
        }
    }
}

/// Random commands about two keys of one user, with everything that can happen to them between.
@Suite(.serialized, .timeLimit(.minutes(2)))
struct PresenceScheduleTests {
    /// Two hundred rounds of twenty commands a seed; a failure names the seed and the round.
    @Test(arguments: 1...4)
    func `what is told is what the rules say, once and in order`(seed: Int) async throws {
        try await withPresence { under async throws in
            var dice = CommandSchedule(seed: UInt64(seed) &* 77)
            for round in 0..<200 {
                try await under.link.send(RedisCommand("FLUSHALL"))
                let losesHashes = round % 2 == 1
                var run = Run(under: under, losesHashes: losesHashes)
                for _ in 0..<20 { try await run.step(&dice) }
                let told = try await under.told()
                #expect(told == run.model.told, "seed \(seed), round \(round): \(run.steps)")
                let index = try await run.index()
                #expect(index == run.model.index, "seed \(seed), round \(round): \(run.steps)")
                if !losesHashes { #expect(Self.alternates(told), "seed \(seed), round \(round): \(told)") }
            }
        }
    }

    /// Of one key: connected, any number of replaced, disconnected; and `connections` counts along.
    private static func alternates(_ told: [Told]) -> Bool {
        var present: Set<String> = []
        for event in told {
            switch event.kind {
            case .connected: guard present.insert(event.name).inserted else { return false }
            case .replaced: guard present.contains(event.name) else { return false }
            case .disconnected: guard present.remove(event.name) != nil else { return false }
            }
            guard event.connections == present.count else { return false }
        }
        return true
    }
}

private struct Run {
    let under: PresenceUnderTest
    let losesHashes: Bool
    var model = PresenceModel()
    var steps: [String] = []
    /// All routes that were ever bound: what late commands speak of.
    var known: [Route] = []

    private static let names = ["alice/phone", "alice/pad"]
    private static let incarnations = ["cloud-1#7", "cloud-1#8", "cloud-2#7"]
    private static let hash = "herald:user:{alice}"

    mutating func step(_ dice: inout CommandSchedule) async throws {
        let name = Self.names[dice.roll(2)]
        let times = dice.roll(4) == 0 ? 2 : 1
        switch dice.roll(losesHashes ? 11 : 10) {
        case 0, 1, 2: try await bind(name, &dice, times)
        case 3: try await renew(&dice, times)
        case 4, 5: try await unbind(&dice, times)
        case 6: try await settle(name)
        case 7: try await lapse(name)
        case 8: try await walk(Self.incarnations[dice.roll(3)], isDead: true, hasGrace: dice.roll(2) == 0)
        case 9: try await walk(Self.incarnations[dice.roll(3)], isDead: false, hasGrace: false)
        default:
            steps.append("lose")
            try await under.link.send(RedisCommand("DEL", .text(Self.hash)))
            model.fields = [:]
        }
    }

    private mutating func bind(_ name: String, _ dice: inout CommandSchedule, _ times: Int) async throws {
        let incarnation = Self.incarnations[dice.roll(3)]
        guard let session = SessionID("\(incarnation).\(1 + dice.roll(3))") else { return }
        let bind = Bind(name: try UserKey(name), session: session)
        for _ in 0..<times {
            let outcome = try await under.table.bind([bind], for: .seconds(60))[0]
            steps.append("bind \(name) \(session) \(outcome)")
            guard case .bound(let route, _, _) = outcome else { continue }
            model.took(route, renews: false)
            known.append(route)
        }
    }

    private mutating func renew(_ dice: inout CommandSchedule, _ times: Int) async throws {
        guard !known.isEmpty else { return }
        var route = known[dice.roll(known.count)]
        if route.session.node.description == "cloud-1", dice.roll(2) == 0 {
            route.session = SessionID(
                node: route.session.node,
                incarnation: Incarnation(8),
                counter: route.session.counter
            )
        }
        for _ in 0..<times {
            let outcome = try await under.table.renew([route], for: .seconds(60))[0]
            steps.append("renew \(route.session) \(route.epoch) \(outcome)")
            if case .renewed = outcome { model.took(route, renews: true) }
        }
        known.append(route)
    }

    private mutating func unbind(_ dice: inout CommandSchedule, _ times: Int) async throws {
        guard !known.isEmpty else { return }
        let route = known[dice.roll(known.count)]
        let reason: DisconnectReason = dice.roll(2) == 0 ? .kicked : .closed
        for _ in 0..<times {
            _ = try await under.table.unbind([Departure(route, reason: reason)])
            steps.append("unbind \(route.session) \(route.epoch) \(reason)")
            model.unbound(route, reason, hasGrace: reason == .closed)
        }
    }

    /// Time passes for one departure, and it is settled twice.
    private mutating func settle(_ name: String) async throws {
        steps.append("settle \(name)")
        guard case .held(let route, let reason) = model.fields[name] else { return }
        let key = RedisArgument.text(route.name.key.description)
        let held = RedisArgument.text(RedisKeys().held(PresencePartition.of(route.name.user)))
        _ = try await under.link.send([
            RedisCommand(
                "HSET",
                .text(Self.hash),
                key,
                .text("~\(route.session) \(route.epoch) 1000 \(reason.rawValue)")
            ),
            RedisCommand("ZADD", held, 1000, .text(name)),
        ])
        for _ in 0..<2 { _ = try await under.settle("alice") }
        model.settled(name)
    }

    /// Time passes for one mapping.
    private mutating func lapse(_ name: String) async throws {
        guard case .mapping(let route) = model.fields[name] else { return }
        steps.append("lapse \(name)")
        let key = RedisArgument.text(route.name.key.description)
        let text = RedisArgument.text("\(route.session) \(route.epoch) 1000")
        try await under.link.send(RedisCommand("HSET", .text(Self.hash), key, text))
        var over = route
        over.expires = RedisTime(milliseconds: 1000)
        model.fields[name] = .mapping(over)
    }

    private mutating func walk(_ incarnation: String, isDead: Bool, hasGrace: Bool) async throws {
        steps.append("walk \(incarnation) \(isDead) \(hasGrace)")
        let stem = RedisKeys().indexes(PresencePartition.of(try UserID("alice")))
        let scan = RedisCommand("SSCAN", .text(stem + incarnation), 0, "COUNT", 100)
        let order = try await under.link.send(scan).elements?[1].elements?.compactMap(\.text) ?? []
        let due = hasGrace ? try await redisMilliseconds(under.link) + 60_000 : 0
        let verdict: RedisArgument = isDead ? "dead" : "live"
        for _ in 0..<2 { _ = try await under.walk(incarnation, "alice", verdict, isDead ? due : 0) }
        if isDead {
            try model.died(incarnation, in: order, hasGrace: hasGrace)
        } else {
            for name in order {
                guard case .mapping(let route) = model.fields[name], route.expires.milliseconds == 1000,
                    "\(route.session.node)#\(route.session.incarnation)" == incarnation
                else { continue }
                model.depart(route, .lapsed, hasGrace: false)
            }
        }
    }

    /// As Redis has it.
    func index() async throws -> Set<String> {
        let stem = RedisKeys().indexes(PresencePartition.of(try UserID("alice")))
        var found: Set<String> = []
        for incarnation in Self.incarnations {
            let reply = try await under.link.send(RedisCommand("SMEMBERS", .text(stem + incarnation)))
            for member in reply.elements?.compactMap(\.text) ?? [] {
                found.insert("\(incarnation) \(member)")
            }
        }
        return found
    }
}
