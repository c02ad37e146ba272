import HummingbirdCore
import Logging
import NIOCore

/// Hummingbird's HTTP/1 channel behind our lane, with the tasks of each connection on the loop of its socket.
struct LoopBoundChannel: ServerChildChannel {
    let http: HTTP1Channel
    /// Makes a connection's first handler.
    let lane: @Sendable (ConnectionGuard) -> LeanLane

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        http.setup(channel: channel, logger: logger).flatMapThrowing { value in
            let handlers = channel.pipeline.syncOperations
            let guardian = try handlers.handler(type: ConnectionGuard.self)
            try handlers.addHandler(lane(guardian), position: .first)
            return value
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async {
        await withTaskExecutorPreference(LoopExecutor(value.channel.eventLoop)) {
            await http.handle(value: value, logger: logger)
        }
    }
}
