import HeraldCore
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
    /// What the sockets are read on; one loop where there is a desk.
    let loops: any EventLoopGroup
    let logger: Logger
    let onListening: @Sendable (Int) async -> Void
    /// Takes pushes in front of everything else; nil: everything goes to the responder.
    var desk: (any LeanDesk)?

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
            // The lane ends idle connections.
            idleTimeout: nil,
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: limits.headerBytesMax,
                maxHeaderListSize: limits.headerBytesMax,
                maxHeaderFieldCount: limits.headerFieldsMax
            )
        )
        let lane = lanes()
        return Application(
            responder: api,
            server: HTTPServerBuilder { responder in
                LoopBoundChannel(
                    http: HTTP1Channel(responder: responder, configuration: channel),
                    lane: lane
                )
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

    /// A lane takes half of what HTTP's limits allow, so that whatever is near them is judged in one place.
    private func lanes() -> @Sendable (ConnectionGuard) -> LeanLane {
        let reader = LeanReader(
            headBytesMax: limits.headerBytesMax / 2,
            fieldsMax: limits.headerFieldsMax / 2,
            pushBytesMax: desk?.limits.pushBytesMax ?? 0,
            batchBytesMax: desk?.limits.batchBytesMax ?? 0
        )
        let turn = LeanTurn(loops.any())
        let timing = LeanLane.Timing(
            request: TimeAmount(limits.requestDeadline),
            idle: TimeAmount(limits.idleTimeout)
        )
        return { [desk] guardian in
            LeanLane(desk: desk, reader: reader, turn: turn, guardian: guardian, timing: timing)
        }
    }
}
