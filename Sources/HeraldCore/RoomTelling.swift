/// What one run of a node tells of a room: how many members it holds, and what has changed in the list of them.
///
/// A number alone, as in `[news: 5]`, tells of no list.
public struct RoomTelling: Hashable, Sendable, ExpressibleByIntegerLiteral {
    /// Connections of the node in the room; zero takes its share out, and its list.
    public var members: Int
    /// Whether the list is begun anew, whatever it held.
    public var isAnew: Bool
    public var joined: [UserKey]
    public var left: [UserKey]
    /// How many names the list has after this; nil while there is more to tell, and where no list is kept.
    public var listed: Int?

    public init(
        members: Int,
        isAnew: Bool = false,
        joined: [UserKey] = [],
        left: [UserKey] = [],
        listed: Int? = nil
    ) {
        self.members = members
        self.isAnew = isAnew
        self.joined = joined
        self.left = left
        self.listed = listed
    }

    public init(integerLiteral members: Int) { self.init(members: members) }
}
