/// Where an engine listens, on how many loops, and within which limits.
public struct SocketEngineConfiguration: Sendable {
    /// A numeric IPv4 or IPv6 address. Names are not resolved.
    public var host: String
    /// The TCP port; 0 lets the kernel choose, see `SocketEngine.port`.
    public var port: Int
    /// Threads, each with an epoll, a listener and its own sockets: 1 to 256.
    public var loops: Int
    /// The kernel's queue of connections not yet accepted, per loop (the kernel caps it at `somaxconn`).
    public var backlog: Int
    /// What one peer, one socket, one loop and the node may use.
    public var limits: SocketLimits
    /// Compression for clients that ask for it (permessage-deflate); nil refuses it to all.
    public var deflate: DeflateSettings?
    /// TLS for all connections; nil speaks plain HTTP and WebSocket.
    public var tls: TLSSettings?
    /// Load balancers in front that are believed about their clients' addresses.
    public var proxies: ProxySettings

    /// A configuration with the given values.
    public init(
        host: String = "0.0.0.0",
        port: Int,
        loops: Int = 1,
        backlog: Int = 4096,
        limits: SocketLimits = SocketLimits(),
        deflate: DeflateSettings? = nil,
        tls: TLSSettings? = nil,
        proxies: ProxySettings = ProxySettings()
    ) {
        self.host = host
        self.port = port
        self.loops = loops
        self.backlog = backlog
        self.limits = limits
        self.deflate = deflate
        self.tls = tls
        self.proxies = proxies
    }
}

/// Why an engine did not start.
public struct SocketEngineError: Error, CustomStringConvertible, Hashable {
    /// The kinds, hidden so that adding one breaks nobody.
    private enum Kind {
        case configuration, listen, resources, started
    }

    private let kind: Kind
    /// What was attempted, and with what.
    public let description: String
    /// The kernel's reason, where there is one.
    public let errno: Int32?

    private init(_ kind: Kind, _ description: String, errno: Int32? = nil) {
        self.kind = kind
        self.description = description
        self.errno = errno
    }

    static func configuration(_ reason: String) -> Self { Self(.configuration, reason) }
    static func listen(_ attempt: String, errno: Int32) -> Self {
        Self(.listen, "\(attempt): \(reason(of: errno))", errno: errno)
    }
    static func resources(_ attempt: String, errno: Int32) -> Self {
        Self(.resources, "\(attempt): \(reason(of: errno))", errno: errno)
    }
    static let started = Self(.started, "an engine starts once")

    /// True when the address or port could not be had: trying again later or elsewhere may help.
    public var isListenFailure: Bool { kind == .listen }
}
