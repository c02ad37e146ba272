/// Which load balancers in front are believed when they say whom they speak for.
///
/// Each entry is a numeric address (`10.0.0.5`, `::1`) or a network (`10.0.0.0/8`, `fd00::/8`).
public struct ProxySettings: Sendable, Hashable {
    /// Whose connections begin with a PROXY protocol header of version 2 (HAProxy, AWS NLB, Envoy), before TLS if
    /// there is any. From these peers it is required, and from all others it is not understood: a client could
    /// otherwise say that it is anybody.
    public var proxyProtocolPeers: [String] = []
    /// Whose `X-Forwarded-For` is believed. The client is the last address in it that is not in this list.
    public var forwardedForPeers: [String] = []

    /// Nobody is believed.
    public init() {}
}

/// The settings, read once.
struct TrustedProxies {
    let proxyProtocol: [IPNetwork]
    let forwardedFor: [IPNetwork]

    init(_ settings: ProxySettings) throws(SocketEngineError) {
        proxyProtocol = try Self.networks("proxies.proxyProtocolPeers", settings.proxyProtocolPeers)
        forwardedFor = try Self.networks("proxies.forwardedForPeers", settings.forwardedForPeers)
    }

    private static func networks(
        _ name: String,
        _ texts: [String]
    ) throws(SocketEngineError) -> [IPNetwork] {
        var networks: [IPNetwork] = []
        for text in texts {
            guard let network = IPNetwork(text) else {
                throw .configuration("\(name): \(text) is no numeric address or network")
            }
            networks.append(network)
        }
        return networks
    }

    /// Whether a connection from there begins with a PROXY header.
    func sendsHeader(_ peer: PeerAddress) -> Bool {
        guard !proxyProtocol.isEmpty, let address = IPAddress(peer.host) else { return false }
        return proxyProtocol.contains { $0.contains(address) }
    }

    /// Whom a request is from.
    ///
    /// - Parameters:
    ///   - peer: the other end of the connection.
    ///   - values: the request's `X-Forwarded-For` fields in their order. Each proxy adds to the right what it saw,
    ///     so what stands left of an address that is not believed is anybody's invention.
    /// - Returns: the peer itself unless it is believed; the port is then 0, since the field does not tell it.
    func client(peer: PeerAddress, forwardedFor values: [String]) -> PeerAddress {
        var client = peer
        let hops = values.flatMap { $0.split(separator: ",", omittingEmptySubsequences: false) }
        for hop in hops.reversed() {
            guard let address = IPAddress(client.host),
                forwardedFor.contains(where: { $0.contains(address) }),
                let before = IPAddress(hop: hop)
            else { return client }
            client = PeerAddress(host: before.description, port: 0)
        }
        return client
    }
}
