import HeraldCore
import HeraldSockets
import HeraldWire
import Logging
import Synchronization

/// Takes this node's envelopes from the bus and hands them to the loops, ready to be sent.
///
/// It decodes and encodes on the bus's own thread: 2 to 3 µs a delivery, half of what publishing it costs Redis, so
/// a subscriber that does only that is never the slow one whom Redis cuts (LESSONS.md 10). A task between would add
/// a thread's wake-up to each message that comes alone: 5 µs of CPU of 50 at 5,000 single deliveries a second.
/// What one read brought becomes one batch with one wake-up for each loop. What waits is bounded in bytes for each
/// loop; what comes beyond is dropped and counted.
final class BusInbox: Sendable {
    struct Counts: Sendable {
        var envelopes: UInt64 = 0
        var bad: UInt64 = 0
        /// Times the subscription was lost.
        var lost: UInt64 = 0
        /// Times messages were missing for good.
        var gaps: UInt64 = 0
        var batches: UInt64 = 0
        /// Batches that a loop had no room for.
        var batchesDropped: UInt64 = 0
    }

    private struct State {
        var counts = Counts()
        var complainedAt = Moment.past
    }

    /// Envelopes of one batch, so that a long backlog reaches the loops in portions.
    static let batchMax = 256
    /// Bad envelopes are logged this often at most.
    private static let complaint = Duration.seconds(60)

    private let keeper: RouteKeeper
    private let replier: Replier
    private let gauges: [LoopGauges]
    private let status: NodeStatus
    private let logger: Logger
    private let state = Mutex(State())

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

    var counts: Counts { state.withLock { $0.counts } }

    /// For `Bus.listen`: one call at a time.
    func receive(_ event: BusEvent, for ports: [LoopPort<SessionCommand>]) {
        switch event {
        case .subscribed:
            status.subscriptionChanged(isLive: true)
            keeper.post([.redisReturned])
        case .lost(let reason):
            state.withLock { $0.counts.lost += 1 }
            status.subscriptionChanged(isLive: false)
            logger.warning(
                "The subscription is lost; messages may be missing until it is back",
                metadata: ["reason": "\(reason)"]
            )
        case .gap(let reason):
            state.withLock { $0.counts.gaps += 1 }
            for port in ports { _ = port.post([.doubtInboxes(turn: 0, of: 1)]) }
            logger.warning(
                "Messages to this node may be lost for good, except those that are kept in inboxes",
                metadata: ["reason": "\(reason)"]
            )
        case .messages(let messages):
            var rest = messages[...]
            while !rest.isEmpty {
                handOver(rest.prefix(Self.batchMax), to: ports)
                rest = rest.dropFirst(Self.batchMax)
            }
        }
    }

    private func handOver(_ messages: ArraySlice<[UInt8]>, to ports: [LoopPort<SessionCommand>]) {
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
        state.withLock { state in
            state.counts.envelopes += UInt64(messages.count - bad)
            state.counts.bad += UInt64(bad)
            state.counts.batches += envelopes.isEmpty ? 0 : 1
            state.counts.batchesDropped += UInt64(dropped)
        }
    }

    /// - Returns: how many loops had no room for it.
    private func deliver(_ envelopes: [Envelope], to ports: [LoopPort<SessionCommand>]) -> Int {
        let wanted = loops(for: envelopes)
        let batch = DeliveryBatch(envelopes, loops: wanted.count, at: .now())
        replier.open(batch.tallies)
        let isLittle = wanted.count == 1 && batch.isLittle
        var dropped = 0
        for loop in wanted {
            let (port, gauge) = (ports[loop], gauges[loop])
            let isFull = gauge.waitingBytes.load(ordering: .relaxed) > LoopGauges.waitingBytesMax
            if !isFull { gauge.waitingBytes.wrappingAdd(batch.byteCount, ordering: .relaxed) }
            guard !isFull, port.post([.deliver(batch)], here: isLittle) else {
                if !isFull { gauge.waitingBytes.wrappingSubtract(batch.byteCount, ordering: .relaxed) }
                dropped += 1
                batch.refuse()
                _ = port.post([.doubtInboxes(turn: 0, of: 1)])
                continue
            }
        }
        return dropped
    }

    /// The loops that may have a target; one at least, which finds out that nobody has.
    private func loops(for envelopes: [Envelope]) -> [Int] {
        guard gauges.count > 1 else { return [0] }
        let hashes = envelopes.flatMap { envelope in
            envelope.deliveries.flatMap { $0.targets.map(LoopDirectory.hash) }
        }
        let wanted = gauges.indices.filter { gauges[$0].directory?.mayHave(hashes) ?? true }
        return wanted.isEmpty ? [0] : wanted
    }

    private func complain(_ error: WireError) {
        let now = Moment.now()
        let isDue = state.withLock { state in
            guard state.complainedAt + Self.complaint <= now else { return false }
            state.complainedAt = now
            return true
        }
        guard isDue else { return }
        logger.warning(
            "An envelope on this node's channel could not be read and was skipped",
            metadata: ["error": "\(error)"]
        )
    }
}

extension DeliveryBatch {
    /// A few deliveries to one user or key each: a loop that sleeps is not woken for them. With more it is, so that
    /// the bus's thread reads on while the loop writes.
    fileprivate var isLittle: Bool {
        items.count <= 4 && items.allSatisfy { $0.way == .direct && $0.parts.count == 1 }
    }
}
