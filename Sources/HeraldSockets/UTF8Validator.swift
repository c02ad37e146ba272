/// Judges UTF-8 as it arrives, in pieces of any size (RFC 3629; Unicode, table 3-7).
///
/// Between two pieces it knows how many continuation bytes are due and in which range the next must be: that
/// range is narrower after E0, ED, F0 and F4, which is what refuses overlong forms, surrogates and
/// everything beyond U+10FFFF. A byte that can no longer become valid is refused at once, as RFC 6455 8.1
/// wants it. ASCII goes eight bytes at a time.
struct UTF8Validator: Equatable {
    private var due: UInt8 = 0
    private var lowest: UInt8 = 0x80
    private var highest: UInt8 = 0xBF

    /// Whether the bytes so far end between two characters.
    var isComplete: Bool { due == 0 }

    /// - Returns: false when the bytes are not UTF-8, whatever may follow. The validator is then spent.
    mutating func consume(_ bytes: borrowing RawSpan) -> Bool {
        let count = bytes.byteCount
        var index = 0
        while index < count {
            if due == 0 {
                index = Self.endOfASCII(bytes, from: index)
                guard index < count else { return true }
            }
            guard accept(bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)) else { return false }
            index += 1
        }
        return true
    }

    private mutating func accept(_ byte: UInt8) -> Bool {
        if due > 0 {
            guard byte >= lowest, byte <= highest else { return false }
            due -= 1
            (lowest, highest) = (0x80, 0xBF)
            return true
        }
        switch byte {
        case 0x00...0x7F: break
        case 0xC2...0xDF: due = 1
        case 0xE0: (due, lowest) = (2, 0xA0)
        case 0xED: (due, highest) = (2, 0x9F)
        case 0xE1...0xEF: due = 2
        case 0xF0: (due, lowest) = (3, 0x90)
        case 0xF1...0xF3: due = 3
        case 0xF4: (due, highest) = (3, 0x8F)
        default: return false
        }
        return true
    }

    private static func endOfASCII(_ bytes: borrowing RawSpan, from start: Int) -> Int {
        let count = bytes.byteCount
        var index = start
        while index + 8 <= count {
            let word = UInt64(littleEndian: bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self))
            let high = word & 0x8080_8080_8080_8080
            if high != 0 { return index + high.trailingZeroBitCount / 8 }
            index += 8
        }
        while index < count, bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self) < 0x80 { index += 1 }
        return index
    }
}
