import HeraldCore
import HeraldSockets
import Synchronization

/// What all loops of a node have in common: constants, and the parts they post to.
final class NodeContext: Sendable {
    let node: NodeID
    let limits: Limits
    /// What may wait for one socket.
    let queueBytesMax: Int
    let origins: OriginRule
    let keeper: RouteKeeper
    let status: NodeStatus
    let inbox: BusInbox
    let replier: Replier
    let inboxReader: InboxReader
    let gauges: [LoopGauges]
    private let moreMetrics: @Sendable () -> [Metric]
    /// Set when the engine was made.
    private let socketCounters = Mutex<@Sendable () -> SocketCounters>({ SocketCounters() })

    init(
        _ configuration: CloudConfiguration,
        keeper: RouteKeeper,
        status: NodeStatus,
        inbox: BusInbox,
        replier: Replier,
        inboxReader: InboxReader,
        gauges: [LoopGauges],
        moreMetrics: @escaping @Sendable () -> [Metric]
    ) {
        node = configuration.node
        limits = configuration.limits
        queueBytesMax = configuration.socketLimits.sendQueueBytesMax
        origins = OriginRule(allowed: configuration.allowedOrigins)
        self.keeper = keeper
        self.status = status
        self.inbox = inbox
        self.replier = replier
        self.inboxReader = inboxReader
        self.gauges = gauges
        self.moreMetrics = moreMetrics
    }

    func countSockets(with counters: @escaping @Sendable () -> SocketCounters) {
        socketCounters.withLock { $0 = counters }
    }

    var loopValues: LoopGauges.Values {
        var values = LoopGauges.Values()
        for gauge in gauges { gauge.add(to: &values) }
        return values
    }

    var metrics: NodeMetrics {
        let counters = socketCounters.withLock { $0 }
        return NodeMetrics(
            sockets: counters(),
            loops: loopValues,
            inbox: inbox.counts,
            replier: replier.counts,
            pages: inboxReader.counts,
            more: moreMetrics(),
            keeper: keeper.snapshot,
            status: status.current,
            now: .now()
        )
    }

    /// Why the node should get no new clients; empty when it should.
    var reasonsNotReady: [String] {
        let keeper = keeper.snapshot
        // A lease that the keeper has not heard of yet is one under which nothing is written.
        let isBehind = status.current.lease.map { $0.incarnation != keeper.incarnation } ?? false
        return status.reasonsNotReady(
            at: .now(),
            isRebuilding: keeper.isRebuilding || isBehind,
            isTrouble: keeper.isTrouble
        )
    }
}
