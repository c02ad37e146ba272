import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

/// The HTTP server of a process: limits, problem documents for what is no HTTP, and one responder.
struct APIServer {
    let host: String
    /// 0 for any free one.
    let port: Int
    let limits: HTTPLimits
    /// What the largest body may have that is asked for with `Expect: 100-continue`.
    let bodyBytesMax: Int
    let requests: RequestCounters
    let loops: any EventLoopGroup
    let logger: Logger
    let onListening: @Sendable (Int) async -> Void

    func application(_ api: LogicAPI) -> Application<LogicAPI> {
        let channel = HTTP1Channel.Configuration(
            additionalChannelHandlers: [
                ConnectionGuard(
                    requestDeadline: limits.requestDeadline,
                    bodyBytesMax: bodyBytesMax
                ) { [requests] problem in
                    requests.refused(problem.code)
                    requests.answered(problem.status)
                }
            ],
            idleTimeout: TimeAmount(limits.idleTimeout),
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: limits.headerBytesMax,
                maxHeaderListSize: limits.headerBytesMax,
                maxHeaderFieldCount: limits.headerFieldsMax
            )
        )
        return Application(
            responder: api,
            server: HTTPServerBuilder { responder in
                LoopBoundChannel(http: HTTP1Channel(responder: responder, configuration: channel))
            },
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: port),
                availableConnectionsDelegate: MaximumAvailableConnections(
                    limits.connectionsMax,
                    logger: logger
                )
            ),
            onServerRunning: { [onListening] channel in
                await onListening(channel.localAddress?.port ?? 0)
            },
            eventLoopGroupProvider: .shared(loops),
            logger: logger
        )
    }
}
