/// A strict pull reader for JSON (RFC 8259), for input from strangers.
///
/// Why our own: a payload has to pass through as the very bytes that came, an error has to name the field, an
/// unknown or repeated field has to be refused, and depth has to be bounded before the stack is used. A reader
/// that hands out one value at a time does this in one pass without building a tree.
///
/// The reader borrows the bytes: it lives inside `read` only.
public struct JSONReader {
    var bytes: UnsafeRawBufferPointer
    var position = 0
    private var depth = 0
    private let depthMax: Int

    /// Reads exactly one value from the bytes.
    ///
    /// - Parameters:
    ///   - bytes: the whole text; anything but white space after the value is an error.
    ///   - depthMax: how many objects and arrays may be open at once.
    ///   - body: takes the value with one call of the reader.
    /// - Returns: what `body` returns.
    /// - Throws: what `body` throws, or `bad_json`.
    public static func read<Value>(
        _ bytes: UnsafeRawBufferPointer,
        depthMax: Int,
        _ body: (inout JSONReader) throws(WireError) -> Value
    ) throws(WireError) -> Value {
        guard isUTF8(bytes) else { throw WireError(.badJSON, "is not UTF-8") }
        var reader = JSONReader(bytes: bytes, depthMax: depthMax)
        let value = try body(&reader)
        reader.skipSpace()
        guard reader.position == bytes.count else { throw reader.malformed("has something after its end") }
        return value
    }

    private init(bytes: UnsafeRawBufferPointer, depthMax: Int) {
        self.bytes = bytes
        self.depthMax = depthMax
    }

    private static func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let span = unsafe Span<UInt8>(_unsafeElements: bytes.bindMemory(to: UInt8.self))
        return (try? UTF8Span(validating: span)) != nil
    }

    // MARK: values

    /// Reads an object; `member` is called with each name and must read its value.
    ///
    /// - Parameter member: throws `unknownField()` for a name it does not know.
    /// - Throws: what `member` throws, with the name in front; `duplicate_field` for a repeated name.
    public mutating func object(
        _ member: (inout JSONReader, String) throws(WireError) -> Void
    ) throws(WireError) {
        try open(UInt8(ascii: "{"), "an object")
        var names: [String] = []
        names.reserveCapacity(8)
        if !take(UInt8(ascii: "}")) {
            repeat {
                skipSpace()
                guard peek() == UInt8(ascii: "\"") else { throw malformed("lacks a name in quotes") }
                let name = try string()
                guard !names.contains(name) else {
                    throw WireError(.duplicateField, field: name, "is there twice")
                }
                names.append(name)
                guard names.count <= Self.namesMax else { throw WireError(.tooMany, "has too many fields") }
                skipSpace()
                guard take(UInt8(ascii: ":")) else { throw malformed("lacks a colon after a name") }
                do { try member(&self, name) } catch { throw error.inside(name) }
                skipSpace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "}")) else { throw malformed("lacks a comma or a closing brace") }
        }
        depth -= 1
    }

    /// Our own objects have below 20 fields; each name is compared with those before it.
    private static let namesMax = 64

    /// Reads an array; `element` must read one value.
    ///
    /// - Parameters:
    ///   - max: how many elements there may be.
    ///   - element: called for each, in order.
    /// - Throws: what `element` throws, with the index in front; `too_many`.
    public mutating func array(
        max: Int,
        _ element: (inout JSONReader) throws(WireError) -> Void
    ) throws(WireError) {
        try open(UInt8(ascii: "["), "an array")
        if !take(UInt8(ascii: "]")) {
            var index = 0
            repeat {
                guard index < max else { throw WireError(.tooMany, "has more than \(max) elements") }
                do { try element(&self) } catch { throw error.inside("[\(index)]") }
                index += 1
                skipSpace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "]")) else { throw malformed("lacks a comma or a closing bracket") }
        }
        depth -= 1
    }

    /// Reads a string.
    public mutating func string() throws(WireError) -> String {
        let content = try quoted()
        guard content.hasEscapes else { return text(content.range) }
        return try unescaped(content.range)
    }

    /// Reads a whole number within bounds; a fraction or an exponent is a wrong type.
    public mutating func integer(in bounds: ClosedRange<Int64>) throws(WireError) -> Int64 {
        skipSpace()
        let start = position
        guard let first = peek(), first == UInt8(ascii: "-") || isDigit(first) else {
            throw wrongType("a whole number")
        }
        try skipNumber()
        let written = text(start..<position)
        guard !written.utf8.contains(where: { $0 == UInt8(ascii: ".") || $0 | 0x20 == UInt8(ascii: "e") })
        else {
            throw WireError(.wrongType, "must be a whole number")
        }
        guard let number = Int64(written), bounds.contains(number) else {
            throw WireError(.outOfRange, "must be from \(bounds.lowerBound) to \(bounds.upperBound)")
        }
        return number
    }

    /// Reads `true` or `false`.
    public mutating func bool() throws(WireError) -> Bool {
        skipSpace()
        if takeWord("true") { return true }
        if takeWord("false") { return false }
        throw wrongType("true or false")
    }

    /// Reads any value and returns its bytes as they came, checked.
    public mutating func raw() throws(WireError) -> [UInt8] {
        skipSpace()
        let start = position
        try skipValue()
        return Array(UnsafeRawBufferPointer(rebasing: bytes[start..<position]))
    }

    /// Reads one value; where that fails for what the value says, and not for how it is written, passes over it.
    ///
    /// - Parameter read: must read one value.
    /// - Returns: the value, or why it cannot be used; the reader stands behind it in both cases.
    /// - Throws: `bad_json` or `too_deep` when the value's end cannot be found.
    public mutating func attempt<Value>(
        _ read: (inout JSONReader) throws(WireError) -> Value
    ) throws(WireError) -> Result<Value, WireError> {
        skipSpace()
        let (start, level) = (position, depth)
        do throws(WireError) {
            return .success(try read(&self))
        } catch {
            (position, depth) = (start, level)
            try skipValue()
            return .failure(error)
        }
    }

    /// The error for a name that `object`'s closure does not know.
    public func unknownField() -> WireError { WireError(.unknownField, "is not a field of this object") }

    // MARK: skipping

    /// Checks and passes over one value of any type. Its recursion is bounded by `depthMax`.
    private mutating func skipValue() throws(WireError) {
        skipSpace()
        switch peek() {
        case UInt8(ascii: "{"): try skipObject()
        case UInt8(ascii: "["): try skipArray()
        case UInt8(ascii: "\""): _ = try quoted()
        case UInt8(ascii: "t") where takeWord("true"), UInt8(ascii: "f") where takeWord("false"),
            UInt8(ascii: "n") where takeWord("null"):
            break
        case .some(let byte) where byte == UInt8(ascii: "-") || isDigit(byte): try skipNumber()
        case nil: throw malformed("ends in the middle")
        default: throw malformed("has a value that is none")
        }
    }

    private mutating func skipObject() throws(WireError) {
        try open(UInt8(ascii: "{"), "an object")
        if !take(UInt8(ascii: "}")) {
            repeat {
                skipSpace()
                guard peek() == UInt8(ascii: "\"") else { throw malformed("lacks a name in quotes") }
                _ = try quoted()
                skipSpace()
                guard take(UInt8(ascii: ":")) else { throw malformed("lacks a colon after a name") }
                try skipValue()
                skipSpace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "}")) else { throw malformed("lacks a comma or a closing brace") }
        }
        depth -= 1
    }

    private mutating func skipArray() throws(WireError) {
        try open(UInt8(ascii: "["), "an array")
        if !take(UInt8(ascii: "]")) {
            repeat {
                try skipValue()
                skipSpace()
            } while take(UInt8(ascii: ","))
            guard take(UInt8(ascii: "]")) else { throw malformed("lacks a comma or a closing bracket") }
        }
        depth -= 1
    }

    private mutating func skipNumber() throws(WireError) {
        _ = take(UInt8(ascii: "-"))
        if !take(UInt8(ascii: "0")) { try skipDigits() }
        if take(UInt8(ascii: ".")) { try skipDigits() }
        if take(UInt8(ascii: "e")) || take(UInt8(ascii: "E")) {
            if !take(UInt8(ascii: "+")) { _ = take(UInt8(ascii: "-")) }
            try skipDigits()
        }
        if let next = peek(), isDigit(next) { throw malformed("has a number with a leading zero") }
    }

    private mutating func skipDigits() throws(WireError) {
        let start = position
        while let byte = peek(), isDigit(byte) { position += 1 }
        guard position > start else { throw malformed("has a number without digits") }
    }

    // MARK: tokens

    mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    func peek() -> UInt8? { position < bytes.count ? bytes[position] : nil }

    private func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    mutating func take(_ byte: UInt8) -> Bool {
        guard peek() == byte else { return false }
        position += 1
        return true
    }

    private mutating func takeWord(_ word: StaticString) -> Bool {
        let count = word.utf8CodeUnitCount
        guard bytes.count - position >= count else { return false }
        for index in 0..<count where bytes[position + index] != word.utf8Start[index] { return false }
        position += count
        return true
    }

    private mutating func open(_ bracket: UInt8, _ what: String) throws(WireError) {
        skipSpace()
        guard take(bracket) else { throw wrongType(what) }
        depth += 1
        guard depth <= depthMax else { throw WireError(.tooDeep, "is nested deeper than \(depthMax)") }
        skipSpace()
    }

    func wrongType(_ expected: String) -> WireError {
        peek() == nil ? malformed("ends in the middle") : WireError(.wrongType, "must be \(expected)")
    }

    func malformed(_ reason: String) -> WireError { WireError(.badJSON, "\(reason), at byte \(position)") }
}
