// One listener: a subscription, and the command link beside it for what a subscription cannot do itself: send the
// probe, and read from the hop what was missed.

import HeraldCore
internal import NIOCore

/// Listens on one channel and repairs what it missed.
struct RedisBusListener: Sendable {
    private let subscription: RedisSubscription
    private let core: RedisBusListenerCore
    private let jobs: AsyncStream<RedisBusListenerCore.Job>
    private let link: RedisLink
    private let limits: RedisBusLimits
    private let keys: RedisKeys
    private let address: BusAddress

    /// - Throws: `badConfiguration` when the certificates cannot be used.
    init(
        to address: BusAddress,
        at redis: RedisAddress,
        beside link: RedisLink,
        keys: RedisKeys,
        limits: RedisBusLimits,
        options: RedisLinkOptions,
        on loop: any EventLoop,
        receive: @escaping @Sendable (BusEvent) -> Void
    ) throws(RedisError) {
        // The hop and the probe have one job each under way at a time.
        let (jobs, order) = AsyncStream.makeStream(of: RedisBusListenerCore.Job.self)
        let core = RedisBusListenerCore(
            to: address,
            limits: limits,
            loop: loop,
            logger: options.logger,
            receive: receive,
            order: { order.yield($0) }
        )
        var options = options
        // The probe knows better than a PING, and concludes nothing from a Redis that is silent to everybody.
        options.limits.keepAlive = .seconds(24 * 3600)
        subscription = try RedisSubscription(
            to: redis,
            channels: [keys.channel(to: address)],
            options: options,
            on: loop,
            receive: { core.received($0) },
            heard: { core.heard() }
        )
        self.core = core
        self.jobs = jobs
        self.link = link
        self.limits = limits
        self.keys = keys
        self.address = address
    }

    /// Listens until the task is cancelled. Nothing is received after it has returned.
    ///
    /// - Throws: `refused` when Redis refused the first attempt of all.
    func run() async throws(RedisError) {
        let result = await withTaskGroup(of: Result<Void, RedisError>?.self) { group in
            group.addTask {
                do throws(RedisError) {
                    return .success(try await subscription.runUntilCancelled())
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                await work()
                return nil
            }
            var result: Result<Void, RedisError> = .success(())
            for await ended in group {
                guard let ended else { continue }
                result = ended
                group.cancelAll()
            }
            return result
        }
        await core.stop()
        try result.get()
    }

    private func work() async {
        await withDiscardingTaskGroup { group in
            for await job in jobs {
                switch job {
                case .probe(let attempt): group.addTask { core.perform(await probe(attempt)) }
                case .read(let after, let round):
                    group.addTask { core.perform(await read(after: after, round: round)) }
                case .rebuild(let reason): subscription.rebuild(reason)
                }
            }
            group.cancelAll()
        }
    }

    private func probe(_ attempt: Int) async -> RedisBusListenerCore.Outcome {
        let channel = keys.channel(to: address)
        let command =
            switch address {
            case .node(let node):
                RedisScript.busProbe.call(
                    keys: [keys.hop(of: node), keys.hopNumber(of: node), channel],
                    [
                        .integer(limits.hopAgeMax.wholeMilliseconds),
                        .integer(limits.hopLinger.wholeMilliseconds),
                    ]
                )
            case .sender: RedisCommand("PUBLISH", .text(channel), .bytes(BusPacket.plainProbe))
            }
        do throws(RedisError) {
            try await link.send(command)
            return .probeTaken(attempt)
        } catch {
            return .probeFailed(attempt, error)
        }
    }

    private func read(after id: HopID, round: Int) async -> RedisBusListenerCore.Outcome {
        guard case .node(let node) = address else { return .read([], isLast: true, round: round) }
        do throws(RedisError) {
            let reply = try await link.send(
                RedisCommand(
                    "XRANGE",
                    .text(keys.hop(of: node)),
                    "(\(id.description)",
                    "+",
                    "COUNT",
                    .integer(Int64(limits.hopPage))
                )
            )
            let entries = reply.elements ?? []
            let page = entries.compactMap { HopMessage(entry: $0) }
            guard page.count == entries.count else {
                let error = RedisError(.protocolViolated, "the hop of \(node) holds what is no message")
                return .readFailed(round: round, error)
            }
            return .read(page, isLast: page.count < limits.hopPage, round: round)
        } catch {
            return .readFailed(round: round, error)
        }
    }
}
