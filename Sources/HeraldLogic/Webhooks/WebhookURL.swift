/// Where webhooks go: `http://host[:port][/path][?query]`, or the same with `https`.
public struct WebhookURL: Hashable, Sendable, CustomStringConvertible {
    public let isSecure: Bool
    /// A name or a numeric address; an IPv6 address without its brackets.
    public let host: String
    public let port: Int
    /// Path and query, as they stand in the request's first line.
    public let target: String

    /// Reads an address.
    ///
    /// - Throws: `WebhookError.badURL`, which says what is wrong with it. A user or password in it is refused:
    ///   it would be shown wherever the address is.
    public init(_ text: String) throws(WebhookError) {
        guard let scheme = ["http", "https"].first(where: { text.lowercased().hasPrefix($0 + "://") }) else {
            throw .badURL("it starts with neither http:// nor https://")
        }
        guard text.utf8.allSatisfy({ (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }) else {
            throw .badURL("it has a fragment, or a character that has to be written as %XX")
        }
        let rest = text.dropFirst(scheme.count + 3)
        let end = rest.firstIndex { "/?".contains($0) } ?? rest.endIndex
        let authority = rest[..<end]
        guard !authority.contains("@") else {
            throw .badURL("it has a user or a password in it; receivers check the signature instead")
        }
        guard let (host, port) = Self.split(authority) else { throw .badURL("host or port cannot be read") }
        isSecure = scheme == "https"
        self.host = host
        self.port = port ?? (scheme == "https" ? 443 : 80)
        let target = String(rest[end...])
        self.target = target.hasPrefix("/") ? target : "/" + target
    }

    /// Host and port as they stand in a `Host` field: a scheme's own port is left out (RFC 9110 §7.2).
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }

    /// Without the query, which may hold a secret.
    public var description: String {
        "\(isSecure ? "https" : "http")://\(authority)\(target.prefix { $0 != "?" })"
    }

    private static func split(_ authority: Substring) -> (host: String, port: Int?)? {
        var host = authority
        var port: Substring?
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return nil }
            host = authority[authority.index(after: authority.startIndex)..<end]
            let rest = authority[authority.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":"), host.contains(":") else { return nil }
            port = rest.isEmpty ? nil : rest.dropFirst()
        } else if let colon = authority.firstIndex(of: ":") {
            host = authority[..<colon]
            port = authority[authority.index(after: colon)...]
        }
        // A zone such as %eth0 names a link of this machine.
        guard !host.isEmpty, host.utf8.count <= 253, host.allSatisfy(isHostCharacter) else { return nil }
        guard let port else { return (String(host), nil) }
        guard port.allSatisfy({ $0.isASCII && $0.isNumber }), let number = Int(port),
            (1...65_535).contains(number)
        else { return nil }
        return (String(host), number)
    }

    private static func isHostCharacter(_ character: Character) -> Bool {
        character.isASCII && (character.isLetter || character.isNumber || "-._:".contains(character))
    }
}

/// Why webhooks cannot be sent as they are set up. The operator's to change.
public enum WebhookError: Error, Equatable, CustomStringConvertible {
    case badURL(String)
    case weakSecret
    /// The certificates to trust cannot be used.
    case badTrust(String)

    public var description: String {
        switch self {
        case .badURL(let reason): "the webhook's address cannot be used: \(reason)"
        case .weakSecret: "a webhook's secret has 16 to 256 visible ASCII characters"
        case .badTrust(let reason): "the certificates for webhooks cannot be used: \(reason)"
        }
    }
}
