// Makes connections, one after the other, for as long as a link runs.
//
// A link's `run()` is this loop: connect, serve until the connection closes, wait a little, again. The loop
// knows neither commands nor messages; the link puts its handler into the channel and is told when the channel
// may be used.

import Glibc
import Logging
internal import NIOCore
internal import NIOPosix
internal import NIOSSL

/// Connects to one address on one loop.
struct RedisConnector: Sendable {
    let address: RedisAddress
    let options: RedisLinkOptions
    let loop: any EventLoop
    private let tls: TLS?

    private struct TLS: Sendable {
        let context: NIOSSLContext
        /// Named to Redis and looked for in its certificate; nil when the host is an IP address.
        let hostname: String?
    }

    /// - Throws: `badConfiguration` when the certificates cannot be used.
    init(address: RedisAddress, options: RedisLinkOptions, loop: any EventLoop) throws(RedisError) {
        self.address = address
        self.options = options
        self.loop = loop
        if case .tcp(let host, _, true) = address.place {
            let isNumeric = (try? SocketAddress(ipAddress: host, port: 0)) != nil
            tls = TLS(context: try Self.context(options.tls), hostname: isNumeric ? nil : host)
        } else {
            tls = nil
        }
    }

    /// Keeps one connection up until the task is cancelled.
    ///
    /// - Parameters:
    ///   - core: gets each connection's handler.
    ///   - cancelled: called at once, from anywhere, when the task is cancelled; has the connection closed.
    /// - Throws: `refused` when Redis refused the first login of all: that is a mistake and no bad moment.
    func keepConnected(
        _ core: some RedisConnectionCore,
        cancelled: @escaping @Sendable () -> Void
    ) async throws(RedisError) {
        let backoff = RedisBackoff(min: options.limits.backoffMin, max: options.limits.backoffMax)
        await withTaskCancellationHandler {
            var failures = 0
            while !Task.isCancelled, core.hopeless == nil {
                do throws(RedisError) {
                    try await serveOneConnection(core)
                    if core.takeWasReady() { failures = 0 }
                } catch {
                    core.attemptFailed(error)
                }
                failures += 1
                let delay = backoff.delay(failures: failures, random: .random(in: 0...1))
                // Throws only when the task is cancelled, and then the loop ends anyway.
                try? await Task.sleep(for: delay)
            }
        } onCancel: {
            cancelled()
        }
        if let error = core.hopeless { throw error }
    }

    private func serveOneConnection<Core: RedisConnectionCore>(_ core: Core) async throws(RedisError) {
        do {
            let channel = try await connect(core).get()
            try await channel.eventLoop.submit {
                // Not there any more when the connection has ended already, which the handler told.
                try? channel.pipeline.syncOperations.handler(type: RedisConnectionHandler<Core>.self).begin()
            }.get()
            try await channel.closeFuture.get()
        } catch let error as RedisError {
            throw error
        } catch {
            throw RedisError(.unavailable, "cannot connect to \(address): \(Self.reason(error))")
        }
    }

    /// In a person's words: NIO's own description of a refused connection runs over several lines.
    private static func reason(_ error: any Error) -> String {
        switch error {
        case let error as NIOConnectionError:
            if let dns = error.dnsAError ?? error.dnsAAAAError { return "its name is not known (\(dns))" }
            return error.connectionErrors.first.map { reason($0.error) } ?? "nobody is there"
        case let error as IOError: return String(cString: strerror(error.errnoCode))
        case let error as ChannelError:
            if case .connectTimeout = error { return "no answer in time" }
            return "\(error)"
        default: return "\(error)"
        }
    }

    private func connect(_ core: some RedisConnectionCore) -> EventLoopFuture<any Channel> {
        let tls = tls
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(TimeAmount(options.limits.connectTimeout))
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.recvAllocator, value: Self.recvAllocator)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let tls {
                        let handler = try NIOSSLClientHandler(
                            context: tls.context,
                            serverHostname: tls.hostname
                        )
                        try channel.pipeline.syncOperations.addHandler(handler)
                    }
                    try channel.pipeline.syncOperations.addHandler(RedisConnectionHandler(core: core))
                }
            }
        switch address.place {
        case .tcp(let host, let port, _): return bootstrap.connect(host: host, port: port)
        case .unix(let path): return bootstrap.connect(unixDomainSocketPath: path)
        }
    }

    /// A busy link's reads bring thousands of small replies each; an idle one keeps 1 KiB.
    private static let recvAllocator = AdaptiveRecvByteBufferAllocator(
        minimum: 1024,
        initial: 4096,
        maximum: 65536
    )

    private static func context(_ tls: RedisTLS) throws(RedisError) -> NIOSSLContext {
        do {
            var configuration = TLSConfiguration.makeClientConfiguration()
            if !tls.verifies { configuration.certificateVerification = .none }
            if let file = tls.authorityFile { configuration.trustRoots = .file(file) }
            if let file = tls.certificateFile {
                configuration.certificateChain = try NIOSSLCertificate.fromPEMFile(file).map {
                    .certificate($0)
                }
            }
            if let file = tls.keyFile {
                configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: file, format: .pem))
            }
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw RedisError(.badConfiguration, "the certificates for Redis cannot be used", cause: error)
        }
    }
}
