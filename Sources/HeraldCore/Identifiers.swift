/// Why a string is no id: what it was meant to be and which rule it breaks (DESIGN.md §2).
///
/// The caller's fault; trying again with the same text never helps.
public struct InvalidIdentifier: Error, Equatable, CustomStringConvertible {
    /// What the text was meant to name: `user`, `key`, `room`, `node`.
    public let kind: String
    /// The broken rule, as a phrase that follows the kind: "is empty".
    public let rule: String

    public var description: String { "\(kind) id \(rule)" }
}

/// Who a message is for: the backend's own id, 1 to 128 bytes of printable UTF-8 without spaces or braces.
public struct UserID: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ text: String) throws(InvalidIdentifier) {
        try IdentifierRule.check(text, kind: "user")
        description = text
    }

    /// A user for a connection that came without one.
    ///
    /// - Parameter random: 64 bits that no other connection has.
    public init(anonymous random: UInt64) {
        description = "anon-" + String(random, radix: 36)
    }

    public static func == (left: Self, right: Self) -> Bool {
        IdentifierRule.areSame(left.description, right.description)
    }
}

/// One connection of a user, chosen by the client (a device id) or generated; as `UserID`, and without `/`.
public struct ConnectionKey: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ text: String) throws(InvalidIdentifier) {
        try IdentifierRule.check(text, kind: "key")
        guard !text.utf8.contains(UInt8(ascii: "/")) else {
            throw InvalidIdentifier(kind: "key", rule: "contains a slash")
        }
        description = text
    }

    /// A key for a connection that did not choose one.
    public init(generated random: UInt64) {
        description = "k-" + String(random, radix: 36)
    }

    public static func == (left: Self, right: Self) -> Bool {
        IdentifierRule.areSame(left.description, right.description)
    }
}

/// A key together with its user: written `alice/phone`, split at the last slash.
public struct UserKey: Hashable, Sendable, CustomStringConvertible {
    public let user: UserID
    public let key: ConnectionKey

    public init(user: UserID, key: ConnectionKey) {
        self.user = user
        self.key = key
    }

    public init(_ text: String) throws(InvalidIdentifier) {
        guard let slash = text.utf8.lastIndex(of: UInt8(ascii: "/")) else {
            throw InvalidIdentifier(kind: "key", rule: "must be written user/key")
        }
        user = try UserID(String(text[..<slash]))
        key = try ConnectionKey(String(text[text.utf8.index(after: slash)...]))
    }

    public var description: String { "\(user)/\(key)" }
}

/// A named set of connections; the same rule as `UserID`.
public struct RoomID: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ text: String) throws(InvalidIdentifier) {
        try IdentifierRule.check(text, kind: "room")
        description = text
    }

    public static func == (left: Self, right: Self) -> Bool {
        IdentifierRule.areSame(left.description, right.description)
    }
}

/// A cloud node's name, `[a-z0-9-]{1,64}`.
public struct NodeID: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let description: String

    public init(_ text: String) throws(InvalidIdentifier) {
        guard (1...64).contains(text.utf8.count) else {
            throw InvalidIdentifier(kind: "node", rule: "must have 1 to 64 characters")
        }
        guard text.utf8.allSatisfy(Self.allows) else {
            throw InvalidIdentifier(kind: "node", rule: "may only have a to z, 0 to 9 and -")
        }
        description = text
    }

    private static func allows(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            true
        default:
            false
        }
    }

    public static func < (left: Self, right: Self) -> Bool { left.description < right.description }
}

/// The number that Redis gave one run of a node. A later run of the same node has a larger one.
public struct Incarnation: Hashable, Sendable, Comparable, CustomStringConvertible {
    public let number: UInt64

    public init(_ number: UInt64) { self.number = number }

    public var description: String { String(number) }
    public static func < (left: Self, right: Self) -> Bool { left.number < right.number }
}

/// One live socket: node, incarnation, and a counter of the node's. Written `cloud-1#7.42`.
public struct SessionID: Hashable, Sendable, CustomStringConvertible {
    public let node: NodeID
    public let incarnation: Incarnation
    public let counter: UInt64

    public init(node: NodeID, incarnation: Incarnation, counter: UInt64) {
        self.node = node
        self.incarnation = incarnation
        self.counter = counter
    }

    /// Reads what `description` writes; nil for anything else.
    public init?(_ text: some StringProtocol) {
        guard let hash = text.lastIndex(of: "#"),
            let node = try? NodeID(String(text[..<hash]))
        else { return nil }
        let rest = text[text.index(after: hash)...]
        guard let dot = rest.firstIndex(of: "."),
            let incarnation = UInt64(rest[..<dot]),
            let counter = UInt64(rest[rest.index(after: dot)...])
        else { return nil }
        self.init(node: node, incarnation: Incarnation(incarnation), counter: counter)
    }

    public var description: String { "\(node)#\(incarnation).\(counter)" }
}

/// Names one push, so that a client can drop a repeat and an operator can ask what became of it.
public struct PushID: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ text: String) throws(InvalidIdentifier) {
        try IdentifierRule.check(text, kind: "push")
        description = text
    }

    init(unchecked text: String) { description = text }

    public static func == (left: Self, right: Self) -> Bool {
        IdentifierRule.areSame(left.description, right.description)
    }
}

/// The caller's name for one request, so that a repeat of it is known: 1 to 128 bytes, the same rule as `UserID`.
public struct IdempotencyKey: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ text: String) throws(InvalidIdentifier) {
        try IdentifierRule.check(text, kind: "idempotency")
        description = text
    }

    public static func == (left: Self, right: Self) -> Bool {
        IdentifierRule.areSame(left.description, right.description)
    }
}

/// What a message is the newest state of, such as `score/match-7`: 1 to 128 bytes, the same rule as `UserID`.
public struct CollapseKey: Hashable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ text: String) throws(InvalidIdentifier) {
        try IdentifierRule.check(text, kind: "collapse")
        description = text
    }

    public static func == (left: Self, right: Self) -> Bool {
        IdentifierRule.areSame(left.description, right.description)
    }
}

/// Hands out push ids: eight random characters for the process, then a counter.
///
/// Fifteen bytes or fewer up to 2^35 pushes, so that a `String` holds one without allocating.
public struct PushIDSource: Sendable {
    private let prefix: String
    private var counter: UInt64 = 0

    /// - Parameter random: 40 bits are used; two processes that run at once must draw them by chance.
    public init(random: UInt64) {
        let digits = String(random & 0xFF_FFFF_FFFF, radix: 32)
        prefix = String(repeating: "0", count: 8 - digits.count) + digits
    }

    public mutating func next() -> PushID {
        counter += 1
        return PushID(unchecked: prefix + String(counter, radix: 32))
    }
}

/// The one rule for ids that reach a Redis key or a log line.
private enum IdentifierRule {
    static let bytesMax = 128

    /// Ids are bytes, as they are in Redis: two users of a backend are two, also where Unicode calls their names
    /// equivalent, as `String` does. (What is equivalent has one hash, which is all that hashing asks for.)
    static func areSame(_ left: String, _ right: String) -> Bool {
        guard left == right else { return false }
        let areSame = left.utf8.withContiguousStorageIfAvailable { left in
            right.utf8.withContiguousStorageIfAvailable { left.elementsEqual($0) }
        }
        return areSame.flatMap { $0 } ?? left.utf8.elementsEqual(right.utf8)
    }

    static func check(_ text: String, kind: String) throws(InvalidIdentifier) {
        let count = text.utf8.count
        guard count > 0 else { throw InvalidIdentifier(kind: kind, rule: "is empty") }
        guard count <= bytesMax else { throw InvalidIdentifier(kind: kind, rule: "is longer than 128 bytes") }
        var isASCII = true
        for byte in text.utf8 {
            if byte >= 0x80 {
                isASCII = false
            } else if byte <= 0x20 || byte == 0x7F {
                throw InvalidIdentifier(kind: kind, rule: "contains a space or a control character")
            } else if byte == UInt8(ascii: "{") || byte == UInt8(ascii: "}") {
                throw InvalidIdentifier(kind: kind, rule: "contains a brace")
            }
        }
        guard isASCII || text.unicodeScalars.allSatisfy(isPrintable) else {
            throw InvalidIdentifier(
                kind: kind,
                rule: "contains a space or a character that cannot be printed"
            )
        }
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator,
            .spaceSeparator:
            false
        default:
            true
        }
    }
}
