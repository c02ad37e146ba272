// A link for subscriptions. RESP2 has no push type, so a connection that subscribes can do nothing else, and a
// subscription has a connection of its own.
//
// Redis cuts a subscriber that lets more than 8 MB lie for a minute (or 32 MB at all), and all that lay there is
// gone. So the reading side only hands over: everything that one read brought goes to the receiver in one call.

public import NIOCore
public import ServiceLifecycle

/// What a subscription tells its receiver, in order, one call at a time.
public enum RedisSubscriptionEvent: Sendable, Equatable {
    /// Every channel is subscribed: what is published from now on arrives.
    case subscribed
    /// What one read brought of one channel, oldest first.
    case messages([[UInt8]], channel: String)
    /// Messages may be missing from now on, until the next `subscribed`. The text is for logs.
    case lost(String)
}

/// Listens on channels for as long as `run()` runs, through every reconnect.
public final class RedisSubscription: Service {
    private let core: RedisSubscriptionCore
    private let connector: RedisConnector

    /// - Parameters:
    ///   - address: the Redis to listen at.
    ///   - channels: at least one.
    ///   - options: as a link's.
    ///   - loop: lives at least as long as the subscription.
    ///   - receive: called on the loop: it may only hand over.
    /// - Throws: `badConfiguration` when there is no channel or the certificates cannot be used.
    public convenience init(
        to address: RedisAddress,
        channels: [String],
        options: RedisLinkOptions = RedisLinkOptions(),
        on loop: any EventLoop,
        receive: @escaping @Sendable (RedisSubscriptionEvent) -> Void
    ) throws(RedisError) {
        try self.init(to: address, channels: channels, options: options, on: loop, receive: receive) {}
    }

    /// As the public one; `heard` is called on the loop after each read, whatever it brought.
    init(
        to address: RedisAddress,
        channels: [String],
        options: RedisLinkOptions,
        on loop: any EventLoop,
        receive: @escaping @Sendable (RedisSubscriptionEvent) -> Void,
        heard: @escaping @Sendable () -> Void
    ) throws(RedisError) {
        guard !channels.isEmpty else { throw RedisError(.badConfiguration, "a subscription needs a channel") }
        connector = try RedisConnector(address: address, options: options, loop: loop)
        core = RedisSubscriptionCore(
            address: address,
            channels: channels,
            options: options,
            loop: loop,
            receive: receive,
            heard: heard
        )
    }

    /// Subscribes, and again whenever the connection is lost, until the service is shut down or the task is
    /// cancelled. Nothing is received after it has returned. May be called once.
    ///
    /// - Throws: `refused` when Redis refused the first attempt of all. Later refusals are tried again, since
    ///   passwords change.
    public func run() async throws {
        try await cancelWhenGracefulShutdown { try await self.runUntilCancelled() }
    }

    func runUntilCancelled() async throws(RedisError) {
        do throws(RedisError) {
            try await connector.keepConnected(core, cancelled: { [core] in core.stop() })
        } catch {
            await core.stopped()
            throw error
        }
        await core.stopped()
    }

    /// Gives the present connection up, whatever it looks like, and makes a new one.
    func rebuild(_ reason: String) { core.rebuild(reason) }

    /// How the connection is doing; `ready` means subscribed. The counts of commands stay 0.
    public var status: RedisLinkStatus { core.board.status }

    /// The status now and after each change of phase, and after each reconnect.
    public func statusChanges() -> AsyncStream<RedisLinkStatus> { core.board.changes() }
}
