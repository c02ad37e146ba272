import HeraldCore
import HeraldSockets
import HeraldWire
import Logging
import Synchronization

/// Takes this node's envelopes from the bus and hands them to the loops, ready to be sent.
///
/// The bus calls `receive` on its own thread, which only hands over: Redis cuts a subscriber that reads too
/// slowly (LESSONS.md 10). One task decodes and encodes what has come meanwhile, and gives each loop one batch
/// with one wake-up. What waits is bounded in bytes, here and for each loop; what comes beyond is dropped and
/// counted.
final class BusInbox: Sendable {
    struct Counts: Sendable {
        var envelopes: UInt64 = 0
        var bad: UInt64 = 0
        /// Envelopes for which there was no room.
        var dropped: UInt64 = 0
        /// Times the subscription was lost.
        var lost: UInt64 = 0
        /// Times messages were missing for good.
        var gaps: UInt64 = 0
        var batches: UInt64 = 0
        /// Batches that a loop had no room for.
        var batchesDropped: UInt64 = 0
    }

    private struct Backlog {
        var messages: [[UInt8]] = []
        var bytes = 0
        /// Deliveries are lost: who follows an inbox looks there.
        var isDoubted = false
        var counts = Counts()
        var complainedAt = Moment.past
    }

    /// Bytes of envelopes that may wait to be decoded: a second and more of it, and below what Redis would keep
    /// for a slow subscriber.
    static let bytesMax = 32 * 1024 * 1024
    /// Envelopes of one batch, so that a long backlog reaches the loops in portions.
    static let batchMax = 256
    /// Bad envelopes are logged this often at most.
    private static let complaint = Duration.seconds(60)

    private let keeper: RouteKeeper
    private let replier: Replier
    private let gauges: [LoopGauges]
    private let status: NodeStatus
    private let logger: Logger
    private let signal = Signal()
    private let backlog = Mutex(Backlog())

    init(
        keeper: RouteKeeper,
        replier: Replier,
        gauges: [LoopGauges],
        status: NodeStatus,
        logger: Logger
    ) {
        self.keeper = keeper
        self.replier = replier
        self.gauges = gauges
        self.status = status
        self.logger = logger
    }

    var counts: Counts { backlog.withLock { $0.counts } }

    /// For `Bus.listen`: only hands over.
    func receive(_ event: BusEvent) {
        switch event {
        case .subscribed: status.subscriptionChanged(isLive: true)
        case .lost(let reason):
            backlog.withLock { $0.counts.lost += 1 }
            status.subscriptionChanged(isLive: false)
            logger.warning(
                "The subscription is lost; messages may be missing until it is back",
                metadata: ["reason": "\(reason)"]
            )
        case .gap(let reason):
            backlog.withLock { backlog in
                backlog.counts.gaps += 1
                backlog.isDoubted = true
            }
            signal.raise()
            logger.warning(
                "Messages to this node may be lost for good, except those that are kept in inboxes",
                metadata: ["reason": "\(reason)"]
            )
        case .messages(let messages):
            backlog.withLock { backlog in
                for message in messages {
                    guard backlog.bytes + message.count <= Self.bytesMax else {
                        backlog.counts.dropped += 1
                        backlog.isDoubted = true
                        continue
                    }
                    backlog.bytes += message.count
                    backlog.messages.append(message)
                }
            }
            signal.raise()
        }
    }

    /// Runs until the task is cancelled.
    func run(ports: [LoopPort<SessionCommand>]) async {
        while await signal.next() {
            while true {
                let messages = take()
                guard !messages.isEmpty else { break }
                handOver(messages, to: ports)
            }
            if takeDoubt() { for port in ports { _ = port.post([.doubtInboxes(turn: 0, of: 1)]) } }
        }
    }

    private func takeDoubt() -> Bool {
        backlog.withLock { backlog in
            defer { backlog.isDoubted = false }
            return backlog.isDoubted
        }
    }

    private func take() -> [[UInt8]] {
        backlog.withLock { backlog in
            let taken = Array(backlog.messages.prefix(Self.batchMax))
            backlog.messages.removeFirst(taken.count)
            backlog.bytes -= taken.reduce(0) { $0 + $1.count }
            return taken
        }
    }

    private func handOver(_ messages: [[UInt8]], to ports: [LoopPort<SessionCommand>]) {
        var envelopes: [Envelope] = []
        var closes: [RouteKeeper.Event] = []
        var bad = 0
        for message in messages {
            do throws(WireError) {
                let envelope = try Envelope(wire: message)
                if !envelope.deliveries.isEmpty { envelopes.append(envelope) }
                for order in envelope.closes { closes.append(.closeOrdered(order)) }
            } catch {
                bad += 1
                complain(error)
            }
        }
        let dropped = envelopes.isEmpty ? 0 : deliver(envelopes, to: ports)
        keeper.post(closes)
        backlog.withLock { backlog in
            backlog.counts.envelopes += UInt64(messages.count - bad)
            backlog.counts.bad += UInt64(bad)
            backlog.counts.batches += envelopes.isEmpty ? 0 : 1
            backlog.counts.batchesDropped += UInt64(dropped)
        }
    }

    /// - Returns: how many loops had no room for it.
    private func deliver(_ envelopes: [Envelope], to ports: [LoopPort<SessionCommand>]) -> Int {
        let batch = DeliveryBatch(envelopes, loops: ports.count, at: .now())
        replier.open(batch.tallies)
        var dropped = 0
        for (port, gauge) in zip(ports, gauges) {
            let isFull = gauge.waitingBytes.load(ordering: .relaxed) > LoopGauges.waitingBytesMax
            if !isFull { gauge.waitingBytes.wrappingAdd(batch.byteCount, ordering: .relaxed) }
            guard !isFull, port.post([.deliver(batch)]) else {
                if !isFull { gauge.waitingBytes.wrappingSubtract(batch.byteCount, ordering: .relaxed) }
                dropped += 1
                batch.refuse()
                _ = port.post([.doubtInboxes(turn: 0, of: 1)])
                continue
            }
        }
        return dropped
    }

    private func complain(_ error: WireError) {
        let now = Moment.now()
        let isDue = backlog.withLock { backlog in
            guard backlog.complainedAt + Self.complaint <= now else { return false }
            backlog.complainedAt = now
            return true
        }
        guard isDue else { return }
        logger.warning(
            "An envelope on this node's channel could not be read and was skipped",
            metadata: ["error": "\(error)"]
        )
    }
}
