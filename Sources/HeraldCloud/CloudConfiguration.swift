public import HeraldCore
public import HeraldSockets

/// All that a cloud node is told at its start.
public struct CloudConfiguration: Sendable {
    /// Its name, like no other node's.
    public var node: NodeID
    /// A numeric address to listen on, or `localhost`. With `AuthPolicy.none` it must be a loopback one.
    public var host = "127.0.0.1"
    /// 0 lets the kernel choose.
    public var port = 9001
    /// Threads that hold sockets.
    public var loops = 1
    /// Where clients reach it; nil: `ws://HOST:PORT/ws`, `wss` with TLS.
    public var publicURL: String?
    public var region = ""
    /// Its share of new clients beside other nodes; at least 1.
    public var weight = 1
    public var version = ""
    /// How it finds out who a client is.
    public var auth = AuthPolicy.none
    /// Origins of web pages that may connect, besides those of this machine (`http://localhost:3000`); as
    /// browsers write them. `*` allows all.
    public var allowedOrigins: [String] = []
    /// TLS on the node's own port; nil: plain, as behind a proxy that ends it.
    public var tls: TLSSettings?
    /// Compression for clients that ask for it; nil: none.
    public var deflate: DeflateSettings?
    /// Load balancers in front that are believed about their clients' addresses.
    public var proxies = ProxySettings()
    public var limits = Limits.standard
    public var socketLimits = SocketLimits()
    /// How long a client waits for its route while Redis is away, before it is told to come back.
    public var bindPatience: Duration = .seconds(5)
    /// How long the closing of all sockets may take when the node stops.
    public var drainDuration: Duration = .seconds(10)

    /// The defaults under a name.
    public init(node: NodeID) { self.node = node }

    func check() throws(CloudNodeError) {
        guard !auth.isForLoopbackOnly || isLoopbackAddress(numericHost) else {
            throw .configuration(
                "auth \(auth) lets everybody in as anybody, so it is refused on \(host): listen on 127.0.0.1 or "
                    + "::1"
            )
        }
        guard (0...65_535).contains(port) else { throw .configuration("port is \(port): give 0 to 65535") }
        guard weight >= 1 else { throw .configuration("weight is \(weight) and must be at least 1") }
        guard limits.routeRenewal < limits.routeTTL, limits.leaseRenewal < limits.leaseTTL else {
            throw .configuration("a route and a lease must be renewed before they end")
        }
    }

    var numericHost: String { host == "localhost" ? "127.0.0.1" : host }

    /// `port`: where the node listens.
    func profile(port: Int) -> NodeProfile {
        let host = numericHost.contains(":") ? "[\(numericHost)]" : numericHost
        return NodeProfile(
            id: node,
            url: publicURL ?? "\(tls == nil ? "ws" : "wss")://\(host):\(port == 0 ? self.port : port)/ws",
            region: region,
            weight: weight,
            capacity: socketLimits.socketsMaxPerLoop * loops,
            version: version
        )
    }

    var engine: SocketEngineConfiguration {
        var limits = socketLimits
        limits.messageBytesMax = self.limits.clientFrameBytesMax
        limits.overflowCode = CloseCode.slowConsumer.number
        return SocketEngineConfiguration(
            host: numericHost,
            port: port,
            loops: loops,
            limits: limits,
            deflate: deflate,
            tls: tls,
            proxies: proxies
        )
    }
}
