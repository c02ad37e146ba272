/// One connection in a room.
public struct RoomMember: Hashable, Sendable {
    public var name: UserKey
    public var node: NodeID

    public init(name: UserKey, node: NodeID) {
        self.name = name
        self.node = node
    }
}

/// A page of a room's members, in the byte order of `user/key`.
public struct RoomMembers: Hashable, Sendable {
    public var members: [RoomMember]
    /// Where the next page begins; nil when this is the last. A page may be shorter than asked for and not last.
    public var next: UserKey?
    /// Connections in the room, as its nodes count them.
    public var total: Int
    /// Connections whose names are listed: fewer when a node keeps no list, or holds more than it lists.
    public var listed: Int

    public init(members: [RoomMember] = [], next: UserKey? = nil, total: Int = 0, listed: Int = 0) {
        self.members = members
        self.next = next
        self.total = total
        self.listed = listed
    }
}

/// One node's names that follow a cursor, in byte order.
public struct RoomListPart: Hashable, Sendable {
    public var node: NodeID
    public var names: [UserKey]
    /// Whether nothing follows them.
    public var isWhole: Bool

    /// - Parameters:
    ///   - node: who holds them.
    ///   - names: at most one more than asked for, which is then not used and says that there is more.
    ///   - asked: how many names are wanted.
    public init(node: NodeID, names: [UserKey], asked: Int) {
        self.node = node
        self.names = Array(names.prefix(asked))
        isWhole = names.count <= asked
    }

    /// How many names to ask each of several nodes for, one more to see whether there are more: twice their
    /// even share of the page, so that a page costs about two pages of reading however many nodes there are.
    public static func asked(nodes: Int, limit: Int) -> Int {
        max(1, min(limit, max(16, 2 * limit / max(1, nodes))))
    }
}

extension RoomMembers {
    /// Merges what the nodes hold into one page.
    ///
    /// Behind the last name of a part that is not whole, that node may hold names which were not read: nothing
    /// later than the first such place is told, so that a walk over the pages misses nobody. A name that two
    /// nodes hold, for it moves just now, is told once.
    public init(merging parts: [RoomListPart], limit: Int, total: Int, listed: Int) {
        let horizon = parts.filter { !$0.isWhole }.compactMap(\.names.last).min(by: Self.precedes)
        var sorted: [RoomMember] = []
        for part in parts {
            for name in part.names {
                if let horizon, Self.precedes(horizon, name) { break }
                sorted.append(RoomMember(name: name, node: part.node))
            }
        }
        sorted.sort { Self.precedes($0.name, $1.name) }
        var page: [RoomMember] = []
        var isMore = horizon != nil
        for member in sorted where page.last?.name != member.name {
            guard page.count < limit else {
                isMore = true
                break
            }
            page.append(member)
        }
        self.init(members: page, next: isMore ? page.last?.name : nil, total: total, listed: listed)
    }

    /// Redis's order, which is that of the bytes of `user/key`.
    public static func precedes(_ left: UserKey, _ right: UserKey) -> Bool {
        left.description.utf8.lexicographicallyPrecedes(right.description.utf8)
    }
}
