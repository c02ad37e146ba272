import HeraldCore
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

/// A channel whose upgrade is done.
struct OpenChannel: Sendable {
    var channel: any Channel
    var handler: NIOLoopBound<ConnectionHandler>
    var producer: ConnectionHandler.Producer
}

/// From an address to a WebSocket: TCP, the HTTP upgrade, the pipeline behind it.
struct Opening: Sendable {
    let configuration: ConnectionConfiguration
    let ready: EventLoopPromise<ConnectionIdentity>

    func open(on eventLoop: any EventLoop) -> EventLoopFuture<OpenChannel> {
        let address = configuration.address
        let upgrade = eventLoop.makePromise(of: OpenChannel.self)
        // A name may have several addresses, each of which gets a channel; this is the one that came about.
        let connect = eventLoop.makePromise(of: (any Channel).self)
        ClientBootstrap(group: eventLoop)
            .channelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
            .connectTimeout(TimeAmount(configuration.limits.connectTimeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations
                        .configureUpgradableHTTPClientPipeline(configuration: pipeline(refused: upgrade))
                        .whenComplete { result in
                            switch result {
                            case .success(let open?):
                                upgrade.succeed(open)
                                open.handler.value.begin()
                            // The refusal's own handler reads on and fails the promise.
                            case .success(nil): break
                            // A channel that never connected fails here too, with what says less, and may do so
                            // before the connect does.
                            case .failure(let error):
                                connect.futureResult.whenSuccess { if $0 === channel { upgrade.fail(error) } }
                            }
                        }
                }
            }
            .connect(host: address.host, port: address.port)
            .cascade(to: connect)
        connect.futureResult.cascadeFailure(to: upgrade)
        // The caller gave up before the upgrade was done.
        ready.futureResult.whenFailure { _ in
            upgrade.futureResult.whenSuccess { $0.channel.close(promise: nil) }
        }
        return upgrade.futureResult
    }

    private func pipeline(
        refused: EventLoopPromise<OpenChannel>
    ) -> NIOUpgradableHTTPClientPipelineConfiguration<OpenChannel?> {
        var headers = HTTPHeaders()
        headers.add(name: "Host", value: configuration.address.authority)
        headers.add(name: "User-Agent", value: "herald-swift")
        let head = HTTPRequestHead(
            version: .http1_1,
            method: .GET,
            uri: configuration.requestTarget,
            headers: headers
        )
        let upgrader = NIOTypedWebSocketClientUpgrader<OpenChannel?>(
            maxFrameSize: configuration.limits.messageBytesMax,
            // The handler closes with the right code itself.
            enableAutomaticErrorHandling: false,
            upgradePipelineHandler: { channel, _ in
                channel.eventLoop.makeCompletedFuture { try install(channel) }
            }
        )
        var pipeline = NIOUpgradableHTTPClientPipelineConfiguration(
            upgradeConfiguration: NIOTypedHTTPClientUpgradeConfiguration(
                upgradeRequestHead: head,
                upgraders: [upgrader],
                // Done at once: what the node answered is handed on only after this.
                notUpgradingCompletionHandler: { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(RefusalHandler(refused))
                        return nil
                    }
                }
            )
        )
        // The node's first frames may come in one piece with its answer.
        pipeline.leftOverBytesStrategy = .forwardBytes
        return pipeline
    }

    private func install(_ channel: any Channel) throws -> OpenChannel {
        let limits = configuration.limits
        let handler = ConnectionHandler(configuration: configuration, ready: ready)
        let bound = NIOLoopBound(handler, eventLoop: channel.eventLoop)
        let sequence = ConnectionHandler.Producer.makeSequence(
            elementType: ConnectionEvent.self,
            backPressureStrategy: .init(
                lowWatermark: limits.eventsWaitingMax / 2,
                highWatermark: limits.eventsWaitingMax
            ),
            finishOnDeinit: false,
            delegate: EventsDelegate(handler: bound)
        )
        handler.attach(sequence.source)
        try channel.pipeline.syncOperations.addHandlers([
            NIOWebSocketFrameAggregator(
                minNonFinalFragmentSize: 0,
                maxAccumulatedFrameCount: 1024,
                maxAccumulatedFrameSize: limits.messageBytesMax
            ),
            handler,
        ])
        return OpenChannel(channel: channel, handler: bound, producer: sequence.sequence)
    }
}

/// Reads the HTTP answer of a node that did not upgrade, and makes an error of it.
private final class RefusalHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let refused: EventLoopPromise<OpenChannel>
    private var head: HTTPResponseHead?
    private var body: [UInt8] = []
    /// A problem document is below 1 KiB; more is not worth showing.
    private static let bodyBytesMax = 4096

    init(_ refused: EventLoopPromise<OpenChannel>) { self.refused = refused }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body(let bytes):
            body.append(contentsOf: bytes.readableBytesView.prefix(Self.bodyBytesMax - body.count))
        case .end: finish(context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        finish(context)
        context.fireChannelInactive()
    }

    private func finish(_ context: ChannelHandlerContext) {
        if let head {
            refused.fail(ClientError(refusal: head, body: body, what: "the node refused the upgrade"))
        } else {
            refused.fail(ClientError(.unreachable, "the node closed before it answered", mayRetry: true))
        }
        context.close(promise: nil)
    }
}
