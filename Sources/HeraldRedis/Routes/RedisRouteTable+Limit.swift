// The limit of connections per user is decided in the scripts, which know the mappings and not which nodes are alive.
// So a script that finds a user full writes nothing and says whom it counted. The leases of their nodes are read
// anew, the mappings of dead ones are ended, and the script is asked once more: a crash locks nobody out
// (LESSONS.md 19), and nobody alive has to go in a ghost's stead.

import HeraldCore
import Logging
import Synchronization

extension RedisRouteTable {
    /// Ends the dead mappings of the users who are full, and asks again for them.
    ///
    /// - Parameters:
    ///   - users: whose the replies are, in order.
    ///   - replies: the answers of scripts; those that said full are replaced by what the second try was answered.
    ///   - asksAgain: also where nobody was dead.
    ///   - command: what is asked again, by its place.
    /// - Throws: why the table could not answer.
    func makeRoom(
        for users: [UserID],
        in replies: inout [RedisValue],
        asksAgain: Bool,
        _ command: (Int) -> RedisCommand
    ) async throws(RouteTableError) {
        let full = replies.indices.compactMap { index in
            FullUser(users[index], replies[index]).map { (index: index, user: $0) }
        }
        guard !full.isEmpty else { return }
        let nodes = Set(full.flatMap { $0.user.counted.map(\.route.session.node) })
        let now = try await readLeases(of: Array(nodes))
        var commands: [RedisCommand] = []
        var places: [(reply: Int, command: Int)] = []
        for (index, user) in full {
            let ghosts = ghosts(of: user, at: now)
            commands += ghosts
            guard asksAgain || !ghosts.isEmpty else { continue }
            places.append((index, commands.count))
            commands.append(command(index))
        }
        let answers = try await send(commands)
        for (reply, command) in places { replies[reply] = answers[command] }
        let ended = answers.count - places.count
        if ended > 0 {
            state.withLock { $0.presence.ghostsPruned += UInt64(ended) }
            logger.debug("ghosts took users' room", metadata: ["mappings": "\(ended)"])
        }
    }

    /// The commands that end what is dead of a user's mappings.
    private func ghosts(of user: FullUser, at now: RedisTime) -> [RedisCommand] {
        let cache = state.withLock { $0.cache }
        return user.counted.compactMap { mapping in
            let session = mapping.route.session
            if case .live = cache.live.judge(session.node, session.incarnation, at: now) { return nil }
            let lease = cache.lease(session.node, session.incarnation)
            return RedisScript.routePrune.call(
                keys: scriptKeys(user.user),
                [
                    .text(user.user.description), departureDue(lease),
                    .text(DisconnectReason.nodeLost.rawValue), .bytes(mapping.field), .bytes(mapping.text),
                    eventsKept,
                ]
            )
        }
    }

    /// The grace of a killed node's users counts from its last sign of life, which was its last renewal.
    private func departureDue(_ lease: Lease?) -> RedisArgument {
        guard let lease else { return 0 }
        let after = rules.grace.wholeMilliseconds - leaseTTL.wholeMilliseconds
        return .integer(max(0, Int64(clamping: lease.deadline.milliseconds) + after))
    }
}
