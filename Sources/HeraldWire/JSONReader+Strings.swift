/// Strings: found first, decoded only when somebody wants them.
extension JSONReader {
    struct Quoted {
        /// The content, without its quotes.
        var range: Range<Int>
        var hasEscapes: Bool
    }

    /// Checks a string and passes over it.
    mutating func quoted() throws(WireError) -> Quoted {
        skipSpace()
        guard take(UInt8(ascii: "\"")) else { throw wrongType("a string") }
        let start = position
        var hasEscapes = false
        while true {
            skipPlain()
            guard position < bytes.count else { break }
            let byte = bytes[position]
            if byte == UInt8(ascii: "\"") {
                position += 1
                return Quoted(range: start..<(position - 1), hasEscapes: hasEscapes)
            }
            guard byte >= 0x20 else { throw malformed("has a control character in a string") }
            position += 1
            if byte == UInt8(ascii: "\\") {
                hasEscapes = true
                try skipEscape()
            }
        }
        throw malformed("ends inside a string")
    }

    /// Passes over what can stand in a string as it is, eight bytes at a time: the lowest byte that the subtractions
    /// mark is what they look for, those above it may be marked by a borrow.
    private mutating func skipPlain() {
        let (ones, highs) = (0x0101_0101_0101_0101 as UInt64, 0x8080_8080_8080_8080 as UInt64)
        while bytes.count - position >= 8 {
            let word = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            let quotes = word ^ (ones &* UInt64(UInt8(ascii: "\"")))
            let escapes = word ^ (ones &* UInt64(UInt8(ascii: "\\")))
            let controls = (word &- ones &* 0x20) & ~word
            let marks =
                (controls | ((quotes &- ones) & ~quotes) | ((escapes &- ones) & ~escapes)) & highs
            if marks != 0 {
                position += marks.trailingZeroBitCount / 8
                return
            }
            position += 8
        }
        while position < bytes.count, isPlain(bytes[position]) { position += 1 }
    }

    private func isPlain(_ byte: UInt8) -> Bool {
        byte >= 0x20 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\")
    }

    private mutating func skipEscape() throws(WireError) {
        guard let kind = peek() else { throw malformed("ends inside a string") }
        position += 1
        if kind == UInt8(ascii: "u") {
            guard hexadecimal(at: position) != nil else { throw malformed("has a \\u without four digits") }
            position += 4
        } else if Self.simpleEscape(kind) == nil {
            throw malformed("has an unknown escape in a string")
        }
    }

    func text(_ range: Range<Int>) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: bytes[range]), as: UTF8.self)
    }

    /// Decodes the escapes of a checked string. A lone half of a surrogate pair is refused: no `String` holds it.
    func unescaped(_ range: Range<Int>) throws(WireError) -> String {
        var result: [UInt8] = []
        result.reserveCapacity(range.count)
        var index = range.lowerBound
        while index < range.upperBound {
            let byte = bytes[index]
            index += 1
            guard byte == UInt8(ascii: "\\") else {
                result.append(byte)
                continue
            }
            let kind = bytes[index]
            index += 1
            if let simple = Self.simpleEscape(kind) {
                result.append(simple)
            } else {
                result.append(contentsOf: try scalar(at: &index, end: range.upperBound))
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private func scalar(at index: inout Int, end: Int) throws(WireError) -> Unicode.UTF8.EncodedScalar {
        var code = hexadecimal(at: index) ?? 0
        index += 4
        if code & 0xFC00 == 0xD800, index + 6 <= end, bytes[index] == UInt8(ascii: "\\"),
            bytes[index + 1] == UInt8(ascii: "u"), let low = hexadecimal(at: index + 2),
            low & 0xFC00 == 0xDC00
        {
            index += 6
            code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
        }
        guard let scalar = Unicode.Scalar(code), let encoded = Unicode.UTF8.encode(scalar) else {
            throw malformed("has half a surrogate pair in a string")
        }
        return encoded
    }

    private func hexadecimal(at start: Int) -> UInt32? {
        guard start + 4 <= bytes.count else { return nil }
        var value: UInt32 = 0
        for index in start..<(start + 4) {
            switch bytes[index] {
            case let digit where digit &- UInt8(ascii: "0") < 10: value = value << 4 | UInt32(digit & 0x0F)
            case let letter where (letter | 0x20) &- UInt8(ascii: "a") < 6:
                value = value << 4 | UInt32((letter & 0x0F) + 9)
            default: return nil
            }
        }
        return value
    }

    private static func simpleEscape(_ kind: UInt8) -> UInt8? {
        switch kind {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): kind
        case UInt8(ascii: "b"): 0x08
        case UInt8(ascii: "f"): 0x0C
        case UInt8(ascii: "n"): 0x0A
        case UInt8(ascii: "r"): 0x0D
        case UInt8(ascii: "t"): 0x09
        default: nil
        }
    }
}
