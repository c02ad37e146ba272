import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting

/// Lets a schedule happen to a running Herald, lifts all faults, and looks until the laws hold.
///
/// One task does everything but the pushes: while it waits for the next step's moment it looks after the devices,
/// which come back by themselves as a client library would, and starts nodes again that gave up.
final class ScheduleRun {
    struct Report {
        var wrongs: [String]
        /// From the end of the faults until all laws held.
        var settled: Duration
        /// What held last of what did not hold at first; empty when all did.
        var lastToHold: [String]
        /// Nodes that ended because their name was still held, and were started again.
        var namesHeld: Int
        /// What pushes were answered while the faults were there, and how connections ended.
        var verdicts: [String: Int]
        var closeCodes: [String: Int]
    }

    private struct Device {
        let user: String
        let key: String
        var wanted: Int?
        var current: Puppet?
        var opened: ContinuousClock.Instant = .now
        var retry: ContinuousClock.Instant = .now
    }

    private let herald: ProxiedHerald
    private let schedule: Schedule
    private var devices: [Device]
    private var sockets: [(puppet: Puppet, node: Int)] = []
    private var began = ContinuousClock.now
    private var killed: Set<Int> = []
    private var redis = RedisState.up
    private var never: [String] = []
    private var namesHeld = 0
    private var lastToHold: [String] = []
    private var verdicts: [String: Int] = [:]

    private enum RedisState { case up, frozen, down }

    /// Mappings live for 4 s and silent clients for 3 s: with those, the rest is done in a renewal of 1 s.
    private static let settleLimit = Duration.promised(.seconds(8))
    /// A node ends with this when its name is held by a run that lives.
    private static let nameHeldCode: Int32 = 2

    init(_ schedule: Schedule, on herald: ProxiedHerald) {
        self.schedule = schedule
        self.herald = herald
        devices = schedule.devices.map { name in
            let parts = name.split(separator: "/").map(String.init)
            return Device(user: parts[0], key: parts[1])
        }
    }

    func run() async throws -> Report {
        try RedisWire(port: herald.redis.port).ask("SAVE")
        began = .now
        try await withThrowingTaskGroup(of: String.self) { pushes in
            for step in schedule.steps {
                let moment = began + .milliseconds(step.milliseconds)
                try await eventually("the step's moment", within: .seconds(60), every: .milliseconds(5)) {
                    try await lookAfterAll()
                    return .now >= moment
                }
                if case .push(let device) = step.act {
                    let name = schedule.devices[device]
                    let client = herald.pushes
                    pushes.addTask { await SchedulePush.send(.key(name), through: client).verdict }
                } else {
                    try await perform(step.act)
                }
            }
            try await liftFaults()
            for try await verdict in pushes {
                verdicts[verdict.prefix { $0 != ":" }.description, default: 0] += 1
            }
        }
        let lifted = ContinuousClock.now
        let wrongs = try await settle()
        let settled = ContinuousClock.now - lifted
        return Report(
            wrongs: wrongs + (try await clear()),
            settled: settled,
            lastToHold: lastToHold,
            namesHeld: namesHeld,
            verdicts: verdicts,
            closeCodes: Dictionary(
                sockets.compactMap { $0.puppet.closeCode }.map { ("\($0)", 1) },
                uniquingKeysWith: +
            )
        )
    }

    // MARK: What happens

    private func perform(_ act: Schedule.Act) async throws {
        switch act {
        case .connect(let device, let node, let parting):
            part(device, parting)
            devices[device].wanted = node
            devices[device].retry = .now
        case .depart(let device, let parting):
            part(device, parting)
            devices[device].wanted = nil
        case .push: break
        case .delay(let node, let link, let milliseconds):
            herald.nodes[node].proxy.delay(link.direction, by: .milliseconds(milliseconds))
        case .hold(let node, let link): herald.nodes[node].proxy.hold(link.direction)
        case .cut(let node): herald.nodes[node].proxy.cut()
        case .reset(let node): herald.nodes[node].proxy.reset()
        case .mend(let node): herald.nodes[node].proxy.mend()
        case .freeze(let node): herald.nodes[node].program.freeze()
        case .thaw(let node): herald.nodes[node].program.thaw()
        case .kill(let node):
            killed.insert(node)
            herald.nodes[node].program.kill()
        case .restart(let node):
            if killed.remove(node) != nil { try await herald.nodes[node].program.start() }
        case .flush: if redis == .up { try RedisWire(port: herald.redis.port).ask("FLUSHALL") }
        case .freezeRedis:
            guard redis == .up else { return }
            herald.redis.pause()
            redis = .frozen
        case .thawRedis:
            guard redis == .frozen else { return }
            herald.redis.resume()
            redis = .up
        case .stopRedis(let data): try stopRedis(data)
        case .startRedis:
            guard redis == .down else { return }
            try await herald.redis.restart()
            redis = .up
        }
    }

    private func stopRedis(_ data: Schedule.Data) throws {
        guard redis != .down else { return }
        if redis == .frozen { herald.redis.resume() }
        if data == .kept { try RedisWire(port: herald.redis.port).ask("SAVE") }
        herald.redis.kill()
        if data == .lost { try FileManager.default.removeItem(atPath: herald.redis.folder + "/dump.rdb") }
        redis = .down
    }

    private func liftFaults() async throws {
        try await perform(.thawRedis)
        try await perform(.startRedis)
        for node in herald.nodes.indices {
            herald.nodes[node].proxy.mend()
            if herald.nodes[node].program.isFrozen { herald.nodes[node].program.thaw() }
            try await perform(.restart(node: node))
        }
    }

    private func part(_ device: Int, _ parting: Schedule.Parting) {
        guard let puppet = devices[device].current else { return }
        devices[device].current = nil
        switch parting {
        case .closed: puppet.leave()
        case .cut: puppet.cut()
        case .mute: puppet.mute()
        case .open: break
        }
    }

    // MARK: What goes on by itself

    private func lookAfterAll() async throws {
        for device in devices.indices { lookAfter(device) }
        for (index, node) in herald.nodes.enumerated() where !killed.contains(index) {
            guard let code = node.program.exitCode else { continue }
            if code == Self.nameHeldCode {
                namesHeld += 1
            } else {
                never.append("\(node.program.name) ended by itself with \(code)")
            }
            try await node.program.start()
        }
        if let code = herald.logic.exitCode {
            never.append("logic ended by itself with \(code)")
            try await herald.logic.start()
        }
    }

    private func lookAfter(_ index: Int) {
        let now = ContinuousClock.now
        if let current = devices[index].current {
            if current.phase == .opening, devices[index].opened + .milliseconds(1500) < now { current.cut() }
            guard current.hasEnded else { return }
            devices[index].current = nil
            devices[index].retry = now + .milliseconds(100)
        }
        guard let node = devices[index].wanted, devices[index].retry <= now else { return }
        devices[index].retry = now + .milliseconds(100)
        devices[index].opened = now
        guard
            let puppet = try? Puppet(
                port: herald.nodes[node].port,
                user: devices[index].user,
                key: devices[index].key
            )
        else { return }
        devices[index].current = puppet
        sockets.append((puppet, node))
    }

    // MARK: What is looked at

    /// - Returns: what was wrong to the end, or should never have been.
    private func settle() async throws -> [String] {
        let limit = ContinuousClock.now + Self.settleLimit
        while true {
            let judgement = ScheduleJudgement(try await look())
            let wrongs = never + judgement.never
            if judgement.yet.isEmpty || !wrongs.isEmpty { return wrongs }
            lastToHold = judgement.yet
            if ContinuousClock.now > limit {
                return judgement.yet.map { "still after \(Self.settleLimit): \($0)" }
            }
        }
    }

    private func look() async throws -> ScheduleSighting {
        try await lookAfterAll()
        let client = herald.pushes
        var aims = schedule.devices.map(ScheduleSighting.Aim.key)
        aims += Set(devices.map(\.user)).sorted().map(ScheduleSighting.Aim.user)
        var probes = await withTaskGroup(of: ScheduleSighting.Probe.self) { group in
            for aim in aims { group.addTask { await SchedulePush.send(aim, through: client) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
        // Everything sent before it reaches a socket before it: what has not come then does not come.
        let last = await SchedulePush.send(.everyone, through: client)
        probes.append(last)
        try? await eventually("all are shown the last push", within: .seconds(1), every: .milliseconds(2)) {
            try await lookAfterAll()
            return sockets.filter { $0.puppet.isLive }.allSatisfy { $0.puppet.shown.last?.id == last.id }
        }
        return ScheduleSighting(
            devices: schedule.devices,
            wanted: Set(devices.filter { $0.wanted != nil }.map { "\($0.user)/\($0.key)" }),
            sockets: sockets.map { socket in
                ScheduleSighting.Socket(
                    name: socket.puppet.name,
                    node: herald.nodes[socket.node].program.name,
                    isLive: socket.puppet.isLive,
                    shown: socket.puppet.shown.map { .init(id: $0.id, aim: SchedulePush.aim(of: $0.event)) },
                    opened: milliseconds(socket.puppet.times.opened),
                    connected: socket.puppet.times.connected.map(milliseconds),
                    ended: socket.puppet.times.ended.map(milliseconds),
                    closeCode: socket.puppet.closeCode
                )
            },
            probes: probes,
            routes: try RedisRoutes.valid(RedisWire(port: herald.redis.port))
        )
    }

    private func milliseconds(_ moment: ContinuousClock.Instant) -> Int {
        Int((moment - began) / .milliseconds(1))
    }

    /// Everybody goes; nothing of them may stay.
    private func clear() async throws -> [String] {
        for device in devices.indices {
            part(device, .closed)
            devices[device].wanted = nil
        }
        for socket in sockets where !socket.puppet.hasEnded { socket.puppet.cut() }
        var left: [String: String] = [:]
        do {
            try await eventually("all routes are gone", within: Self.settleLimit, every: .milliseconds(50)) {
                try await lookAfterAll()
                left = try RedisRoutes.valid(RedisWire(port: herald.redis.port))
                return left.isEmpty
            }
        } catch is DidNotHappen {
            return ["everybody left, and Redis still has \(left)"]
        }
        return []
    }
}

/// Pushes that say in themselves whom they are for.
enum SchedulePush {
    static func send(
        _ aim: ScheduleSighting.Aim,
        through client: HeraldPushClient
    ) async -> ScheduleSighting.Probe {
        do {
            let answer = try await client.push(
                PushRequest(to: [try target(aim)], Message(event: event(of: aim)))
            )
            let verdict = answer.verdicts.first?.verdict.description ?? "not judged"
            return ScheduleSighting.Probe(id: answer.id.description, aim: aim, verdict: verdict)
        } catch {
            return ScheduleSighting.Probe(id: "none", aim: aim, verdict: "refused: \(error)")
        }
    }

    static func event(of aim: ScheduleSighting.Aim) -> String {
        switch aim {
        case .key(let name): "key:\(name)"
        case .user(let name): "user:\(name)"
        case .everyone: "all"
        }
    }

    static func aim(of event: String) -> ScheduleSighting.Aim {
        if event.hasPrefix("key:") { return .key(String(event.dropFirst(4))) }
        if event.hasPrefix("user:") { return .user(String(event.dropFirst(5))) }
        return .everyone
    }

    private static func target(_ aim: ScheduleSighting.Aim) throws -> Target {
        switch aim {
        case .key(let name): .key(try UserKey(name))
        case .user(let name): .user(try UserID(name))
        case .everyone: .everyone
        }
    }
}

extension Schedule.Link {
    var direction: FaultProxy.Direction {
        switch self {
        case .toRedis: .toServer
        case .toNode: .toClient
        }
    }
}

extension Puppet {
    /// Connected, and awake.
    var isLive: Bool { isConnected && !isMute }
}
