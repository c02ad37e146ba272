/// What a frame is (RFC 6455, 5.2). Values not listed are reserved and refused.
enum Opcode: UInt8, Sendable {
    case continuation = 0x0
    case text = 0x1
    case binary = 0x2
    case close = 0x8
    case ping = 0x9
    case pong = 0xA

    var isControl: Bool { rawValue >= 0x8 }
}

/// The first 2 to 14 bytes of a frame: read from a client, written to one.
struct FrameHeader: Equatable {
    /// Two bytes, eight of length, four of mask.
    static let bytesMax = 14
    /// RFC 6455, 5.5.
    static let controlPayloadBytesMax = 125

    // In this order the six take 16 bytes; every socket holds them while a payload is unfinished.
    var payloadBytes: Int
    /// The four mask bytes as they lie in memory.
    var mask: UInt32
    var opcode: Opcode
    var isFinal: Bool
    /// RSV1: the message is compressed. Only where that was agreed on.
    var isDeflated = false
    /// Its own size.
    var headerBytes: UInt8

    /// What the first two bytes say about the size of the header.
    static func byteCount(secondByte: UInt8) -> Int {
        let length =
            switch secondByte & 0x7F {
            case 126: 2
            case 127: 8
            default: 0
            }
        return 2 + length + 4
    }

    /// Reads a whole header: there must be at least `byteCount(secondByte:)` bytes.
    static func parse(_ bytes: borrowing RawSpan) -> Result<FrameHeader, FrameViolation> {
        let first = bytes.unsafeLoad(fromByteOffset: 0, as: UInt8.self)
        let second = bytes.unsafeLoad(fromByteOffset: 1, as: UInt8.self)
        var payloadBytes = UInt64(second & 0x7F)
        var offset = 2
        if payloadBytes == 126 {
            payloadBytes = UInt64(
                UInt16(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 2, as: UInt16.self))
            )
            guard payloadBytes > 125 else { return .failure(.lengthNotMinimal) }
            offset = 4
        } else if payloadBytes == 127 {
            payloadBytes = UInt64(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: 2, as: UInt64.self))
            guard payloadBytes >> 63 == 0 else { return .failure(.lengthTopBit) }
            guard payloadBytes > 0xFFFF else { return .failure(.lengthNotMinimal) }
            offset = 10
        }
        guard let opcode = Opcode(rawValue: first & 0x0F) else { return .failure(.unknownOpcode) }
        return .success(
            FrameHeader(
                payloadBytes: Int(payloadBytes),
                mask: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt32.self),
                opcode: opcode,
                isFinal: first & 0x80 != 0,
                isDeflated: first & 0x40 != 0,
                headerBytes: UInt8(offset + 4)
            )
        )
    }

    /// What is wrong with the first byte alone, so that garbage is refused before a length is waited for.
    static func violation(first: UInt8, allowsDeflate: Bool) -> FrameViolation? {
        // RSV1 belongs to the first frame of a compressed message (RFC 7692, 6), and to no other.
        let startsMessage = first & 0x0F == Opcode.text.rawValue || first & 0x0F == Opcode.binary.rawValue
        guard first & 0x70 == 0 || (allowsDeflate && first & 0x70 == 0x40 && startsMessage) else {
            return .reservedBits
        }
        guard let opcode = Opcode(rawValue: first & 0x0F) else { return .unknownOpcode }
        return opcode.isControl && first & 0x80 == 0 ? .controlFragmented : nil
    }

    /// What is wrong with the first two bytes.
    static func violation(first: UInt8, second: UInt8, allowsDeflate: Bool) -> FrameViolation? {
        if let violation = violation(first: first, allowsDeflate: allowsDeflate) { return violation }
        guard second & 0x80 != 0 else { return .unmasked }
        // Of the opcodes that are left, those from 8 on are control frames.
        return first & 0x08 != 0 && second & 0x7F > controlPayloadBytesMax ? .controlTooLong : nil
    }
}

extension FrameHeader {
    /// The size of the header of an unmasked frame.
    static func outboundBytes(payloadBytes: Int) -> Int {
        switch payloadBytes {
        case ...125: 2
        case ...0xFFFF: 4
        default: 10
        }
    }

    /// Writes the header of an unmasked, final frame.
    static func write(
        opcode: Opcode,
        payloadBytes: Int,
        isDeflated: Bool = false,
        to target: UnsafeMutableRawPointer
    ) {
        target.storeBytes(of: (isDeflated ? 0xC0 : 0x80) | opcode.rawValue, as: UInt8.self)
        switch payloadBytes {
        case ...125:
            target.storeBytes(of: UInt8(payloadBytes), toByteOffset: 1, as: UInt8.self)
        case ...0xFFFF:
            target.storeBytes(of: 126, toByteOffset: 1, as: UInt8.self)
            target.storeBytes(of: UInt16(payloadBytes).bigEndian, toByteOffset: 2, as: UInt16.self)
        default:
            target.storeBytes(of: 127, toByteOffset: 1, as: UInt8.self)
            target.storeBytes(of: UInt64(payloadBytes).bigEndian, toByteOffset: 2, as: UInt64.self)
        }
    }
}

/// How a peer can break the protocol, and the close code each is answered with (RFC 6455, 7.4.1).
enum FrameViolation: Error, Equatable, CaseIterable {
    case reservedBits, unknownOpcode, unmasked, lengthNotMinimal, lengthTopBit
    case controlFragmented, controlTooLong
    case continuationWithoutStart, startInsideMessage
    case closePayloadTooShort, closeCodeInvalid
    case closeReasonNotUTF8, textNotUTF8, deflateInvalid
    case messageTooBig
    case flood, inflatesTooMuch

    var code: UInt16 {
        switch self {
        case .reservedBits, .unknownOpcode, .unmasked, .lengthNotMinimal, .lengthTopBit, .controlFragmented,
            .controlTooLong, .continuationWithoutStart, .startInsideMessage, .closePayloadTooShort,
            .closeCodeInvalid:
            1002
        case .closeReasonNotUTF8, .textNotUTF8, .deflateInvalid: 1007
        case .messageTooBig: 1009
        case .flood, .inflatesTooMuch: 1008
        }
    }

    /// What the close frame says to whoever debugs the client.
    var reason: String {
        switch self {
        case .reservedBits: "reserved bit set"
        case .unknownOpcode: "unknown opcode"
        case .unmasked: "frame not masked"
        case .lengthNotMinimal: "length not in its shortest form"
        case .lengthTopBit: "length too large"
        case .controlFragmented: "control frame fragmented"
        case .controlTooLong: "control frame too long"
        case .continuationWithoutStart: "continuation without a start"
        case .startInsideMessage: "new message inside a fragmented one"
        case .closePayloadTooShort: "close payload of one byte"
        case .closeCodeInvalid: "invalid close code"
        case .closeReasonNotUTF8: "close reason is not UTF-8"
        case .textNotUTF8: "text is not UTF-8"
        case .deflateInvalid: "compressed data invalid"
        case .messageTooBig: "message too big"
        case .inflatesTooMuch: "too much to inflate at once"
        case .flood: "too many frames without content"
        }
    }
}
