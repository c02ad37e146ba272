import Glibc

/// Who is at the other end, when a proxy in front says so.
extension EventLoop where Handler: ~Copyable {
    /// Notes that this connection begins with a header, if it comes from a proxy that sends one.
    func expectProxyHeader(_ index: Int) {
        guard !proxies.proxyProtocol.isEmpty,
            let address = SocketAddress.peer(table.slot(index).pointee.descriptor),
            proxies.sendsHeader(address.peer)
        else { return }
        table.slot(index).pointee.flags.insert(.awaitsProxyHeader)
    }

    /// Takes the header from the socket and not a byte more: what follows may be OpenSSL's to read.
    mutating func receiveProxyHeader(_ index: Int) {
        var header = table.proxyHeaders[index] ?? []
        while true {
            switch ProxyHeader.parse(header) {
            case .malformed:
                table.counters.refusedRequest += 1
                return table.end(index, .disconnected)
            case .whole(let client):
                table.slot(index).pointee.flags.remove(.awaitsProxyHeader)
                table.proxyHeaders[index] = nil
                table.proxiedClients[index] = client
                return
            case .needs(let whole):
                let missing = min(whole - header.count, readBuffer.count)
                let count = recv(table.slot(index).pointee.descriptor, readBuffer.baseAddress, missing, 0)
                guard count > 0 else {
                    guard count < 0, errno == EAGAIN || errno == EINTR else {
                        return table.end(index, .disconnected)
                    }
                    table.proxyHeaders[index] = header
                    return
                }
                header += readBuffer[..<count]
            }
        }
    }

    /// Writes into the request where it came from.
    mutating func identify(_ request: inout HTTPRequestHead, _ index: Int) {
        let proxied = table.proxiedClients.removeValue(forKey: index)
        let connected = SocketAddress.peer(table.slot(index).pointee.descriptor)?.peer
        request.peer = proxied ?? connected ?? request.peer
        request.client = request.peer
        guard !proxies.forwardedFor.isEmpty else { return }
        let values = request.values("x-forwarded-for")
        request.client = proxies.client(peer: request.peer, forwardedFor: values)
    }
}
