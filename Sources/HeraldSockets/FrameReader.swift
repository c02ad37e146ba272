/// The incremental reader of a client's WebSocket frames (RFC 6455): bytes in, events out, no I/O.
///
/// States: `header` (some of its bytes may have come already) leads to `payload` when the header is whole and
/// allowed, and `payload` back to `header` when the last byte is in; any violation leads to `failed`,
/// which ends the reading. A close frame does too: nothing that follows it counts.
///
/// A message that lies whole in the caller's buffer is unmasked there and named by its range: no copy.
/// Only what is unfinished when the buffer ends is kept, unmasked, in a buffer of its own that
/// lives as long as the message is unfinished. A control frame cut in two inside a fragmented message is
/// kept behind the message's bytes, so one buffer is enough. Text is judged byte by byte as it arrives, and a
/// length when it is announced, before anything is allocated for it.
///
/// A compressed message (RSV1, where that was agreed on) is handed out as it came. It is kept compressed while it is
/// unfinished, and what is in it is judged when it has been inflated.
///
/// What bounds a flood: every message by its bytes, and the frames that carry no message bytes (control
/// frames, empty fragments) by their own bytes on the wire, forgiven from time to time by
/// `forgiveOverhead`. There is no limit on the number of fragments, so no honest fragmentation hits one.
struct FrameReader: ~Copyable {
    private var state = State.header(PartialHeader())
    private var kept = ByteSpill()
    /// The unfinished message: its kind, and how many of the bytes in `kept` are its.
    private var messageKind: MessageKind?
    private var isDeflated = false
    private var messageBytes: UInt32 = 0
    private var overheadBytes: UInt32 = 0
    private var validator = UTF8Validator()
    private var lent = Lent.nothing

    private enum State {
        case header(PartialHeader)
        case payload(FrameHeader, received: UInt32)
        case failed
    }

    /// The header's bytes so far, when it was cut.
    private struct PartialHeader {
        var bytes = InlineArray<14, UInt8>(repeating: 0)
        var count: UInt8 = 0
    }

    /// What of `kept` the last event named: it is dropped by the next call.
    private enum Lent: UInt8 {
        case nothing, message, control
    }

    /// What one peer may send.
    struct Limits {
        var messageBytesMax: Int
        var overheadBytesMax: Int

        /// What cannot be compressed gets larger by it: by an eighth with the worst of settings (zlib, deflateBound).
        var deflatedBytesMax: Int { messageBytesMax + messageBytesMax / 8 + 64 }
    }

    enum Event: Equatable {
        /// All bytes are used up.
        case needsMore
        case message(MessageKind, Body)
        /// A whole message that is compressed.
        case deflated(MessageKind, Body)
        case ping(Body)
        case pong
        /// A valid close frame; the code is nil when it had none.
        case close(code: UInt16?)
        case violation(FrameViolation)
    }

    /// Where the unmasked bytes of an event are, until the next call.
    enum Body: Equatable {
        /// In the buffer given to `next`.
        case received(Range<Int>)
        /// In `assembled`.
        case assembled(Range<Int>)
    }

    /// A ping interval has passed: control frames are welcome again.
    mutating func forgiveOverhead() { overheadBytes = 0 }

    /// What `Body.assembled` points into.
    var assembled: UnsafeRawBufferPointer { kept.bytes }

    /// Bytes held for what is unfinished.
    var keptBytes: Int { kept.count }

    /// Reads on from `cursor` to the next event.
    ///
    /// - Parameters:
    ///   - bytes: what was received; unmasked in place.
    ///   - cursor: how much of it is used up.
    ///   - limits: what the peer may send.
    ///   - allowsDeflate: whether compressed messages were agreed on.
    /// - Returns: what there is next.
    mutating func next(
        _ bytes: inout MutableRawSpan,
        at cursor: inout Int,
        limits: borrowing Limits,
        allowsDeflate: Bool
    ) -> Event {
        dropLent()
        while true {
            switch state {
            case .failed:
                cursor = bytes.byteCount
                return .needsMore
            case .header(let partial):
                switch readHeader(partial, bytes.bytes, at: &cursor, allowsDeflate) {
                case .none: return .needsMore
                case .some(.failure(let violation)): return fail(violation)
                case .some(.success(let header)):
                    if let violation = admit(header, limits) { return fail(violation) }
                    state = .payload(header, received: 0)
                }
            case .payload(let header, let received):
                if let event = readPayload(header, received, &bytes, at: &cursor) { return event }
                if case .payload = state { return .needsMore }
            }
        }
    }
}

// MARK: - Headers

extension FrameReader {
    /// - Returns: nil when the bytes end inside the header; they are then kept in the state.
    private mutating func readHeader(
        _ partial: PartialHeader,
        _ bytes: borrowing RawSpan,
        at cursor: inout Int,
        _ allowsDeflate: Bool
    ) -> Result<FrameHeader, FrameViolation>? {
        let available = bytes.byteCount - cursor
        if partial.count == 0, available >= 2 {
            let first = bytes.unsafeLoad(fromByteOffset: cursor, as: UInt8.self)
            let second = bytes.unsafeLoad(fromByteOffset: cursor + 1, as: UInt8.self)
            if let violation = FrameHeader.violation(
                first: first,
                second: second,
                allowsDeflate: allowsDeflate
            ) {
                return .failure(violation)
            }
            let needed = FrameHeader.byteCount(secondByte: second)
            if available >= needed {
                let start = cursor
                cursor += needed
                return FrameHeader.parse(bytes.extracting(start..<start + needed))
            }
        }
        return readCutHeader(partial, bytes, at: &cursor, allowsDeflate)
    }

    private mutating func readCutHeader(
        _ partial: PartialHeader,
        _ bytes: borrowing RawSpan,
        at cursor: inout Int,
        _ allowsDeflate: Bool
    ) -> Result<FrameHeader, FrameViolation>? {
        var partial = partial
        while cursor < bytes.byteCount {
            partial.bytes[Int(partial.count)] = bytes.unsafeLoad(fromByteOffset: cursor, as: UInt8.self)
            partial.count += 1
            cursor += 1
            let (first, second) = (partial.bytes[0], partial.bytes[1])
            let violation =
                switch partial.count {
                case 1: FrameHeader.violation(first: first, allowsDeflate: allowsDeflate)
                case 2:
                    FrameHeader.violation(first: first, second: second, allowsDeflate: allowsDeflate)
                default: FrameViolation?.none
                }
            if let violation { return .failure(violation) }
            guard partial.count > 1 else { continue }
            if partial.count == FrameHeader.byteCount(secondByte: second) {
                return FrameHeader.parse(partial.bytes.span.bytes)
            }
        }
        state = .header(partial)
        return nil
    }

    /// Checks a header against the message in progress and the limits, and takes note of it.
    private mutating func admit(_ header: FrameHeader, _ limits: borrowing Limits) -> FrameViolation? {
        if header.opcode.isControl {
            return header.opcode == .close ? nil : charge(header, limits)
        }
        switch (header.opcode, messageKind) {
        case (.continuation, .none): return .continuationWithoutStart
        case (.text, .some), (.binary, .some): return .startInsideMessage
        default: break
        }
        if header.opcode != .continuation { isDeflated = header.isDeflated }
        let bytesMax = isDeflated ? limits.deflatedBytesMax : limits.messageBytesMax
        guard header.payloadBytes <= bytesMax - Int(messageBytes) else { return .messageTooBig }
        if header.opcode != .continuation {
            messageKind = header.opcode == .text ? .text : .binary
            validator = UTF8Validator()
        }
        return header.payloadBytes == 0 && !header.isFinal ? charge(header, limits) : nil
    }

    private mutating func charge(_ header: FrameHeader, _ limits: borrowing Limits) -> FrameViolation? {
        overheadBytes += UInt32(Int(header.headerBytes) + header.payloadBytes)
        return Int(overheadBytes) > limits.overheadBytesMax ? .flood : nil
    }
}

// MARK: - Payloads

extension FrameReader {
    /// Uses up what there is of the payload. The state says afterwards whether the frame is whole.
    private mutating func readPayload(
        _ header: FrameHeader,
        _ received: UInt32,
        _ bytes: inout MutableRawSpan,
        at cursor: inout Int
    ) -> Event? {
        let count = min(header.payloadBytes - Int(received), bytes.byteCount - cursor)
        let range = cursor..<cursor + count
        cursor += count
        unmask(&bytes, range, mask: header.mask, phase: Int(received))
        let isWhole = Int(received) + count == header.payloadBytes
        if header.opcode.isControl {
            return controlBytes(header, bytes.bytes, range, received: received, isWhole: isWhole)
        }
        if messageKind == .text, !isDeflated, !validator.consume(bytes.bytes.extracting(range)) {
            return fail(.textNotUTF8)
        }
        if isWhole, header.isFinal, messageBytes == 0, received == 0 {
            return finishMessage(.received(range))
        }
        keep(bytes.bytes, range)
        messageBytes += UInt32(count)
        guard isWhole else {
            state = .payload(header, received: received + UInt32(count))
            return nil
        }
        guard header.isFinal else {
            state = .header(PartialHeader())
            return nil
        }
        lent = .message
        return finishMessage(.assembled(0..<Int(messageBytes)))
    }

    private mutating func finishMessage(_ body: Body) -> Event {
        guard let kind = messageKind else { return fail(.continuationWithoutStart) }
        if kind == .text, !isDeflated, !validator.isComplete { return fail(.textNotUTF8) }
        state = .header(PartialHeader())
        messageKind = nil
        messageBytes = 0
        return isDeflated ? .deflated(kind, body) : .message(kind, body)
    }

    private mutating func controlBytes(
        _ header: FrameHeader,
        _ bytes: borrowing RawSpan,
        _ range: Range<Int>,
        received: UInt32,
        isWhole: Bool
    ) -> Event? {
        if isWhole, received == 0 {
            return finishControl(header.opcode, bytes.extracting(range), .received(range))
        }
        keep(bytes, range)
        guard isWhole else {
            state = .payload(header, received: received + UInt32(range.count))
            return nil
        }
        lent = .control
        let place = Int(messageBytes)..<Int(messageBytes) + header.payloadBytes
        let payload = UnsafeRawBufferPointer(rebasing: kept.bytes[place])
        return finishControl(header.opcode, payload.bytes, .assembled(place))
    }

    private mutating func finishControl(
        _ opcode: Opcode,
        _ payload: borrowing RawSpan,
        _ body: Body
    ) -> Event {
        state = .header(PartialHeader())
        guard opcode == .close else { return opcode == .ping ? .ping(body) : .pong }
        switch ClosePayload.code(payload) {
        case .failure(let violation): return fail(violation)
        case .success(let code):
            state = .failed
            return .close(code: code)
        }
    }

    private mutating func keep(_ bytes: borrowing RawSpan, _ range: Range<Int>) {
        bytes.extracting(range).withUnsafeBytes { kept.append($0) }
    }

    private mutating func dropLent() {
        switch lent {
        case .nothing: return
        case .message: kept.removeAll()
        case .control: kept.truncate(to: Int(messageBytes))
        }
        lent = .nothing
    }

    private mutating func fail(_ violation: FrameViolation) -> Event {
        state = .failed
        lent = .nothing
        messageBytes = 0
        kept.removeAll()
        return .violation(violation)
    }

    /// XORs eight bytes at a time.
    private func unmask(_ bytes: inout MutableRawSpan, _ range: Range<Int>, mask: UInt32, phase: Int) {
        guard mask != 0 else { return }
        let turned = UInt32(littleEndian: mask)
        let shift = UInt32(phase & 3) * 8
        let word = shift == 0 ? turned : turned >> shift | turned << (32 - shift)
        let wide = (UInt64(word) << 32 | UInt64(word)).littleEndian
        var index = range.lowerBound
        while index + 8 <= range.upperBound {
            let value = bytes.unsafeLoadUnaligned(fromByteOffset: index, as: UInt64.self)
            bytes.storeBytes(of: value ^ wide, toByteOffset: index, as: UInt64.self)
            index += 8
        }
        while index < range.upperBound {
            let value = bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            let key = UInt8(truncatingIfNeeded: word >> (UInt32((index - range.lowerBound) & 3) * 8))
            bytes.storeBytes(of: value ^ key, toByteOffset: index, as: UInt8.self)
            index += 1
        }
    }
}

/// What a close frame says.
enum ClosePayload {
    static func code(_ payload: borrowing RawSpan) -> Result<UInt16?, FrameViolation> {
        guard payload.byteCount > 0 else { return .success(nil) }
        guard payload.byteCount >= 2 else { return .failure(.closePayloadTooShort) }
        let code = UInt16(bigEndian: payload.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt16.self))
        guard isAllowedOnWire(code) else { return .failure(.closeCodeInvalid) }
        var validator = UTF8Validator()
        guard validator.consume(payload.extracting(2..<payload.byteCount)), validator.isComplete else {
            return .failure(.closeReasonNotUTF8)
        }
        return .success(code)
    }

    /// RFC 6455 7.4.2 and IANA's registry: 1004 is reserved; 1005, 1006 and 1015 are never sent.
    static func isAllowedOnWire(_ code: UInt16) -> Bool {
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: true
        default: false
        }
    }
}
