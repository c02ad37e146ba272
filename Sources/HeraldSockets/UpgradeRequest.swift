/// The WebSocket side of a request (RFC 6455, 4.2): whether it asks for an upgrade, and the answer to it.
enum UpgradeRequest {
    /// - Returns: false for ordinary HTTP.
    /// - Throws: when it wants WebSocket and asks for it wrongly.
    static func isUpgrade(_ head: HTTPRequestHead) throws(RequestRefusal) -> Bool {
        guard contains(head, "upgrade", "websocket") else {
            // A key without an upgrade is a client, or a proxy that ate the hop-by-hop headers: say so.
            guard head["sec-websocket-key"] == nil else { throw .badUpgrade }
            return false
        }
        guard head.method == "GET" else { throw .methodNotAllowed }
        guard head.minorVersion == 1 else { throw .versionNotSupported }
        guard contains(head, "connection", "upgrade") else { throw .badUpgrade }
        guard head["sec-websocket-version"] == "13" else { throw .webSocketVersion }
        guard let key = head["sec-websocket-key"], isKey(key) else { throw .badUpgrade }
        return true
    }

    /// The 101 answer.
    static func answer(
        _ head: borrowing HTTPRequestHead,
        subprotocol: String?,
        extensions: String? = nil
    ) -> [UInt8] {
        var answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        answer += "Sec-WebSocket-Accept: \(accept(key: head["sec-websocket-key"] ?? ""))\r\n"
        if let subprotocol { answer += "Sec-WebSocket-Protocol: \(subprotocol)\r\n" }
        if let extensions { answer += "Sec-WebSocket-Extensions: \(extensions)\r\n" }
        return Array((answer + "\r\n").utf8)
    }

    /// Proof that we read the key and know the protocol.
    static func accept(key: String) -> String {
        Base64.encoded(SHA1.digest(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)))
    }

    private static func contains(_ head: HTTPRequestHead, _ name: String, _ token: String) -> Bool {
        head.list(name).contains { head.matches($0, token) }
    }

    /// Base64 of exactly 16 bytes: 22 characters and two of padding. Stray bits in the last character are let
    /// pass (RFC 4648 3.5 allows it, and careless clients send random characters).
    private static func isKey(_ key: String) -> Bool {
        let bytes = Array(key.utf8)
        guard bytes.count == 24, bytes.suffix(2) == [UInt8(ascii: "="), UInt8(ascii: "=")] else {
            return false
        }
        return bytes.prefix(22).allSatisfy { Base64.value($0) != nil }
    }
}
