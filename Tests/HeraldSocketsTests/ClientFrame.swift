@testable import HeraldSockets

/// Frames as a client would send them, right and wrong ones.
enum ClientFrame {
    static let mask: [UInt8] = [0x37, 0xFA, 0x21, 0x3D]

    static func text(_ text: String, isFinal: Bool = true) -> [UInt8] {
        frame(first: (isFinal ? 0x80 : 0) | 0x1, Array(text.utf8))
    }

    static func binary(_ payload: [UInt8], isFinal: Bool = true) -> [UInt8] {
        frame(first: (isFinal ? 0x80 : 0) | 0x2, payload)
    }

    static func more(_ payload: [UInt8], isFinal: Bool) -> [UInt8] {
        frame(first: isFinal ? 0x80 : 0, payload)
    }

    static func more(_ text: String, isFinal: Bool) -> [UInt8] { more(Array(text.utf8), isFinal: isFinal) }

    static func ping(_ text: String = "") -> [UInt8] { frame(first: 0x89, Array(text.utf8)) }
    static func pong(_ text: String = "") -> [UInt8] { frame(first: 0x8A, Array(text.utf8)) }

    static func close(_ code: UInt16? = nil, _ reason: [UInt8] = []) -> [UInt8] {
        frame(first: 0x88, (code.map { [UInt8($0 >> 8), UInt8($0 & 0xFF)] } ?? []) + reason)
    }

    /// Masked, with the shortest length.
    static func frame(first: UInt8, _ payload: [UInt8]) -> [UInt8] {
        let count = payload.count
        let length: [UInt8] =
            switch count {
            case ...125: [UInt8(count)]
            case ...0xFFFF: [126] + bigEndian(UInt64(count), bytes: 2)
            default: [127] + bigEndian(UInt64(count), bytes: 8)
            }
        return [first, 0x80 | length[0]] + length.dropFirst() + mask + masked(payload)
    }

    /// A large frame of zeros, quickly made: masked, they are the mask over and over.
    static func zeros(count: Int, first: UInt8) -> [UInt8] {
        let header = [first, 0xFF] + bigEndian(UInt64(count), bytes: 8) + mask
        return [UInt8](unsafeUninitializedCapacity: header.count + count) { buffer, used in
            for (index, byte) in header.enumerated() { buffer[index] = byte }
            let word = UInt32(littleEndian: mask.enumerated().reduce(0) { $0 | UInt32($1.1) << (8 * $1.0) })
            for index in 0..<count / 4 {
                UnsafeMutableRawPointer(buffer.baseAddress.unsafelyUnwrapped)
                    .storeBytes(of: word, toByteOffset: header.count + index * 4, as: UInt32.self)
            }
            used = header.count + count / 4 * 4
        }
    }

    static func masked(_ payload: [UInt8]) -> [UInt8] {
        payload.enumerated().map { $1 ^ mask[$0 & 3] }
    }

    static func bigEndian(_ value: UInt64, bytes: Int) -> [UInt8] {
        (0..<bytes).reversed().map { UInt8(truncatingIfNeeded: value >> (8 * UInt64($0))) }
    }
}

/// What the reader said, with the bytes copied out.
enum Said: Equatable {
    case text(String)
    case binary([UInt8])
    case deflated([UInt8])
    case ping(String)
    case pong
    case close(UInt16?)
    case violation(FrameViolation)

    /// Feeds the pieces to a new reader and writes down everything it says.
    static func transcript(
        _ pieces: [[UInt8]],
        messageBytesMax: Int = 1 << 20,
        overheadBytesMax: Int = 1 << 16,
        allowsDeflate: Bool = false
    ) -> (said: [Said], keptBytes: Int) {
        var reader = FrameReader()
        let limits = FrameReader.Limits(messageBytesMax: messageBytesMax, overheadBytesMax: overheadBytesMax)
        var said: [Said] = []
        for piece in pieces {
            var bytes = piece
            var cursor = 0
            while true {
                var span = bytes.mutableSpan
                var raw = span.mutableBytes
                let event = reader.next(
                    &raw,
                    at: &cursor,
                    limits: limits,
                    allowsDeflate: allowsDeflate
                )
                guard event != .needsMore else { break }
                let kept = Array(reader.assembled)
                said.append(
                    Said(event) { body in
                        switch body {
                        case .received(let range): Array(bytes[range])
                        case .assembled(let range): Array(kept[range])
                        }
                    }
                )
            }
        }
        return (said, reader.keptBytes)
    }

    private init(_ event: FrameReader.Event, _ bytes: (FrameReader.Body) -> [UInt8]) {
        switch event {
        case .message(.text, let body): self = .text(String(decoding: bytes(body), as: UTF8.self))
        case .message(.binary, let body): self = .binary(bytes(body))
        case .deflated(_, let body): self = .deflated(bytes(body))
        case .ping(let body): self = .ping(String(decoding: bytes(body), as: UTF8.self))
        case .close(let code): self = .close(code)
        case .violation(let violation): self = .violation(violation)
        case .pong, .needsMore: self = .pong
        }
    }
}
