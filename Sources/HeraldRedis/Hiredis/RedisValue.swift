/// One reply of Redis, in Swift's own memory.
///
/// RESP2 has no more than this. Bulk strings stay bytes because payloads are opaque; `text` reads the others.
public enum RedisValue: Hashable, Sendable {
    /// A bulk string.
    case string([UInt8])
    /// A simple string, such as `OK`.
    case status(String)
    case integer(Int64)
    case array([RedisValue])
    /// A null bulk string or a null array.
    case null
    /// An error reply. It belongs to its command alone: the commands around it were still carried out.
    case error(RedisReplyError)

    /// The text of a string or status; nil for every other reply and for bytes that are not UTF-8.
    public var text: String? {
        switch self {
        case .string(let bytes): String(validating: bytes, as: UTF8.self)
        case .status(let text): text
        case .integer, .array, .null, .error: nil
        }
    }

    /// The number of an integer reply, or of a string that is one.
    public var number: Int64? {
        switch self {
        case .integer(let number): number
        case .string: text.flatMap { Int64($0) }
        case .status, .array, .null, .error: nil
        }
    }

    /// The elements of an array reply; nil for every other reply.
    public var elements: [RedisValue]? {
        if case .array(let elements) = self { elements } else { nil }
    }

    /// The error of an error reply; nil for every other reply.
    public var failure: RedisReplyError? {
        if case .error(let error) = self { error } else { nil }
    }
}

/// What Redis answered instead of a result: `WRONGTYPE Operation against a key …`.
public struct RedisReplyError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The whole line after the minus.
    public let description: String

    public init(_ description: String) { self.description = description }

    /// The part that programs may rely on: its first word, such as `WRONGTYPE` or `NOSCRIPT`.
    ///
    /// Redis 6 puts words of its own before an error that a script met with: `ERR Error running script (call to
    /// f_…): @user_script:12: -OOM command not allowed …`. Then it is the first word of that error, as Redis 7 has it.
    public var code: Substring { scriptCode ?? description.prefix { $0 != " " } }

    private var scriptCode: Substring? {
        guard description.hasPrefix("ERR Error running script (call to "),
            let call = description.firstRange(of: "): ")
        else { return nil }
        var inner = description[call.upperBound...]
        // One place by Lua, and one by Redis where it did not even try the command.
        let place = "@user_script:"
        while inner.hasPrefix(place) {
            inner = inner.dropFirst(place.count).drop { $0 == " " || $0.isNumber }
            guard inner.hasPrefix(": ") else { return nil }
            inner = inner.dropFirst(2)
        }
        if inner.first == "-" { inner = inner.dropFirst() }
        let word = inner.prefix { $0 != " " }
        return !word.isEmpty && word.allSatisfy { ("A"..."Z").contains($0) } ? word : nil
    }

    /// Whether Redis is only passing through a bad moment (starting, failing over, out of memory, busy with a
    /// script), so that the same command may succeed later.
    public var isPassing: Bool {
        switch code {
        case "LOADING", "BUSY", "OOM", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "NOREPLICAS",
            "MISCONF", "UNBLOCKED":
            true
        default:
            false
        }
    }
}
