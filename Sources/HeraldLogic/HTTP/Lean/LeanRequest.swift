/// The head of a request that the lane may answer itself.
struct LeanRequest: Equatable {
    enum Kind: Equatable { case push, batch }

    var kind: Kind
    var headBytes: Int
    var bodyBytes: Int
    /// Values of the fields that decide who may push, by their place in the head; nil where there is none.
    var access = Access()

    struct Access: Equatable {
        var host: Range<Int>?
        var authorization: Range<Int>?
        var origin: Range<Int>?
    }

    var bytes: Int { headBytes + bodyBytes }
}

/// What stands at the beginning of the bytes of a connection.
enum LeanReading: Equatable {
    /// The head is not whole.
    case partial
    /// The lane's: its body may still be on its way.
    case lean(LeanRequest)
    /// The ordinary path's, and it is sure where it ends: after so many bytes.
    case ordinary(bytes: Int)
    /// Of HTTP/1.0, whose connections end with the answer. Where it ends is not looked at.
    case old
    /// Not certain where it ends, or not to be understood here.
    case strange
}

/// Reads a request's head: strictly, so that whatever two readers might understand in two ways is `strange` and goes
/// to the one reader that has always decided.
///
/// Strict means RFC 9112 without its leniencies: CRLF ends a line, nothing stands between a field's name and its
/// colon, no line is folded, values are visible ASCII, `Content-Length` is there at most once and is digits only,
/// there is no `Transfer-Encoding` and nothing else that frames or ends a connection in another way.
struct LeanReader {
    /// All of a head together.
    let headBytesMax: Int
    let fieldsMax: Int
    /// A larger body is left to the ordinary path, which refuses it.
    let pushBytesMax: Int
    let batchBytesMax: Int

    /// - Parameter bytes: what came of a connection since the request before.
    /// - Returns: what they begin with.
    func read(_ bytes: UnsafeRawBufferPointer) -> LeanReading {
        var scanner = HeadScanner(bytes: bytes)
        switch scanner.requestLine() {
        case .partial: return bytes.count > headBytesMax ? .strange : .partial
        case .old: return .old
        case .strange: return .strange
        case .known(let kind): return fields(&scanner, kind)
        case .other: return fields(&scanner, nil)
        }
    }

    private func fields(_ scanner: inout HeadScanner, _ kind: LeanRequest.Kind?) -> LeanReading {
        var length: Int?
        var isKeyed = false
        var access = LeanRequest.Access()
        var count = 0
        while true {
            switch scanner.field() {
            case .partial: return scanner.bytes.count > headBytesMax ? .strange : .partial
            case .strange: return .strange
            case .end: return judge(scanner, kind, length, access, isKeyed: isKeyed)
            case .field(let name, let value):
                count += 1
                guard count <= fieldsMax else { return .strange }
                switch scanner.meaning(of: name) {
                case .nothing: break
                case .contentLength:
                    guard length == nil, let number = scanner.number(value) else { return .strange }
                    length = number
                case .host:
                    guard access.host == nil else { return .strange }
                    access.host = value
                case .authorization:
                    guard access.authorization == nil else { return .strange }
                    access.authorization = value
                case .origin:
                    guard access.origin == nil else { return .strange }
                    access.origin = value
                case .connection:
                    guard scanner.isWord("keep-alive", value) else { return .strange }
                case .idempotencyKey: isKeyed = true
                case .framing: return .strange
                }
            }
        }
    }

    private func judge(
        _ scanner: HeadScanner,
        _ kind: LeanRequest.Kind?,
        _ length: Int?,
        _ access: LeanRequest.Access,
        isKeyed: Bool
    ) -> LeanReading {
        let head = scanner.position
        guard head <= headBytesMax, access.host != nil else { return .strange }
        guard let kind, !isKeyed, let length else { return .ordinary(bytes: head + (length ?? 0)) }
        let max = kind == .push ? pushBytesMax : batchBytesMax
        guard length <= max else { return .ordinary(bytes: head + length) }
        return .lean(LeanRequest(kind: kind, headBytes: head, bodyBytes: length, access: access))
    }
}

/// Goes through a head once, byte by byte.
private struct HeadScanner {
    let bytes: UnsafeRawBufferPointer
    var position = 0

    enum Line {
        case partial, strange, old, other
        case known(LeanRequest.Kind)
    }

    enum Field {
        case partial, strange, end
        case field(name: Range<Int>, value: Range<Int>)
    }

    enum Meaning {
        case nothing, contentLength, host, authorization, origin, connection, idempotencyKey, framing
    }

    init(bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    // MARK: Lines

    mutating func requestLine() -> Line {
        if take("POST /v1/push HTTP/1.1\r\n") { return .known(.push) }
        if take("POST /v1/push/batch HTTP/1.1\r\n") { return .known(.batch) }
        let start = position
        while position < bytes.count, bytes[position] &- UInt8(ascii: "A") < 26 { position += 1 }
        guard position < bytes.count else { return position - start > 16 ? .strange : .partial }
        guard position > start, take(" "), !isConnect(start) else { return .strange }
        guard position < bytes.count else { return .partial }
        guard bytes[position] == UInt8(ascii: "/") else { return .strange }
        while position < bytes.count, bytes[position] > 0x20, bytes[position] < 0x7F { position += 1 }
        guard bytes.count - position >= 11 else {
            return beginsLike(" HTTP/1.1\r\n") || beginsLike(" HTTP/1.0\r\n") ? .partial : .strange
        }
        if take(" HTTP/1.1\r\n") { return .other }
        return take(" HTTP/1.0\r\n") ? .old : .strange
    }

    /// CONNECT makes a tunnel of the connection.
    private func isConnect(_ start: Int) -> Bool { isWord("connect", start..<(position - 1)) }

    mutating func field() -> Field {
        guard position < bytes.count else { return .partial }
        if bytes[position] == UInt8(ascii: "\r") {
            guard position + 1 < bytes.count else { return .partial }
            guard bytes[position + 1] == UInt8(ascii: "\n") else { return .strange }
            position += 2
            return .end
        }
        let start = position
        while position < bytes.count, Self.isTokenByte(bytes[position]) { position += 1 }
        let name = start..<position
        guard position < bytes.count else { return .partial }
        guard !name.isEmpty, bytes[position] == UInt8(ascii: ":") else { return .strange }
        position += 1
        while position < bytes.count, Self.isBlank(bytes[position]) { position += 1 }
        let valueStart = position
        while position < bytes.count, Self.isValueByte(bytes[position]) { position += 1 }
        guard position + 1 < bytes.count else {
            let isEnding = position < bytes.count && bytes[position] == UInt8(ascii: "\r")
            return position == bytes.count || isEnding ? .partial : .strange
        }
        guard bytes[position] == UInt8(ascii: "\r"), bytes[position + 1] == UInt8(ascii: "\n") else {
            return .strange
        }
        var valueEnd = position
        while valueEnd > valueStart, Self.isBlank(bytes[valueEnd - 1]) { valueEnd -= 1 }
        position += 2
        return .field(name: name, value: valueStart..<valueEnd)
    }

    // MARK: Words

    /// By length first: most names are told apart by it.
    func meaning(of name: Range<Int>) -> Meaning {
        switch name.count {
        case 2: isWord("te", name) ? .framing : .nothing
        case 4: isWord("host", name) ? .host : .nothing
        case 6: isWord("origin", name) ? .origin : isWord("expect", name) ? .framing : .nothing
        case 7: isWord("upgrade", name) || isWord("trailer", name) ? .framing : .nothing
        case 10: isWord("connection", name) ? .connection : isWord("keep-alive", name) ? .framing : .nothing
        case 13: isWord("authorization", name) ? .authorization : .nothing
        case 14: isWord("content-length", name) ? .contentLength : .nothing
        case 15: isWord("idempotency-key", name) ? .idempotencyKey : .nothing
        case 16:
            isWord("proxy-connection", name) || isWord("content-encoding", name) ? .framing : .nothing
        case 17: isWord("transfer-encoding", name) ? .framing : .nothing
        default: .nothing
        }
    }

    /// Digits, as many as fit.
    func number(_ range: Range<Int>) -> Int? {
        guard (1...15).contains(range.count) else { return nil }
        var number = 0
        for index in range {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            number = number * 10 + Int(digit)
        }
        return number
    }

    /// Whether a range says a word that is in lower case, in any case.
    func isWord(_ word: StaticString, _ range: Range<Int>) -> Bool {
        guard range.count == word.utf8CodeUnitCount else { return false }
        for (offset, index) in range.enumerated() {
            let byte = bytes[index]
            let lower = byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
            if lower != word.utf8Start[offset] { return false }
        }
        return true
    }

    private mutating func take(_ text: StaticString) -> Bool {
        let count = text.utf8CodeUnitCount
        guard bytes.count - position >= count else { return false }
        for offset in 0..<count where bytes[position + offset] != text.utf8Start[offset] { return false }
        position += count
        return true
    }

    /// Whether what is left is a beginning of a text.
    private func beginsLike(_ text: StaticString) -> Bool {
        for offset in 0..<min(text.utf8CodeUnitCount, bytes.count - position)
        where bytes[position + offset] != text.utf8Start[offset] { return false }
        return true
    }

    // MARK: Bytes

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private static func isValueByte(_ byte: UInt8) -> Bool { byte &- 0x20 < 0x5F || byte == 0x09 }

    /// RFC 9110 §5.6.2, as a bit for each of the first 128 bytes.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        let low: UInt64 = 0x03FF_6CFA_0000_0000
        let high: UInt64 = 0x57FF_FFFF_C7FF_FFFE
        return byte < 64 ? low >> byte & 1 == 1 : byte < 128 && high >> (byte - 64) & 1 == 1
    }
}
