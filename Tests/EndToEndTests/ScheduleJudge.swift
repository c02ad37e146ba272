// The laws that hold once the faults are over, as a judgement of what was seen. Pure: the run collects, this judges.

/// What was seen from outside at one moment after a schedule.
struct ScheduleSighting: Equatable {
    /// One client connection that there ever was.
    struct Socket: Equatable {
        var name: String
        /// Where it connected.
        var node: String
        /// It is connected and awake, and nothing has ended it.
        var isLive: Bool
        /// Every push that it was shown.
        var shown: [Shown]
        /// Milliseconds since the schedule's beginning.
        var opened = 0
        var connected: Int?
        var ended: Int?
        var closeCode: Int?
    }

    struct Shown: Hashable {
        var id: String
        /// For whom it was, as the sender wrote into it.
        var aim: Aim
    }

    enum Aim: Hashable {
        /// `user/key`.
        case key(String)
        case user(String)
        case everyone
    }

    /// A push that was sent to look, and what was answered.
    struct Probe: Equatable {
        var id: String
        var aim: Aim
        var verdict: String
    }

    /// All devices: `user/key`.
    var devices: [String]
    /// Those that want to be connected.
    var wanted: Set<String>
    var sockets: [Socket]
    /// One for each device, for each user and for everyone.
    var probes: [Probe]
    /// What Redis holds: `user/key` to the node's name.
    var routes: [String: String]
}

/// What is wrong with a sighting.
struct ScheduleJudgement: Equatable {
    /// What must not be seen at any time.
    var never: [String] = []
    /// What must not be seen for long.
    var yet: [String] = []

    init(_ sighting: ScheduleSighting) {
        let live = sighting.sockets.filter(\.isLive)
        for socket in sighting.sockets { judgeShown(socket) }
        for socket in sighting.sockets { judgeEnd(socket, among: sighting.sockets) }
        judgePlaces(sighting, live)
        for probe in sighting.probes { judge(probe, live) }
        judgeRoutes(sighting, live)
    }

    private mutating func judgeShown(_ socket: ScheduleSighting.Socket) {
        for (id, count) in Dictionary(socket.shown.map { ($0.id, 1) }, uniquingKeysWith: +) where count > 1 {
            never.append("\(socket.name) on \(socket.node) was shown \(id) \(count) times")
        }
        for shown in socket.shown where !shown.aim.includes(socket.name) {
            never.append("\(socket.name) on \(socket.node) was shown \(shown.id), which is for \(shown.aim)")
        }
    }

    /// The user's real connection is never closed as replaced: a newer one replaces it, or one that was perhaps
    /// accepted later. Connections within a tenth of a second count as equally new.
    private mutating func judgeEnd(
        _ socket: ScheduleSighting.Socket,
        among all: [ScheduleSighting.Socket]
    ) {
        guard socket.closeCode == 4501, let ended = socket.ended else { return }
        let rivals = all.filter { other in
            guard other.name == socket.name, other != socket else { return false }
            if other.opened > socket.opened { return other.opened <= ended }
            return (other.connected ?? .max) > socket.opened - 100
        }
        if rivals.isEmpty {
            never.append(
                "\(socket.name) on \(socket.node) was the newest, and closed as replaced at \(ended) ms"
            )
        }
    }

    private mutating func judgePlaces(_ sighting: ScheduleSighting, _ live: [ScheduleSighting.Socket]) {
        for device in sighting.devices {
            let places = live.filter { $0.name == device }.map(\.node)
            if places.count > 1 { yet.append("\(device) is live on \(places.joined(separator: " and "))") }
            if places.isEmpty, sighting.wanted.contains(device) { yet.append("\(device) is not connected") }
        }
    }

    private mutating func judge(_ probe: ScheduleSighting.Probe, _ live: [ScheduleSighting.Socket]) {
        let reached = live.filter { probe.aim.includes($0.name) }
        switch (probe.verdict, reached.isEmpty) {
        case ("routed", false), ("offline", true): break
        // Everyone is a matter of nodes: they take the push also when nobody is there.
        case ("routed", true) where probe.aim == .everyone: break
        default:
            let places = reached.map { "\($0.name) on \($0.node)" }.joined(separator: ", ")
            yet.append("\(probe.aim) is \(probe.verdict), and live is: \(places.isEmpty ? "nobody" : places)")
        }
        for socket in reached where !socket.shown.contains(where: { $0.id == probe.id }) {
            yet.append(
                "\(socket.name) on \(socket.node) was not shown \(probe.id), which is for \(probe.aim)"
            )
        }
    }

    private mutating func judgeRoutes(_ sighting: ScheduleSighting, _ live: [ScheduleSighting.Socket]) {
        for socket in live where sighting.routes[socket.name] != socket.node {
            let route = sighting.routes[socket.name] ?? "nothing"
            yet.append("\(socket.name) is live on \(socket.node), and Redis has \(route)")
        }
        let names = Set(live.map(\.name))
        for (name, node) in sighting.routes where !names.contains(name) {
            yet.append("\(name) is not live, and Redis has \(node)")
        }
    }
}

extension ScheduleSighting.Aim {
    func includes(_ name: String) -> Bool {
        switch self {
        case .key(let key): key == name
        case .user(let user): name.hasPrefix("\(user)/")
        case .everyone: true
        }
    }
}
