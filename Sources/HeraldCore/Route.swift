/// The time of Redis's own clock, in Unix milliseconds: the one clock that all nodes share.
public struct RedisTime: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let milliseconds: UInt64

    public init(milliseconds: UInt64) { self.milliseconds = milliseconds }

    public var description: String { String(milliseconds) }
    public static func < (left: Self, right: Self) -> Bool { left.milliseconds < right.milliseconds }
    public static func + (left: Self, right: Duration) -> Self {
        Self(milliseconds: left.milliseconds &+ UInt64(max(0, right.wholeMilliseconds)))
    }
}

extension Duration {
    /// Rounded towards zero.
    public var wholeMilliseconds: Int64 {
        components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
    }
}

/// When a key was accepted, as a number that only ever grows for that key (DESIGN.md §4).
public struct Epoch: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let number: UInt64

    public init(_ number: UInt64) { self.number = number }

    public var description: String { String(number) }
    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

/// The fact that a session holds a key, and so a part of its user.
///
/// `name`, `session` and `epoch` together are the mapping's identity: only who knows all three may renew or
/// remove it.
public struct Route: Hashable, Sendable {
    public var name: UserKey
    public var session: SessionID
    public var epoch: Epoch
    /// When this one mapping ends unless it is renewed.
    public var expires: RedisTime

    public init(name: UserKey, session: SessionID, epoch: Epoch, expires: RedisTime) {
        self.name = name
        self.session = session
        self.epoch = epoch
        self.expires = expires
    }
}

/// A node's share of a room.
public struct RoomShare: Hashable, Sendable {
    public var node: NodeID
    public var incarnation: Incarnation
    /// Connections of that node in the room when it last said so; at least 1.
    public var members: Int

    public init(node: NodeID, incarnation: Incarnation, members: Int) {
        self.node = node
        self.incarnation = incarnation
        self.members = members
    }
}
