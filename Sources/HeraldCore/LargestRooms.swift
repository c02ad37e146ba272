/// A room and how many connections are in it.
public struct RoomSize: Hashable, Sendable {
    public var room: RoomID
    public var members: Int
    /// Nodes that hold members of it.
    public var nodes: Int

    public init(room: RoomID, members: Int, nodes: Int) {
        self.room = room
        self.members = members
        self.nodes = nodes
    }
}

/// The largest rooms, largest first, those of one size by name.
public struct LargestRooms: Hashable, Sendable {
    public var rooms: [RoomSize]
    /// Whether no other room can be larger than the last of these.
    public var isExact: Bool

    public init(rooms: [RoomSize] = [], isExact: Bool = true) {
        self.rooms = rooms
        self.isExact = isExact
    }
}

/// Finds the largest rooms of all nodes from the largest of each.
///
/// Fagin's threshold: a room that is on no node's list has at most as many members as the last entries of those
/// lists together, lists that are whole counting nothing. If the last room of the answer is at least as large,
/// nothing was missed. Rooms that a few nodes hold, and those that are large everywhere, are found so; only many
/// rooms of middling size on every node can make the answer inexact, and it says so.
public struct RoomRanking: Sendable {
    /// What is to be asked for its true size, the most promising first.
    public let candidates: [RoomID]
    /// No room that is not a candidate has more members.
    public let unseenMax: Int

    /// - Parameters:
    ///   - parts: each node's largest rooms, largest first.
    ///   - asked: how many were asked of each.
    ///   - max: the most candidates that can be asked for.
    public init(parts: [[(room: RoomID, members: Int)]], asked: Int, max: Int) {
        var known: [RoomID: Int] = [:]
        var unseen = 0
        for part in parts {
            for entry in part { known[entry.room, default: 0] += entry.members }
            if part.count >= asked { unseen += part.last?.members ?? 0 }
        }
        let sorted = known.sorted {
            $0.value != $1.value ? $0.value > $1.value : Self.precedes($0.key, $1.key)
        }
        candidates = sorted.prefix(max).map(\.key)
        // What was cut off is at most what is known of it, and what the whole of the rest could add.
        unseenMax = sorted.count > max ? sorted[max].value + unseen : unseen
    }

    /// How many rooms to ask each node for: more where they are few, some 4,000 in all.
    public static func asked(nodes: Int, count: Int) -> Int {
        Swift.max(count, min(4 * count, 4000 / Swift.max(1, nodes)))
    }

    /// - Parameters:
    ///   - shares: what the candidates truly hold, in their order.
    ///   - count: how many rooms are wanted.
    /// - Returns: the largest; fewer when there are not so many.
    public func largest(_ shares: [[RoomShare]], count: Int) -> LargestRooms {
        let sizes = zip(candidates, shares).compactMap { room, shares -> RoomSize? in
            let members = shares.reduce(0) { $0 + $1.members }
            return members > 0 ? RoomSize(room: room, members: members, nodes: shares.count) : nil
        }
        let sorted = sizes.sorted {
            $0.members != $1.members ? $0.members > $1.members : Self.precedes($0.room, $1.room)
        }
        let rooms = Array(sorted.prefix(count))
        let least = rooms.count == count ? rooms.last?.members ?? 0 : 0
        return LargestRooms(rooms: rooms, isExact: least >= unseenMax)
    }

    private static func precedes(_ left: RoomID, _ right: RoomID) -> Bool {
        left.description.utf8.lexicographicallyPrecedes(right.description.utf8)
    }
}
