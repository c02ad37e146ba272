internal import NIOCore

/// What a link does with its connections, one at a time; called on its loop unless said otherwise.
protocol RedisConnectionCore: AnyObject, Sendable {
    var options: RedisLinkOptions { get }

    /// The connection stands; the greeting may be written.
    func connected(_ handler: RedisConnectionHandler<Self>)
    /// Something arrived, be it a whole reply or not.
    func heard(_ handler: RedisConnectionHandler<Self>, now: Moment)
    /// A whole reply arrived.
    ///
    /// - Returns: whether the connection goes on.
    func received(_ reply: RedisValue, from handler: RedisConnectionHandler<Self>, now: Moment) -> Bool
    /// Called after all that one read brought.
    func readEnded(_ handler: RedisConnectionHandler<Self>)
    /// The connection ended or must end.
    func failed(_ handler: RedisConnectionHandler<Self>, _ error: RedisError)
    /// Called every `keepAlive` while the connection lasts.
    func checkIdle(_ handler: RedisConnectionHandler<Self>)

    /// An attempt to connect did not get as far as `connected`. From anywhere.
    func attemptFailed(_ error: RedisError)
    /// Whether a connection became ready since this was last asked. From anywhere.
    func takeWasReady() -> Bool
    /// Why it makes no sense to try again, if so. From anywhere.
    var hopeless: RedisError? { get }
}

/// One connection of a link: bytes to replies, and nothing else.
// Safe because a channel handler is used on its channel's loop only, which is the link's.
final class RedisConnectionHandler<Core: RedisConnectionCore>: ChannelInboundHandler, @unchecked Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let core: Core
    private let reader: RedisReader
    private var context: ChannelHandlerContext?
    private var idleCheck: RepeatedTask?
    private var hasBegun = false
    private var hasEnded = false

    init(core: Core) throws(RedisError) {
        self.core = core
        reader = try RedisReader(replyBytesMax: core.options.limits.replyBytesMax)
    }

    /// The attempt succeeded (of several to one name, this is the one that is kept).
    func begin() {
        guard let context, context.channel.isActive else { return }
        hasBegun = true
        let interval = TimeAmount(core.options.limits.keepAlive)
        idleCheck = context.eventLoop.scheduleRepeatedTask(initialDelay: interval, delay: interval) {
            [self] _ in
            core.checkIdle(self)
        }
        core.connected(self)
    }

    func write(_ bytes: ByteBuffer) {
        context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
    }

    func close() {
        idleCheck?.cancel()
        idleCheck = nil
        context?.close(promise: nil)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) {
        idleCheck?.cancel()
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        let now = Moment.now
        core.heard(self, now: now)
        do throws(RedisError) {
            try bytes.withUnsafeReadableBytes { (bytes) throws(RedisError) in try reader.feed(bytes) }
            while let reply = try reader.next() {
                guard core.received(reply, from: self, now: now) else { return }
            }
        } catch {
            core.failed(self, error)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        core.readEnded(self)
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(RedisError(.lost, "Redis closed the connection"))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        end(RedisError(.lost, "the connection to Redis failed", cause: error))
        context.close(promise: nil)
    }

    /// Most of all TLS fails before there is anything for the core to lose.
    private func end(_ error: RedisError) {
        if hasBegun { core.failed(self, error) } else if !hasEnded { core.attemptFailed(error) }
        hasEnded = true
    }
}
