// A message to a node is one script in one slot: it numbers the message, appends it to the node's hop and publishes
// it (bus_publish.lua, hop.lua). That takes 5.8 µs of Redis 7.0's CPU where a plain PUBLISH takes 0.8 (300 bytes, one
// subscriber, 32 commands pipelined on each of 4 connections). How long the hop is matters little: with 100 or 1,000
// messages instead of 16,384 it is 5.7. The number is 0.8 of it; letting the hop expire with each message would be
// 1.2 more, so that is done with each 64th. With the append-only file it is 1.6 more, and 506 bytes of file.
//
// Considered and left: XADD and PUBLISH without a script, which cost 1.2 and 0.8 µs, but let two senders' messages
// stand in the stream in another order than they went out, and have no numbers; and ids of our own instead of
// numbers beside Redis's, which do not show a Redis that went back and was written to again.

public import HeraldCore
public import NIOCore

/// The bus on Redis's classic pub/sub: one channel a node, `herald:to:{cloud-1}`, with a stream beside it,
/// `herald:hop:{cloud-1}`, and one channel for the replies to each sender, `herald:reply:{logic-1}`.
///
/// Publishing shares a command link with everything else, so envelopes leave in the order of the calls, in one
/// write a turn. Only a `SCRIPT FLUSH` in the middle of calls that one sender makes side by side lets them change
/// places. Each listener has a connection of its own, and uses the link to probe it and to repair.
public final class RedisBus: Bus {
    let link: RedisLink
    private let address: RedisAddress
    private let options: RedisLinkOptions
    private let loops: any EventLoopGroup
    let keys: RedisKeys
    private let limits: RedisBusLimits

    /// - Parameters:
    ///   - link: publishes, probes and repairs; somebody else runs it. A listener needs it to become subscribed.
    ///   - address: where listeners connect, the same Redis as the link's.
    ///   - options: for the listeners' connections.
    ///   - limits: what a hop keeps, and when a listener doubts its connection.
    ///   - loops: where listeners run.
    ///   - prefix: goes before every channel's name, as before every key's.
    public init(
        link: RedisLink,
        address: RedisAddress,
        options: RedisLinkOptions = RedisLinkOptions(name: "herald-bus"),
        limits: RedisBusLimits = RedisBusLimits(),
        on loops: any EventLoopGroup,
        prefix: String = "herald:"
    ) {
        self.link = link
        self.address = address
        self.options = options
        self.limits = limits
        self.loops = loops
        keys = RedisKeys(prefix: prefix)
    }

    public func publish(_ messages: [BusMessage]) async throws(BusError) -> [Int] {
        let replies: [RedisValue]
        do throws(RedisError) {
            replies = try await link.send(messages.map(command))
        } catch {
            throw BusError(error.description)
        }
        var counts: [Int] = []
        counts.reserveCapacity(replies.count)
        for reply in replies {
            guard case .integer(let count) = reply else {
                throw BusError(reply.failure?.description ?? "a message was answered by no number")
            }
            counts.append(Int(count))
        }
        return counts
    }

    private func command(_ message: BusMessage) -> RedisCommand {
        let channel = keys.channel(to: message.address)
        switch message.address {
        case .node(let node):
            return RedisScript.busPublish.call(
                keys: [keys.hop(of: node), keys.hopNumber(of: node), channel],
                hopArguments(message.bytes)
            )
        case .sender:
            return RedisCommand(
                "PUBLISH",
                .text(channel),
                .bytes(BusPacket.reply(packed: message.bytes))
            )
        }
    }

    /// What hop.lua wants to know.
    func hopArguments(_ envelope: [UInt8]) -> [RedisArgument] {
        [
            .bytes(envelope), .integer(Int64(limits.hopEntriesMax)), .integer(Int64(limits.hopBytesMax)),
            .integer(limits.hopAgeMax.wholeMilliseconds), .integer(limits.hopLinger.wholeMilliseconds),
        ]
    }

    /// - Throws: `CancellationError`; or a `RedisError`, `refused` when Redis refused the first login of all or
    ///   does not let this user subscribe, `badConfiguration` when the certificates cannot be used.
    public func listen(to address: BusAddress, _ receive: @escaping @Sendable (BusEvent) -> Void) async throws
    {
        let listener = try RedisBusListener(
            to: address,
            at: self.address,
            beside: link,
            keys: keys,
            limits: limits,
            options: options,
            on: loops.next(),
            receive: receive
        )
        try await listener.run()
        throw CancellationError()
    }
}
