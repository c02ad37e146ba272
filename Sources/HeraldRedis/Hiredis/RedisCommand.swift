// The writing half of the codec: a command, packed once, on the thread of whoever asks for it.
//
// DESIGN.md §8 has hiredis's `redisFormatCommandArgv` pack commands. Measured (HSET with three arguments, release
// build): 120 ns and one allocation here, 270 ns with hiredis, which wants an array of pointers that are pinned
// one by one, allocates the command with malloc and has it copied out again. The format is a length before each
// argument and the tests hold it against hiredis's own output, so packing is ours and parsing is hiredis's.

/// A command with its arguments, in the bytes that go to Redis. Binary-safe: an argument may hold anything.
public struct RedisCommand: Sendable {
    /// The command's name, for errors and logs; never its arguments.
    public let name: String
    let bytes: [UInt8]
    /// The script that this command calls by its SHA, so that a link can load it and try again.
    let script: RedisScript?

    /// A command of literals and `.text`, `.bytes`, `.integer`: `RedisCommand("SET", .text(key), 1)`.
    public init(_ name: String, _ arguments: RedisArgument...) {
        self.init(name, arguments: arguments)
    }

    /// The same, with arguments that were put together elsewhere.
    public init(_ name: String, arguments: [RedisArgument]) {
        self.init(name, arguments: arguments, script: nil)
    }

    init(_ name: String, arguments: [RedisArgument], script: RedisScript?) {
        self.name = name
        self.script = script
        bytes = Self.pack(name, arguments)
    }

    private static func pack(_ name: String, _ arguments: [RedisArgument]) -> [UInt8] {
        // "*", "$" and three line ends with up to 20 digits between them: 32 bytes cover each argument's frame.
        var capacity = 64 + name.utf8.count
        for argument in arguments { capacity += 32 + argument.byteCount }
        return [UInt8](unsafeUninitializedCapacity: capacity) { buffer, count in
            var packer = Packer(buffer: UnsafeMutableRawBufferPointer(buffer))
            packer.header("*", arguments.count + 1)
            packer.bulk(name)
            for argument in arguments {
                switch argument {
                case .text(let text): packer.bulk(text)
                case .bytes(let bytes): packer.bulk(bytes)
                case .integer(let number): packer.bulk(number)
                }
            }
            count = packer.count
        }
    }
}

/// One argument of a command.
public enum RedisArgument: Hashable, Sendable, ExpressibleByStringLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByStringInterpolation
{
    case text(String)
    case bytes([UInt8])
    case integer(Int64)

    public init(stringLiteral text: String) { self = .text(text) }
    public init(integerLiteral number: Int64) { self = .integer(number) }

    var byteCount: Int {
        switch self {
        case .text(let text): text.utf8.count
        case .bytes(let bytes): bytes.count
        case .integer: 20
        }
    }
}

/// Writes RESP into memory that is known to be large enough.
private struct Packer {
    let buffer: UnsafeMutableRawBufferPointer
    var count = 0

    mutating func header(_ kind: Unicode.Scalar, _ number: Int) {
        append(UInt8(ascii: kind))
        append(decimal: UInt64(number.magnitude))
        lineEnd()
    }

    mutating func bulk(_ text: String) {
        var text = text
        text.withUTF8 { bulk(UnsafeRawBufferPointer($0)) }
    }

    mutating func bulk(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { bulk($0) }
    }

    mutating func bulk(_ number: Int64) {
        let magnitude = number.magnitude
        var digits = 1
        var rest = magnitude / 10
        while rest > 0 {
            digits += 1
            rest /= 10
        }
        header("$", digits + (number < 0 ? 1 : 0))
        if number < 0 { append(UInt8(ascii: "-")) }
        append(decimal: magnitude)
        lineEnd()
    }

    private mutating func bulk(_ bytes: UnsafeRawBufferPointer) {
        header("$", bytes.count)
        UnsafeMutableRawBufferPointer(rebasing: buffer[count...]).copyMemory(from: bytes)
        count += bytes.count
        lineEnd()
    }

    private mutating func append(decimal number: UInt64) {
        if number >= 10 { append(decimal: number / 10) }
        append(UInt8(ascii: "0") + UInt8(number % 10))
    }

    private mutating func lineEnd() {
        append(UInt8(ascii: "\r"))
        append(UInt8(ascii: "\n"))
    }

    private mutating func append(_ byte: UInt8) {
        buffer[count] = byte
        count += 1
    }
}
