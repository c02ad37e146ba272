public import HeraldCore
import Logging
import Synchronization

extension RedisRouteTable {
    /// Repeats itself twice after a lost reply: the script knows the repetition by its claim, whereas the
    /// caller's own would be refused, by the lease that it holds without knowing, until that lapses.
    public func register(
        _ profile: NodeProfile,
        lease duration: Duration
    ) async throws(RouteTableError) -> Lease {
        let last = state.withLock { $0.given[profile.id]?.number ?? 0 }
        let command = RedisScript.nodeRegister.call(
            keys: [keys.node(profile.id)],
            [
                .integer(duration.wholeMilliseconds), .text(String(UInt64.random(in: 1 ... .max), radix: 36)),
                .text(profile.url), .text(profile.region), .integer(Int64(profile.weight)),
                .text(profile.version),
                .text(String(last)), .integer(Int64(profile.capacity)),
            ]
        )
        let asked = Moment.now
        let reply = try await sendRepeatedly(command, times: 3)
        guard let words = reply.elements, words.count >= 3, let isHeld = words[0].number,
            let incarnation = words[1].number.map({ Incarnation(UInt64(clamping: $0)) })
        else { throw corrupt("registration of \(profile.id)", reply) }
        guard isHeld == 1 else {
            let left = words.count == 4 ? words[3].number ?? 0 : 0
            throw .nodeHeld(
                by: incarnation,
                url: words[2].text ?? "",
                millisecondsLeft: UInt64(clamping: left)
            )
        }
        guard let deadline = words[2].number else { throw corrupt("registration of \(profile.id)", reply) }
        let lease = Lease(
            node: profile.id,
            incarnation: incarnation,
            deadline: RedisTime(milliseconds: UInt64(clamping: deadline))
        )
        state.withLock { $0.given[profile.id] = incarnation }
        await took(lease, for: duration, asked: asked)
        return lease
    }

    public func renew(
        _ lease: Lease,
        profile: NodeProfile,
        load: NodeLoad,
        state: NodeState,
        for duration: Duration
    ) async throws(RouteTableError) -> Lease? {
        let asked = Moment.now
        let replies = try await send([
            RedisScript.nodeRenew.call(
                keys: [keys.node(lease.node)],
                [
                    .text(lease.incarnation.description), .integer(duration.wholeMilliseconds),
                    .text(profile.url), .text(profile.region), .integer(Int64(profile.weight)),
                    .text(profile.version), .integer(Int64(load.connections)), .integer(Int64(load.users)),
                    .integer(Int64(load.rooms)), .text(state.rawValue), .integer(Int64(profile.capacity)),
                ]
            )
        ])
        switch replies[0] {
        case .null:
            return nil
        case .integer(let deadline):
            var lease = lease
            lease.deadline = RedisTime(milliseconds: UInt64(clamping: deadline))
            await took(lease, for: duration, asked: asked)
            return lease
        case .string, .status, .array, .error:
            throw corrupt("renewal of the lease of \(lease.node)", replies[0])
        }
    }

    public func leave(_ lease: Lease) async throws(RouteTableError) {
        let replies = try await send([
            RedisScript.nodeLeave.call(keys: [keys.node(lease.node)], [.text(lease.incarnation.description)])
        ])
        guard case .integer(let left) = replies[0] else {
            throw corrupt("leave of \(lease.node)", replies[0])
        }
        state.withLock { $0.cache.learn([(lease.node, nil)]) }
        guard left > 0 else { return }
        let deadline = RedisArgument.integer(Int64(lease.deadline.milliseconds))
        var commands = [
            RedisScript.nodesDrop.call(keys: [keys.nodes], [.text(lease.node.description), deadline])
        ]
        if rules.eventsAreWritten {
            // Whom the node did not take leave of may be back within the grace, as after any departure.
            let end = RedisTime(milliseconds: UInt64(clamping: left)) + rules.grace
            commands.append(listing(lease, until: end))
        }
        // What stays in the list names a node without a lease, which every reader sees.
        _ = try? await link.send(commands)
    }

    public func nodes() async throws(RouteTableError) -> [NodeRecord] {
        let names = try await listedNodes()
        let replies = try await send(
            [RedisCommand("TIME")] + names.map { RedisCommand("HGETALL", .text(keys.node($0))) }
        )
        guard let now = RouteText.time(replies[0]) else { throw corrupt("TIME", replies[0]) }
        var records: [NodeRecord] = []
        for (name, reply) in zip(names, replies.dropFirst()) {
            guard reply.failure == nil else { throw corrupt("node \(name)", reply) }
            if let record = Self.record(name, reply), record.lease.deadline > now { records.append(record) }
        }
        state.withLock { $0.cache.learn(records.map { ($0.lease.node, $0.lease) }) }
        return records.sorted { $0.profile.id < $1.profile.id }
    }

    /// The names on the list, live or not. What was over a minute ago is taken off it.
    private func listedNodes() async throws(RouteTableError) -> [NodeID] {
        let replies = try await send([
            RedisCommand("TIME"), RedisCommand("ZRANGE", .text(keys.nodes), 0, -1, "WITHSCORES"),
        ])
        guard let now = RouteText.time(replies[0]) else { throw corrupt("TIME", replies[0]) }
        guard let words = replies[1].elements else { throw corrupt("the list of nodes", replies[1]) }
        let listed = ListedNode.read(words)
        if let prune = ListedNode.prune(listed, at: now) { _ = try? await link.send(prune.command(keys)) }
        return listed.map(\.node)
    }

    /// Lists a node after its lease was written. Another slot in Cluster, so it cannot be in the script; should
    /// it fail, the next renewal lists it.
    private func took(_ lease: Lease, for duration: Duration, asked: Moment) async {
        let milliseconds = UInt64(max(0, duration.wholeMilliseconds))
        note(RedisTime(milliseconds: lease.deadline.milliseconds &- milliseconds), asked: asked)
        state.withLock { $0.cache.learn([(lease.node, lease)]) }
        let deadline = RedisArgument.integer(Int64(lease.deadline.milliseconds))
        var commands = [RedisCommand("ZADD", .text(keys.nodes), deadline, .text(lease.node.description))]
        if rules.eventsAreWritten { commands.append(listing(lease, until: lease.deadline)) }
        do {
            for case .error(let error) in try await link.send(commands) { throw error }
        } catch {
            logger.warning(
                "node is not on the list yet",
                metadata: ["node": "\(lease.node)", "reason": "\(error)"]
            )
        }
    }

    /// Lets the reaper know of an incarnation.
    private func listing(_ lease: Lease, until end: RedisTime) -> RedisCommand {
        RedisCommand(
            "ZADD",
            .text(keys.incarnations),
            .integer(Int64(clamping: end.milliseconds)),
            .text(RedisKeys.incarnation(of: lease))
        )
    }

    private func sendRepeatedly(
        _ command: RedisCommand,
        times: Int
    ) async throws(RouteTableError) -> RedisValue {
        var left = times
        while true {
            left -= 1
            do throws(RedisError) {
                let replies = try await link.send([command])
                if let error = replies[0].failure, error.isPassing {
                    throw RedisError(.unavailable, error.description)
                }
                return replies[0]
            } catch {
                let isUnknown = error.code == .lost || error.code == .timedOut
                guard isUnknown, left > 0 else { throw .unavailable(error.description) }
            }
        }
    }

    private static func record(_ name: NodeID, _ reply: RedisValue) -> NodeRecord? {
        var fields: [String: RedisValue] = [:]
        let words = reply.elements ?? []
        for index in stride(from: 0, to: words.count - 1, by: 2) {
            if let field = words[index].text { fields[field] = words[index + 1] }
        }
        func text(_ field: String) -> String { fields[field]?.text ?? "" }
        func number(_ field: String) -> Int { fields[field]?.number.flatMap { Int(exactly: $0) } ?? 0 }
        guard let incarnation = UInt64(text("incarnation")), let deadline = UInt64(text("deadline")) else {
            return nil
        }
        return NodeRecord(
            profile: NodeProfile(
                id: name,
                url: text("url"),
                region: text("region"),
                weight: max(1, number("weight")),
                capacity: max(0, number("capacity")),
                version: text("version")
            ),
            load: NodeLoad(
                connections: number("connections"),
                users: number("users"),
                rooms: number("rooms")
            ),
            state: NodeState(rawValue: text("state")) ?? .live,
            lease: Lease(
                node: name,
                incarnation: Incarnation(incarnation),
                deadline: RedisTime(milliseconds: deadline)
            ),
            started: RedisTime(milliseconds: UInt64(clamping: number("started")))
        )
    }
}
