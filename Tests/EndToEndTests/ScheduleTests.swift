import Testing

/// The generator of schedules: what it makes of a number, and that it makes enough of everything.
struct ScheduleTests {
    private static let many = (1...200).map { Schedule(seed: UInt64($0)) }

    @Test func `one number is one schedule`() {
        #expect(Schedule(seed: 7) == Schedule(seed: 7))
        #expect(Schedule(seed: 7) != Schedule(seed: 8))
    }

    @Test func `steps are in order, within the time, and of devices and nodes that there are`() {
        for schedule in Self.many {
            let times = schedule.steps.map(\.milliseconds)
            #expect(times == times.sorted())
            #expect(times.allSatisfy { (0...Schedule.milliseconds).contains($0) })
            for step in schedule.steps {
                if let device = step.act.device { #expect(schedule.devices.indices.contains(device)) }
                if let node = step.act.node { #expect((0..<schedule.nodes).contains(node)) }
            }
            #expect(Set(schedule.devices).count == schedule.devices.count)
        }
    }

    @Test func `a fault that lasts has its end in the schedule`() {
        for schedule in Self.many {
            for (index, step) in schedule.steps.enumerated() {
                guard let end = step.act.end else { continue }
                #expect(
                    schedule.steps[index...].contains {
                        $0.act == end && $0.milliseconds >= step.milliseconds
                    },
                    "\(schedule.seed): \(step.act) does not end"
                )
            }
        }
    }

    @Test func `a mapping is read as it stands in Redis, a departure is none`() {
        let mapping = RedisRoutes.Mapping("cloud-1#7.42 1732000000001 1732000120001")
        #expect(mapping?.node == "cloud-1")
        #expect(mapping?.incarnation == 7)
        #expect(mapping?.expires == 1_732_000_120_001)
        #expect(RedisRoutes.Mapping("~cloud-1#7.42 1732000000001 1732000005001 closed") == nil)
        #expect(RedisRoutes.Mapping("nonsense") == nil)
    }

    @Test func `200 schedules have every kind of step, and many of each`() {
        var counts: [String: Int] = [:]
        for step in Self.many.flatMap(\.steps) { counts[step.act.kind, default: 0] += 1 }
        for kind in Schedule.Act.kinds {
            #expect(counts[kind, default: 0] >= 10, "\(kind) hardly happens")
        }
        for parting in Schedule.Parting.allCases {
            #expect(counts["connect \(parting)", default: 0] > 100, "\(parting) hardly happens")
        }
        #expect(Set(counts.keys).isSubset(of: Schedule.Act.kinds))
    }
}

extension Schedule.Act {
    /// Of which device it is.
    var device: Int? {
        switch self {
        case .connect(let device, _, _), .depart(let device, _), .push(let device): device
        case .delay, .hold, .cut, .reset, .mend, .freeze, .thaw, .kill, .restart, .flush, .freezeRedis,
            .thawRedis,
            .stopRedis, .startRedis:
            nil
        }
    }

    var node: Int? {
        switch self {
        case .connect(_, let node, _), .delay(let node, _, _), .hold(let node, _), .cut(let node),
            .reset(let node),
            .mend(let node), .freeze(let node), .thaw(let node), .kill(let node), .restart(let node):
            node
        case .depart, .push, .flush, .freezeRedis, .thawRedis, .stopRedis, .startRedis: nil
        }
    }

    /// What ends it; nil for what does not last.
    var end: Schedule.Act? {
        switch self {
        case .delay(let node, _, _), .hold(let node, _), .cut(let node): .mend(node: node)
        case .freeze(let node): .thaw(node: node)
        case .kill(let node): .restart(node: node)
        case .freezeRedis: .thawRedis
        case .stopRedis: .startRedis
        case .connect, .depart, .push, .reset, .mend, .thaw, .restart, .flush, .thawRedis, .startRedis: nil
        }
    }

    var kind: String {
        switch self {
        case .connect(_, _, let parting): "connect \(parting)"
        case .depart(_, let parting): "depart \(parting)"
        case .push: "push"
        case .delay(_, let link, _): "delay \(link)"
        case .hold(_, let link): "hold \(link)"
        case .cut: "cut"
        case .reset: "reset"
        case .mend: "mend"
        case .freeze: "freeze"
        case .thaw: "thaw"
        case .kill: "kill"
        case .restart: "restart"
        case .flush: "flush"
        case .freezeRedis: "freezeRedis"
        case .thawRedis: "thawRedis"
        case .stopRedis(let data): "stopRedis \(data)"
        case .startRedis: "startRedis"
        }
    }

    static let kinds: Set = [
        "connect closed", "connect cut", "connect mute", "connect open", "depart closed", "depart cut",
        "depart mute",
        "push", "delay toRedis", "delay toNode", "hold toRedis", "hold toNode", "cut", "reset", "mend",
        "freeze",
        "thaw", "kill", "restart", "flush", "freezeRedis", "thawRedis", "stopRedis kept", "stopRedis old",
        "stopRedis lost", "startRedis",
    ]
}
