import HTTPTypes

/// Who may use the API.
///
/// With an API key: who shows it. Without one the process listens on loopback only, and whoever runs programs on
/// this machine may push. A browser is such a program too, and runs code of strangers: any page can send a POST
/// to 127.0.0.1, and a page whose name is made to resolve to 127.0.0.1 (DNS rebinding) can read the answers. So
/// without a key a request is refused that carries another page's `Origin`, which browsers send with every POST
/// and DELETE, or whose `Host` is a name other than localhost, which rebinding cannot avoid. Programs send
/// neither. With a key neither is looked at: a page does not know the key.
struct AccessRule: Sendable {
    let key: APIKey?

    /// What of a request matters here.
    struct Credentials {
        var authorization: String?
        var origin: String?
        /// The Host field, with its port.
        var host: String?
    }

    /// - Returns: why the request is refused; nil when it is not.
    func objection(to request: Credentials) -> Problem? {
        if let key { return request.shows(key) ? nil : Self.unauthorized }
        if let host = request.host, !Self.isAddressOrLocalhost(host) { return Self.strangeHost }
        if let origin = request.origin, !request.isOwn(origin) { return Self.strangeOrigin }
        return nil
    }

    private static let unauthorized = Problem(
        .unauthorized,
        "unauthorized",
        "show the API key: Authorization: Bearer KEY"
    )
    private static let strangeHost = Problem(
        .misdirectedRequest,
        "strange_host",
        "without an API key this is served for localhost and IP addresses only; set one to use a host name"
    )
    private static let strangeOrigin = Problem(
        .forbidden,
        "strange_origin",
        "without an API key other sites' pages are refused; set one, or do not send an Origin field"
    )

    private static func isAddressOrLocalhost(_ host: String) -> Bool {
        if host.hasPrefix("[") { return true }
        let name = host.split(separator: ":", maxSplits: 1).first ?? ""
        if name.lowercased() == "localhost" { return true }
        let parts = name.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts.allSatisfy { UInt8($0) != nil }
    }
}

extension AccessRule.Credentials {
    fileprivate func shows(_ key: APIKey) -> Bool {
        guard let authorization else { return false }
        let parts = authorization.split(separator: " ", maxSplits: 1)
        return parts.count == 2 && parts[0].lowercased() == "bearer" && key.matches(parts[1].utf8)
    }

    /// Whether the page came from this very server.
    fileprivate func isOwn(_ origin: String) -> Bool {
        guard let host else { return false }
        return origin == "http://" + host
    }
}
