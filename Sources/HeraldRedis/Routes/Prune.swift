import HeraldCore

/// What is over, as it was read: taken out only if it is still the same.
///
/// Where events are written nobody prunes the routes that a look-up finds to be over: that would have to be told,
/// and whoever reads cannot know whether a node is dead or Redis itself was away, so that all leases lapsed at once.
/// The reaper can, and does it.
enum Prune {
    case routes(UserID, [RedisArgument])
    case shares(RoomID, [RedisArgument])
    /// Listed nodes whose lease was over then. By score, so that one which comes back at this moment stays.
    case listed(until: RedisTime)

    var isOfRoutes: Bool {
        switch self {
        case .routes: true
        case .shares, .listed: false
        }
    }

    func command(_ keys: RedisKeys) -> RedisCommand {
        switch self {
        case .routes(let user, let pairs):
            RedisScript.routePrune.call(
                keys: [keys.user(user)],
                [.text(user.description), 0, .text(DisconnectReason.lapsed.rawValue)] + pairs + [0]
            )
        case .shares(let room, let pairs):
            RedisScript.roomPrune.call(keys: [keys.room(room), keys.roomMembers(room)], pairs)
        case .listed(let time):
            RedisCommand(
                "ZREMRANGEBYSCORE",
                .text(keys.nodes),
                "-inf",
                .integer(Int64(clamping: time.milliseconds))
            )
        }
    }
}

/// A line of the list of nodes: its deadline may lag behind the node's own by one renewal.
struct ListedNode {
    let node: NodeID
    let deadline: RedisTime

    /// Reads what ZRANGE WITHSCORES answers.
    static func read(_ words: [RedisValue]) -> [ListedNode] {
        stride(from: 0, to: words.count - 1, by: 2).compactMap { index in
            guard case .string(let name) = words[index], case .string(let score) = words[index + 1],
                let node = try? NodeID(String(decoding: name, as: UTF8.self)),
                let deadline = RouteText.number(score)
            else { return nil }
            return ListedNode(node: node, deadline: RedisTime(milliseconds: deadline))
        }
    }

    /// A lease that was over a minute ago is over.
    static func prune(_ listed: [ListedNode], at now: RedisTime) -> Prune? {
        let limit = RedisTime(milliseconds: now.milliseconds - min(now.milliseconds, 60_000))
        return listed.contains { $0.deadline < limit } ? .listed(until: limit) : nil
    }
}
