import Glibc

/// From bytes to events to the handler. One read per socket and turn, so that none starves the others.
extension EventLoop where Handler: ~Copyable {
    mutating func receive(_ index: Int) {
        if table.slot(index).pointee.flags.contains(.awaitsProxyHeader) { return receiveProxyHeader(index) }
        guard table.tls == nil else { return receiveEncrypted(index) }
        let count = recv(table.slot(index).pointee.descriptor, readBuffer.baseAddress, readBuffer.count, 0)
        guard count > 0 else {
            if count == 0 { return table.finished(index) }
            if errno == EAGAIN || errno == EINTR { return }
            return table.end(index, .disconnected)
        }
        received(index, count)
    }

    /// The first `count` bytes of the read buffer came from this peer.
    mutating func received(_ index: Int, _ count: Int) {
        table.counters.bytesIn += UInt64(count)
        // Whatever it is, the peer lives.
        table.slot(index).pointee.flags.remove(.isPinged)
        switch table.slot(index).pointee.lifecycle {
        case .handshake: receiveRequest(index, count)
        case .open, .closing: receiveFrames(index, 0..<count)
        case .free, .draining, .halfClosed, .ending, .ended: break
        }
    }

    // MARK: Requests

    private mutating func receiveRequest(_ index: Int, _ count: Int) {
        let bytes = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(readBuffer)[..<count])
        switch table.slot(index).pointee.head.next(bytes.bytes, limits: limits) {
        case .needsMore: break
        case .refused(let refusal): refuse(index, refusal)
        case .head(let head, let used):
            switch RequestHeadParser.parse(head) {
            case .failure(let refusal): refuse(index, refusal)
            case .success(let request):
                decide(index, request)
                if table.slot(index).pointee.lifecycle == .open, used < count {
                    receiveFrames(index, used..<count)
                }
            }
        }
    }

    private mutating func decide(_ index: Int, _ request: consuming HTTPRequestHead) {
        guard !table.slot(index).pointee.flags.contains(.isRefused) else { return refuse(index, .full) }
        var deflate: (agreement: DeflateAgreement, answer: String)?
        if request.isUpgrade, let settings = table.deflate?.settings {
            do throws(RequestRefusal) {
                deflate = DeflateAgreement.negotiate(try ExtensionOffer.all(in: request), settings)
            } catch {
                return refuse(index, error)
            }
        }
        identify(&request, index)
        switch handler.requestReceived(request) {
        case .respond(let answer):
            table.counters.responded += 1
            table.answer(index, answer.encoded(withBody: request.method != "HEAD"))
        case .accept(let subprotocol):
            guard request.isUpgrade else { return refuse(index, .webSocketVersion) }
            let agreed = subprotocol.flatMap { request.subprotocols.contains($0) ? $0 : nil }
            let answer = UpgradeRequest.answer(request, subprotocol: agreed, extensions: deflate?.answer)
            table.enqueue(.raw(answer), index)
            table.open(index, deflate: deflate?.agreement ?? .none)
            handler.socketOpened(table.slot(index).pointee.id, request: request, sockets: &table)
        }
    }

    mutating func refuse(_ index: Int, _ refusal: RequestRefusal) {
        switch refusal {
        case .full: table.counters.refusedFull += 1
        case .tooSlow: break
        case .lineTooLong, .headTooLarge: table.counters.refusedTooLarge += 1
        case .malformed, .hasBody, .methodNotAllowed, .versionNotSupported, .badUpgrade, .webSocketVersion:
            table.counters.refusedRequest += 1
        }
        table.answer(index, refusal.answer(retryAfterSeconds: limits.retryAfterSeconds).encoded())
    }

    // MARK: Frames

    private mutating func receiveFrames(_ index: Int, _ range: Range<Int>) {
        let received = UnsafeMutableRawBufferPointer(rebasing: readBuffer[range])
        var span = received.mutableBytes
        var cursor = 0
        let allowsDeflate = table.slot(index).pointee.deflate.isOn
        if allowsDeflate { table.deflate?.inflatedBytesOfRead = 0 }
        while table.slot(index).pointee.lifecycle.isParsing {
            switch table.slot(index).pointee.reader.next(
                &span,
                at: &cursor,
                limits: frameLimits,
                allowsDeflate: allowsDeflate
            ) {
            case .needsMore: return
            case .message(let kind, let body):
                guard table.slot(index).pointee.lifecycle == .open else { continue }
                table.counters.messagesIn += 1
                let id = table.slot(index).pointee.id
                // Lent for the call: the read buffer is the loop's, and a slot is freed at the turn's end
                // only.
                handler.messageReceived(
                    bytes(body, index, received).bytes,
                    kind: kind,
                    from: id,
                    sockets: &table
                )
            case .deflated(let kind, let body):
                guard table.slot(index).pointee.lifecycle == .open else { continue }
                receiveDeflated(index, kind, bytes(body, index, received))
            case .ping(let body):
                table.counters.controlFramesIn += 1
                table.pong(index, bytes(body, index, received))
            case .pong:
                table.counters.controlFramesIn += 1
            case .close(let code):
                table.counters.controlFramesIn += 1
                table.closeReceived(index, code: code)
            case .violation(let violation):
                table.violated(index, violation)
            }
        }
    }

    private mutating func receiveDeflated(
        _ index: Int,
        _ kind: MessageKind,
        _ message: UnsafeRawBufferPointer
    ) {
        defer { table.deflate?.trim() }
        if let violation = table.inflate(message, kind, index) { return table.violated(index, violation) }
        guard let bytes = table.deflate?.inflated.bytes else { return }
        table.counters.messagesIn += 1
        let id = table.slot(index).pointee.id
        // Lent for the call: nothing inflates before it has returned.
        handler.messageReceived(bytes.bytes, kind: kind, from: id, sockets: &table)
    }

    private func bytes(
        _ body: FrameReader.Body,
        _ index: Int,
        _ received: UnsafeMutableRawBufferPointer
    ) -> UnsafeRawBufferPointer {
        switch body {
        case .received(let range): UnsafeRawBufferPointer(rebasing: received[range])
        case .assembled(let range):
            UnsafeRawBufferPointer(rebasing: table.slot(index).pointee.reader.assembled[range])
        }
    }
}

extension SocketTable {
    /// Answers a ping, unless the peer asks faster than it listens.
    mutating func pong(_ index: Int, _ payload: UnsafeRawBufferPointer) {
        guard slot(index).pointee.lifecycle == .open else { return }
        let bytes = Int(slot(index).pointee.pongBytes) + payload.count + 2
        guard bytes <= min(limits.pongBytesMax, Int(UInt16.max)) else {
            counters.pongsSkipped += 1
            return
        }
        slot(index).pointee.pongBytes = UInt16(bytes)
        enqueue(.encoded(.pong, payload), index)
    }
}
