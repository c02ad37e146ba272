import HeraldCore
import Logging

/// What a look-up read, before it is judged.
struct Found {
    private let lookup: Lookup
    private var users: [[Held<Route>]] = []
    private var routes: [Held<Route>?] = []
    private var rooms: [[Held<RoomShare>]] = []
    /// The list of nodes, when everyone was asked for.
    private var listed: [ListedNode] = []

    /// Something that a node's run claims until a moment, with the words by which it is pruned.
    private struct Held<Value> {
        var value: Value
        var node: NodeID
        var incarnation: Incarnation
        var expires: RedisTime
        var field: [UInt8]
        var text: [UInt8]
    }

    /// Reads the replies to the commands of a look-up, `TIME` first.
    ///
    /// - Throws: `corrupt` for refusals that concern more than one key.
    init(
        _ lookup: Lookup,
        _ replies: [RedisValue],
        keys: RedisKeys,
        logger: Logger
    ) throws(RouteTableError) {
        self.lookup = lookup
        var index = 1
        func next(_ key: @autoclosure () -> String) throws(RouteTableError) -> RedisValue {
            defer { index += 1 }
            guard let error = replies[index].failure else { return replies[index] }
            // One key that is somebody else's must not stop the pushes to all others.
            guard error.code == "WRONGTYPE" else { throw .corrupt("\(key()): \(error)") }
            logger.warning("a key is not Herald's", metadata: ["key": "\(key())"])
            return .null
        }
        users.reserveCapacity(lookup.users.count)
        for user in lookup.users {
            users.append(Self.routes(of: user, try next(keys.user(user)).elements ?? []))
        }
        for name in lookup.keys {
            let reply = try next(keys.user(name.user))
            if case .string(let text) = reply {
                routes.append(Self.held(name, field: Array(name.key.description.utf8), text))
            } else {
                routes.append(nil)
            }
        }
        for room in lookup.rooms {
            let shares = try next(keys.room(room)).elements ?? []
            let members = try next(keys.roomMembers(room)).elements ?? []
            rooms.append(Self.shares(shares, members))
        }
        if lookup.everyone {
            listed = ListedNode.read(try next(keys.nodes).elements ?? [])
        }
    }

    private static func held(_ name: UserKey, field: [UInt8], _ text: [UInt8]) -> Held<Route>? {
        guard let route = RouteText.route(name, text) else { return nil }
        return Held(
            value: route,
            node: route.session.node,
            incarnation: route.session.incarnation,
            expires: route.expires,
            field: field,
            text: text
        )
    }

    private static func routes(of user: UserID, _ words: [RedisValue]) -> [Held<Route>] {
        var routes: [Held<Route>] = []
        for index in stride(from: 0, to: words.count - 1, by: 2) {
            guard case .string(let field) = words[index], case .string(let text) = words[index + 1],
                let key = try? ConnectionKey(String(decoding: field, as: UTF8.self)),
                let route = held(UserKey(user: user, key: key), field: field, text)
            else { continue }
            routes.append(route)
        }
        guard routes.count > 1 else { return routes }
        return routes.sorted { $0.value.name.key.description < $1.value.name.key.description }
    }

    private static func shares(_ ends: [RedisValue], _ members: [RedisValue]) -> [Held<RoomShare>] {
        var count: [[UInt8]: Int] = [:]
        for index in stride(from: 0, to: members.count - 1, by: 2) {
            if case .string(let name) = members[index], let number = members[index + 1].number {
                count[name] = Int(number)
            }
        }
        var shares: [Held<RoomShare>] = []
        for index in stride(from: 0, to: ends.count - 1, by: 2) {
            guard case .string(let name) = ends[index], case .string(let score) = ends[index + 1],
                let (node, incarnation) = RouteText.incarnation(name[...]),
                let expires = RouteText.number(score)
            else { continue }
            // A share was read without its count only when it was written between the two commands.
            let share = RoomShare(node: node, incarnation: incarnation, members: max(1, count[name] ?? 1))
            shares.append(
                Held(
                    value: share,
                    node: node,
                    incarnation: incarnation,
                    expires: RedisTime(milliseconds: expires),
                    field: name,
                    text: score
                )
            )
        }
        return shares.sorted { $0.node < $1.node }
    }

    /// The nodes whose leases must be read before this can be judged.
    func unknown(_ cache: NodeLeaseCache, at now: RedisTime) -> [NodeID] {
        var unknown: Set<NodeID> = []
        func check(_ node: NodeID, _ incarnation: Incarnation, _ expires: RedisTime) {
            if expires > now, cache.live.judge(node, incarnation, at: now) == .unknown {
                unknown.insert(node)
            }
        }
        for routes in users { for route in routes { check(route.node, route.incarnation, route.expires) } }
        for case let route? in routes { check(route.node, route.incarnation, route.expires) }
        for shares in rooms { for share in shares { check(share.node, share.incarnation, share.expires) } }
        for entry in listed where entry.deadline > now && cache.liveLease(entry.node, at: now) == nil {
            unknown.insert(entry.node)
        }
        return Array(unknown)
    }

    mutating func keepListed(_ isLive: (NodeID) -> Bool) {
        listed.removeAll { !isLive($0.node) }
    }

    /// What is valid, and what is to be pruned. A node that is still unknown has no lease.
    func judge(by live: LiveNodes, at now: RedisTime) -> (LookupAnswer, [Prune]) {
        var prunes: [Prune] = []
        func split<Value>(_ held: [Held<Value>]) -> (valid: [Value], over: [RedisArgument]) {
            var valid: [Value] = []
            var over: [RedisArgument] = []
            for entry in held {
                if entry.expires > now, case .live = live.judge(entry.node, entry.incarnation, at: now) {
                    valid.append(entry.value)
                } else {
                    over += [.bytes(entry.field), .bytes(entry.text)]
                }
            }
            return (valid, over)
        }
        var answer = LookupAnswer()
        for (user, held) in zip(lookup.users, users) {
            let (valid, over) = split(held)
            answer.users.append(valid)
            if !over.isEmpty { prunes.append(.routes(user, over)) }
        }
        for (name, held) in zip(lookup.keys, routes) {
            let (valid, over) = split(held.map { [$0] } ?? [])
            answer.keys.append(valid.first)
            if !over.isEmpty { prunes.append(.routes(name.user, over)) }
        }
        for (room, held) in zip(lookup.rooms, rooms) {
            let (valid, over) = split(held)
            answer.rooms.append(valid)
            if !over.isEmpty { prunes.append(.shares(room, over)) }
        }
        answer.nodes = listed.filter { $0.deadline > now }.map(\.node).sorted()
        if let prune = ListedNode.prune(listed, at: now) { prunes.append(prune) }
        return (answer, prunes)
    }
}
