import HeraldCore
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// Posts webhooks over HTTP/1.1, with or without TLS, on one kept-alive connection a lane.
///
/// A connection is made in three steps: the name is resolved, each address judged (`IPAddress`), and the first
/// that may be used is connected to as a number. Nothing resolves the name a second time, so a name that changes
/// between check and use ("DNS rebinding") gains nothing. Redirects are answers like any other that is not 2xx.
///
/// Not async-http-client, which resolves and connects in one step that cannot be looked into, and would add a
/// minute to each cold build: for one method, one address and no redirects SwiftNIO's own codec is enough.
final class HTTPWebhookTransport: WebhookTransport {
    private let url: WebhookURL
    private let allowsPrivate: Bool
    private let userAgent: String
    private let tls: NIOSSLContext?
    private let loops: any EventLoopGroup
    private let resolve: @Sendable (String) async throws -> [IPAddress]
    /// Connections between two requests, by lane.
    private let resting = Mutex<[Int: Rested]>([:])

    private struct Rested {
        var connection: WebhookConnection
        var since: ContinuousClock.Instant
    }

    /// Receivers and what stands before them forget connections after a minute and more; ours is not used again
    /// after half of that.
    private static let restMax: Duration = .seconds(30)
    /// Of the addresses of one name, so many are tried; each has its share of the request's time.
    private static let addressesMax = 3
    private static let connectTimeout: TimeAmount = .milliseconds(1500)

    /// - Parameters:
    ///   - configuration: where to, and what may be reached.
    ///   - loops: what the connections live on.
    ///   - trustRoots: whose certificates are believed.
    ///   - resolve: from a name to its addresses.
    /// - Throws: `WebhookError.badTrust` when the certificates to trust cannot be used.
    init(
        _ configuration: WebhookConfiguration,
        loops: any EventLoopGroup,
        trustRoots: NIOSSLTrustRoots = .default,
        resolve: @escaping @Sendable (String) async throws -> [IPAddress] = {
            try await SystemResolver.addresses(of: $0)
        }
    ) throws(WebhookError) {
        url = configuration.url
        allowsPrivate = configuration.allowsPrivate
        userAgent = "Herald/\(configuration.version)"
        tls = try configuration.url.isSecure ? Self.context(trustRoots) : nil
        self.loops = loops
        self.resolve = resolve
    }

    func post(_ request: WebhookRequest, lane: Int) async -> WebhookOutcome {
        do {
            let exchange: WebhookExchange
            if let kept = takeRested(lane) {
                // The receiver may close a resting connection at any moment, also in this one.
                if let answer = try? await kept.exchange(head(request), request.body) {
                    exchange = answer
                    rest(kept, lane, exchange)
                    return outcome(exchange)
                }
                kept.close()
                try Task.checkCancellation()
            }
            let connection = try await connect()
            do {
                exchange = try await connection.exchange(head(request), request.body)
                rest(connection, lane, exchange)
            } catch {
                connection.close()
                throw error
            }
            return outcome(exchange)
        } catch {
            return .failed(Self.reason(error))
        }
    }

    /// Closes the connections that rest.
    func close() {
        let all = resting.withLock { resting in
            defer { resting = [:] }
            return Array(resting.values)
        }
        for rested in all { rested.connection.close() }
    }

    // MARK: connections

    private func takeRested(_ lane: Int) -> WebhookConnection? {
        guard let rested = resting.withLock({ $0.removeValue(forKey: lane) }) else { return nil }
        guard rested.connection.isOpen, ContinuousClock.now - rested.since < Self.restMax else {
            rested.connection.close()
            return nil
        }
        return rested.connection
    }

    private func rest(_ connection: WebhookConnection, _ lane: Int, _ exchange: WebhookExchange) {
        guard exchange.isReusable, !Task.isCancelled else { return connection.close() }
        resting.withLock { $0[lane] = Rested(connection: connection, since: .now) }
    }

    private func connect() async throws -> WebhookConnection {
        let usable = try await usableAddresses()
        var last: any Error = Refused(description: "\(url.host) has no address")
        for address in usable.prefix(Self.addressesMax) {
            try Task.checkCancellation()
            do { return try await connect(to: address) } catch { last = error }
        }
        throw last
    }

    private func usableAddresses() async throws -> [IPAddress] {
        let found = try await resolve(url.host)
        guard !allowsPrivate else { return found }
        let usable = found.filter { $0.reservation == nil }
        guard usable.isEmpty, let first = found.first, let reservation = first.reservation else {
            return usable
        }
        throw Refused(
            description:
                "\(url.host) is \(first), which is \(reservation); webhooks.allow_private allows that"
        )
    }

    private func connect(to address: IPAddress) async throws -> WebhookConnection {
        let socket = try SocketAddress(packedIPAddress: ByteBuffer(bytes: address.bytes), port: url.port)
        let tls = tls
        // An address has no name to be told; its certificate is checked against the address itself.
        let isNumeric = (try? SocketAddress(ipAddress: url.host, port: 0)) != nil
        let hostname = isNumeric ? nil : url.host
        return try await ClientBootstrap(group: loops)
            .connectTimeout(Self.connectTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(to: socket) { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls {
                        try pipeline.addHandler(NIOSSLClientHandler(context: tls, serverHostname: hostname))
                    }
                    try pipeline.addHTTPClientHandlers()
                    let reader = WebhookAnswerReader()
                    try pipeline.addHandler(reader)
                    return WebhookConnection(channel, reader)
                }
            }
    }

    private struct Refused: Error, CustomStringConvertible {
        var description: String
    }

    // MARK: bytes

    private func head(_ request: WebhookRequest) -> HTTPRequestHead {
        HTTPRequestHead(
            version: .http1_1,
            method: .POST,
            uri: url.target,
            headers: [
                "Host": url.authority,
                "User-Agent": userAgent,
                "Content-Type": "application/json",
                "Content-Length": String(request.body.count),
                "Herald-Delivery": request.delivery,
                "Herald-Signature": request.signature,
            ]
        )
    }

    private func outcome(_ exchange: WebhookExchange) -> WebhookOutcome {
        switch exchange.status {
        case 200..<300: .accepted
        case 410: .gone
        default: .refused(status: exchange.status, retryAfter: exchange.retryAfter)
        }
    }

    private static func context(_ trustRoots: NIOSSLTrustRoots) throws(WebhookError) -> NIOSSLContext {
        do {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.applicationProtocols = ["http/1.1"]
            tls.trustRoots = trustRoots
            return try NIOSSLContext(configuration: tls)
        } catch { throw .badTrust("\(error)") }
    }
}
