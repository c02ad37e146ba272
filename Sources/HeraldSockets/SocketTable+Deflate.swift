/// Where compression meets the sockets; both sides are called for sockets that agreed on it, and for no other.
extension SocketTable {
    /// The frame for one such socket: compressed when it is large enough and gets smaller by it.
    mutating func deflated(_ frame: borrowing OutboundFrame, _ index: Int) -> OutboundFrame {
        guard let bytesMin = deflate?.settings.payloadBytesMin, frame.bytes.payload.count >= bytesMin else {
            return copy frame
        }
        let agreement = slot(index).pointee.deflate
        // What is compressed with the connection's own context cannot be taken out of the queue again.
        if agreement.serverTakesOver, frame.bytes.collapse != 0 { return copy frame }
        guard let chosen = deflate?.frame(frame, slot: index, agreement) else { return copy frame }
        if chosen.bytes !== frame.bytes { counters.framesDeflated += 1 }
        return chosen
    }

    /// Inflates a whole message; its bytes are then `deflate?.inflated`, until the next message.
    ///
    /// - Returns: what is wrong with it, if anything.
    mutating func inflate(
        _ message: UnsafeRawBufferPointer,
        _ kind: MessageKind,
        _ index: Int
    ) -> FrameViolation? {
        let agreement = slot(index).pointee.deflate
        counters.messagesInflated += 1
        switch deflate?.inflate(message, slot: index, agreement, bytesMax: limits.messageBytesMax) {
        case .tooBig: return .messageTooBig
        case .invalid, .none: return .deflateInvalid
        case .whole: break
        }
        let bytesMax = max(deflate?.settings.inflatedBytesPerReadMax ?? 0, limits.messageBytesMax)
        guard deflate?.inflatedBytesOfRead ?? 0 <= bytesMax else { return .inflatesTooMuch }
        guard kind == .text, let bytes = deflate?.inflated.bytes else { return nil }
        var validator = UTF8Validator()
        return validator.consume(bytes.bytes) && validator.isComplete ? nil : .textNotUTF8
    }
}
