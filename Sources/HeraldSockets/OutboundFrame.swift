/// One message as it goes over the wire (header and payload), encoded once and shared by every socket that
/// gets it.
///
/// Copying it costs a reference count. The bytes never change after they were made, so any thread may
/// make one and any loop send it.
//
// Safe because `FrameBytes` is: nothing in it changes but its chain, and that atomically.
public struct OutboundFrame: @unchecked Sendable {
    let bytes: FrameBytes

    /// A text message. That the bytes are UTF-8 is the caller's promise.
    ///
    /// `policy`: what `SocketTable.offer` does with it where a socket reads too slowly.
    public static func text(
        _ payload: borrowing some Collection<UInt8>,
        policy: FramePolicy = .wait
    ) -> OutboundFrame {
        encoded(.text, payload, policy)
    }

    /// A text message with another text inside it; neither is copied but into its place.
    ///
    /// - Parameters:
    ///   - text: what stands around the other. That the whole is UTF-8 is the caller's promise.
    ///   - inner: the other; may be empty.
    ///   - place: before which byte of `text` it belongs, at most its count.
    ///   - policy: as above.
    /// - Returns: the frame.
    public static func text(
        _ text: [UInt8],
        enclosing inner: [UInt8],
        at place: Int,
        policy: FramePolicy = .wait
    ) -> OutboundFrame {
        let count = text.count + inner.count
        let header = FrameHeader.outboundBytes(payloadBytes: count)
        let bytes = FrameBytes.make(count: header + count, policy: policy)
        FrameHeader.write(opcode: .text, payloadBytes: count, to: bytes.base)
        let target = UnsafeMutableRawBufferPointer(start: bytes.base + header, count: count)
        let end = place + inner.count
        UnsafeMutableRawBufferPointer(rebasing: target[..<place]).copyBytes(from: text[..<place])
        UnsafeMutableRawBufferPointer(rebasing: target[place..<end]).copyBytes(from: inner)
        UnsafeMutableRawBufferPointer(rebasing: target[end...]).copyBytes(from: text[place...])
        return OutboundFrame(bytes: bytes)
    }

    /// A text message.
    public static func text(_ payload: String) -> OutboundFrame {
        encoded(.text, payload.utf8)
    }

    /// A binary message.
    public static func binary(_ payload: borrowing some Collection<UInt8>) -> OutboundFrame {
        encoded(.binary, payload)
    }

    /// A message written straight into its place.
    ///
    /// - Parameters:
    ///   - kind: text (the bytes must be UTF-8) or binary.
    ///   - payloadBytes: its exact size.
    ///   - write: fills the span, which starts zeroed.
    /// - Returns: the frame.
    /// - Throws: what `write` throws.
    public static func message<E: Error>(
        _ kind: MessageKind,
        payloadBytes: Int,
        _ write: (inout MutableRawSpan) throws(E) -> Void
    ) throws(E) -> OutboundFrame {
        let header = FrameHeader.outboundBytes(payloadBytes: payloadBytes)
        let bytes = FrameBytes.make(count: header + payloadBytes)
        FrameHeader.write(
            opcode: kind == .text ? .text : .binary,
            payloadBytes: payloadBytes,
            to: bytes.base
        )
        let payload = UnsafeMutableRawBufferPointer(start: bytes.base + header, count: payloadBytes)
        payload.initializeMemory(as: UInt8.self, repeating: 0)
        var span = payload.mutableBytes
        try write(&span)
        return OutboundFrame(bytes: bytes)
    }

    /// Bytes on the wire.
    public var byteCount: Int { bytes.count }

    /// Whether it is for `SocketTable.offer`, and what that does with it.
    public var hasPolicy: Bool { bytes.hasPolicy }
    public var policy: FramePolicy { bytes.policy }
}

extension OutboundFrame {
    static func encoded(
        _ opcode: Opcode,
        _ payload: borrowing some Collection<UInt8>,
        _ policy: FramePolicy = .wait
    ) -> OutboundFrame {
        let count = payload.count
        let header = FrameHeader.outboundBytes(payloadBytes: count)
        let bytes = FrameBytes.make(count: header + count, policy: policy)
        FrameHeader.write(opcode: opcode, payloadBytes: count, to: bytes.base)
        let target = UnsafeMutableRawBufferPointer(start: bytes.base + header, count: count)
        target.copyBytes(from: copy payload)
        return OutboundFrame(bytes: bytes)
    }

    /// A close frame; the reason is cut at 123 bytes, between two characters.
    static func close(code: UInt16, reason: String = "") -> OutboundFrame {
        var payload: [UInt8] = [UInt8(code >> 8), UInt8(code & 0xFF)]
        for scalar in reason.unicodeScalars {
            let encoded = UTF8.encode(scalar)
            guard let encoded, payload.count + encoded.count <= FrameHeader.controlPayloadBytesMax else {
                break
            }
            payload.append(contentsOf: encoded)
        }
        return encoded(.close, payload)
    }

    /// Nothing on the wire: stands behind a frame whose writing is to be told.
    static let receipt = raw([UInt8]())
    var isReceipt: Bool { bytes.count == 0 }

    /// Bytes that go out as they are: the answer to a request.
    static func raw(_ content: some Collection<UInt8>) -> OutboundFrame {
        let bytes = FrameBytes.make(count: content.count)
        UnsafeMutableRawBufferPointer(start: bytes.base, count: bytes.count).copyBytes(from: content)
        return OutboundFrame(bytes: bytes)
    }
}
