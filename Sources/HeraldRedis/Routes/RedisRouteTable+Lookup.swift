public import HeraldCore
import Logging
import Synchronization

extension RedisRouteTable {
    public func look(up lookup: Lookup) async throws(RouteTableError) -> LookupAnswer {
        let asked = Moment.now
        let due = state.withLock { $0.cache.takeDue(now: asked) }
        let replies = try await send(commands(for: lookup, refreshing: due))
        guard let now = RouteText.time(replies[0]) else { throw corrupt("TIME", replies[0]) }
        note(now, asked: asked)
        var found = try Found(lookup, replies, keys: keys, logger: logger)
        let cut = replies.count - due.count
        try learn(due, replies[cut...])
        let (live, unknown) = state.withLock { state in
            (state.cache.live, found.unknown(state.cache, at: now))
        }
        guard !unknown.isEmpty else {
            return await answer(&found, judgedBy: live, at: now)
        }
        let later = try await readLeases(of: unknown)
        let known = state.withLock { state in
            found.keepListed { state.cache.liveLease($0, at: later) != nil }
            return state.cache.live
        }
        return await answer(&found, judgedBy: known, at: later)
    }

    private func commands(for lookup: Lookup, refreshing due: [NodeID]) -> [RedisCommand] {
        var commands: [RedisCommand] = []
        commands.reserveCapacity(
            2 + lookup.users.count + lookup.keys.count + 2 * lookup.rooms.count + due.count
        )
        commands.append(RedisCommand("TIME"))
        for user in lookup.users { commands.append(RedisCommand("HGETALL", .text(keys.user(user)))) }
        for name in lookup.keys {
            commands.append(RedisCommand("HGET", .text(keys.user(name.user)), .text(name.key.description)))
        }
        for room in lookup.rooms {
            commands.append(RedisCommand("ZRANGE", .text(keys.room(room)), 0, -1, "WITHSCORES"))
            commands.append(RedisCommand("HGETALL", .text(keys.roomMembers(room))))
        }
        if lookup.everyone { commands.append(RedisCommand("ZRANGE", .text(keys.nodes), 0, -1, "WITHSCORES")) }
        for node in due { commands.append(leaseCommand(node)) }
        return commands
    }

    /// Reads the leases of these nodes anew, and Redis's clock with them.
    func readLeases(of nodes: [NodeID]) async throws(RouteTableError) -> RedisTime {
        let replies = try await send([RedisCommand("TIME")] + nodes.map(leaseCommand))
        guard let time = RouteText.time(replies[0]) else { throw corrupt("TIME", replies[0]) }
        try learn(nodes, replies.dropFirst())
        return time
    }

    private func leaseCommand(_ node: NodeID) -> RedisCommand {
        RedisCommand("HMGET", .text(keys.node(node)), "incarnation", "deadline")
    }

    private func learn(_ nodes: [NodeID], _ replies: ArraySlice<RedisValue>) throws(RouteTableError) {
        var read: [(NodeID, Lease?)] = []
        for (node, reply) in zip(nodes, replies) {
            guard let words = reply.elements, words.count == 2 else { throw corrupt("node \(node)", reply) }
            if let incarnation = words[0].number, let deadline = words[1].number {
                let lease = Lease(
                    node: node,
                    incarnation: Incarnation(UInt64(clamping: incarnation)),
                    deadline: RedisTime(milliseconds: UInt64(clamping: deadline))
                )
                read.append((node, lease))
            } else {
                read.append((node, nil))
            }
        }
        state.withLock { $0.cache.learn(read) }
    }

    /// The answer, after what is dead was pruned. Waits for the pruning, which is rare, so that it has an owner;
    /// a failure of it is left to the next reader.
    private func answer(
        _ found: inout Found,
        judgedBy live: LiveNodes,
        at now: RedisTime
    ) async -> LookupAnswer {
        let (answer, over) = found.judge(by: live, at: now)
        let prunes = over.filter { !rules.eventsAreWritten || !$0.isOfRoutes }
        if !prunes.isEmpty {
            do {
                _ = try await link.send(prunes.map { $0.command(keys) })
            } catch {
                logger.debug("routes that are over stay", metadata: ["reason": "\(error)"])
            }
        }
        return answer
    }
}
