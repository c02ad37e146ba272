/// Finds the end of a request head in bytes that come in pieces, and refuses what is too long or no text.
///
/// Every byte is looked at once. A head that comes whole is handed out from the caller's buffer; one that is
/// cut is kept until the rest comes. Line breaks are CR LF and nothing else: a lone CR or LF is
/// where two parsers may disagree, and so where requests are smuggled.
struct RequestHeadReader: ~Copyable {
    private var kept = ByteSpill()
    private var lineBytes: UInt32 = 0
    private var totalBytes: UInt32 = 0
    private var lines: UInt16 = 0
    private var sawCarriageReturn = false

    enum Outcome: Equatable {
        case needsMore
        /// A whole head, its blank line included, and how many of the given bytes belong to it.
        case head([UInt8], used: Int)
        case refused(RequestRefusal)
    }

    init() {}

    mutating func next(_ bytes: borrowing RawSpan, limits: borrowing SocketLimits) -> Outcome {
        for index in 0..<bytes.byteCount {
            let byte = bytes.unsafeLoad(fromByteOffset: index, as: UInt8.self)
            totalBytes += 1
            if let refusal = judge(byte, limits) { return .refused(refusal) }
            if byte == 0x0A {
                if lineBytes == 0 { return finish(bytes, used: index + 1) }
                lines += 1
                lineBytes = 0
            }
        }
        bytes.withUnsafeBytes { kept.append($0) }
        return .needsMore
    }

    /// Whether anything has come, so that silence and slowness can be told apart.
    var isEmpty: Bool { totalBytes == 0 }

    private mutating func judge(_ byte: UInt8, _ limits: borrowing SocketLimits) -> RequestRefusal? {
        let followsReturn = sawCarriageReturn
        sawCarriageReturn = byte == 0x0D
        guard followsReturn == (byte == 0x0A) else { return .malformed }
        if byte == 0x0D || byte == 0x0A { return nil }
        guard ASCII.isFieldValue(byte) else { return .malformed }
        lineBytes += 1
        if lines == 0, lineBytes > limits.requestLineBytesMax { return .lineTooLong }
        if Int(lines) > limits.requestFieldsMax { return .headTooLarge }
        return totalBytes > limits.requestHeadBytesMax ? .headTooLarge : nil
    }

    private mutating func finish(_ bytes: borrowing RawSpan, used: Int) -> Outcome {
        let head = bytes.extracting(0..<used).withUnsafeBytes { last in
            [UInt8](unsafeUninitializedCapacity: kept.count + last.count) { buffer, count in
                UnsafeMutableRawBufferPointer(buffer).copyMemory(from: kept.bytes)
                UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[kept.count...])
                    .copyMemory(from: last)
                count = kept.count + last.count
            }
        }
        kept.removeAll()
        return .head(head, used: used)
    }
}

/// Why a request is refused before anybody sees it, and with which status.
enum RequestRefusal: Error, Equatable {
    case malformed, lineTooLong, headTooLarge, hasBody, methodNotAllowed, versionNotSupported
    case badUpgrade, webSocketVersion, tooSlow, full

    var status: Int {
        switch self {
        case .malformed, .badUpgrade: 400
        case .lineTooLong: 414
        case .headTooLarge: 431
        case .hasBody: 413
        case .methodNotAllowed: 405
        case .versionNotSupported: 505
        case .webSocketVersion: 426
        case .tooSlow: 408
        case .full: 503
        }
    }

    func answer(retryAfterSeconds: Int) -> HTTPAnswer {
        switch self {
        case .malformed: .text(status, "malformed request")
        case .lineTooLong: .text(status, "request line too long")
        case .headTooLarge: .text(status, "request head too large")
        case .hasBody: .text(status, "no request bodies here")
        case .methodNotAllowed: .text(status, "an upgrade is a GET", fields: [.init("Allow", "GET")])
        case .versionNotSupported: .text(status, "HTTP/1.1 only")
        case .badUpgrade: .text(status, "malformed WebSocket upgrade")
        case .webSocketVersion:
            .text(
                status,
                "WebSocket version 13 only",
                fields: [.init("Upgrade", "websocket"), .init("Sec-WebSocket-Version", "13")]
            )
        case .tooSlow: .text(status, "request not complete in time")
        case .full:
            .text(
                status,
                "full, come back later",
                fields: [.init("Retry-After", String(retryAfterSeconds))]
            )
        }
    }
}
