public import HeraldCore
public import NIOCore

/// The bus on Redis's classic pub/sub: one channel a node, `herald:to:{cloud-1}`,
/// and one for the replies to each sender, `herald:reply:{logic-1}`.
///
/// Publishing shares a command link with everything else, so envelopes leave in the order of the calls, in one
/// write a turn. Each listener has a connection of its own.
public final class RedisBus: Bus {
    private let link: RedisLink
    private let address: RedisAddress
    private let options: RedisLinkOptions
    private let loops: any EventLoopGroup
    private let keys: RedisKeys

    /// - Parameters:
    ///   - link: publishes; somebody else runs it.
    ///   - address: where listeners connect, the same Redis as the link's.
    ///   - options: for the listeners' connections.
    ///   - loops: where listeners run.
    ///   - prefix: goes before every channel's name, as before every key's.
    public init(
        link: RedisLink,
        address: RedisAddress,
        options: RedisLinkOptions = RedisLinkOptions(name: "herald-bus"),
        on loops: any EventLoopGroup,
        prefix: String = "herald:"
    ) {
        self.link = link
        self.address = address
        self.options = options
        self.loops = loops
        keys = RedisKeys(prefix: prefix)
    }

    public func publish(_ messages: [BusMessage]) async throws(BusError) -> [Int] {
        let replies: [RedisValue]
        do throws(RedisError) {
            replies = try await link.send(
                messages.map {
                    RedisCommand("PUBLISH", .text(keys.channel(to: $0.address)), .bytes($0.bytes))
                }
            )
        } catch {
            throw BusError(error.description)
        }
        var counts: [Int] = []
        counts.reserveCapacity(replies.count)
        for reply in replies {
            guard case .integer(let count) = reply else {
                throw BusError(reply.failure?.description ?? "PUBLISH was answered by no number")
            }
            counts.append(Int(count))
        }
        return counts
    }

    /// - Throws: `CancellationError`; or a `RedisError`, `refused` when Redis refused the first login of all or
    ///   does not let this user subscribe, `badConfiguration` when the certificates cannot be used.
    public func listen(to address: BusAddress, _ receive: @escaping @Sendable (BusEvent) -> Void) async throws
    {
        let subscription = try RedisSubscription(
            to: self.address,
            channels: [keys.channel(to: address)],
            options: options,
            on: loops.next()
        ) { event in
            switch event {
            case .subscribed: receive(.subscribed)
            case .messages(let messages, _): receive(.messages(messages))
            case .lost(let reason): receive(.lost(reason))
            }
        }
        try await subscription.runUntilCancelled()
        throw CancellationError()
    }
}
