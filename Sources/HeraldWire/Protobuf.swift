/// The four wire types of Protocol Buffers that an envelope needs
/// (https://protobuf.dev/programming-guides/encoding).
///
/// Why by hand: the envelope is the hop, which every push pays twice. Generated code would cost each cold build
/// about a minute for its runtime, and each envelope a second copy of its payload; this is 150 lines, and a test
/// holds it against protoc.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    init(capacity: Int = 0) { bytes.reserveCapacity(capacity) }

    mutating func string(_ field: UInt8, _ text: String) {
        tag(field, .bytes)
        varint(UInt64(text.utf8.count))
        bytes.append(contentsOf: text.utf8)
    }

    mutating func bytes(_ field: UInt8, _ content: [UInt8]) {
        tag(field, .bytes)
        varint(UInt64(content.count))
        bytes.append(contentsOf: content)
    }

    mutating func unsigned(_ field: UInt8, _ number: UInt64) {
        tag(field, .varint)
        varint(number)
    }

    mutating func zigzag(_ field: UInt8, _ number: Int32) {
        unsigned(field, UInt64(UInt32(bitPattern: (number << 1) ^ (number >> 31))))
    }

    /// A message inside this one. Its length goes in front of it; the few bytes behind are moved up if that
    /// takes more than one byte.
    mutating func message(_ field: UInt8, _ content: (inout ProtobufWriter) -> Void) {
        tag(field, .bytes)
        let start = bytes.count
        bytes.append(0)
        content(&self)
        var length = bytes.count - start - 1
        var more = 0
        while length >> (7 * (more + 1)) > 0 { more += 1 }
        if more > 0 { bytes.insert(contentsOf: repeatElement(0, count: more), at: start + 1) }
        for index in start..<(start + more) {
            bytes[index] = UInt8(truncatingIfNeeded: length & 0x7F) | 0x80
            length >>= 7
        }
        bytes[start + more] = UInt8(truncatingIfNeeded: length)
    }

    private mutating func tag(_ field: UInt8, _ type: WireType) {
        bytes.append(field << 3 | type.rawValue)
    }

    private mutating func varint(_ number: UInt64) {
        var rest = number
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(truncatingIfNeeded: rest))
    }
}

enum WireType: UInt8 {
    case varint = 0
    case fixed64 = 1
    case bytes = 2
    case fixed32 = 5
}

/// Reads one message's fields in order; lives while the bytes are lent.
struct ProtobufReader {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    /// A field as it stands on the wire.
    enum Value {
        case number(UInt64)
        case bytes(UnsafeRawBufferPointer)
        /// Of a type that no field of ours has: passed over.
        case other
    }

    /// The next field, or nil at the end.
    mutating func next() throws(WireError) -> (field: UInt64, value: Value)? {
        guard position < bytes.count else { return nil }
        let tag = try varint()
        switch WireType(rawValue: UInt8(tag & 7)) {
        case .varint: return (tag >> 3, .number(try varint()))
        case .bytes:
            let length = try varint()
            guard length <= UInt64(bytes.count - position) else {
                throw Self.broken("a field ends beyond its message")
            }
            let start = position
            position += Int(length)
            return (tag >> 3, .bytes(UnsafeRawBufferPointer(rebasing: bytes[start..<position])))
        case .fixed64: return (tag >> 3, try skip(8))
        case .fixed32: return (tag >> 3, try skip(4))
        case nil: throw Self.broken("a field has an unknown wire type")
        }
    }

    private mutating func skip(_ count: Int) throws(WireError) -> Value {
        guard bytes.count - position >= count else { throw Self.broken("a field ends beyond its message") }
        position += count
        return .other
    }

    private mutating func varint() throws(WireError) -> UInt64 {
        var number: UInt64 = 0
        var shift: UInt64 = 0
        while position < bytes.count, shift < 64 {
            let byte = bytes[position]
            position += 1
            number |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return number }
            shift += 7
        }
        throw Self.broken("a number does not end")
    }

    static func broken(_ reason: String) -> WireError { WireError(.badEnvelope, "is no envelope: \(reason)") }
}

extension ProtobufReader.Value {
    var number: UInt64? {
        if case .number(let number) = self { number } else { nil }
    }

    var content: UnsafeRawBufferPointer? {
        if case .bytes(let content) = self { content } else { nil }
    }

    /// The field as text; throws if it is of another type or not UTF-8.
    func text() throws(WireError) -> String {
        guard let content, let text = String(validating: content, as: UTF8.self) else {
            throw ProtobufReader.broken("a text field is none")
        }
        return text
    }

    func message() throws(WireError) -> ProtobufReader {
        guard let content else { throw ProtobufReader.broken("a message field is none") }
        return ProtobufReader(content)
    }
}
