import HeraldCore
import HeraldWire
import Logging
import Synchronization

/// Tells senders what became of their deliveries: gathers receipts of all loops, and publishes one reply for each
/// sender and turn.
///
/// A reply that cannot be published is counted and not repeated: the sender's deadline says then that it does not
/// know. Tallies are held here until all of them is told, or the sender's patience is over.
final class Replier: Sendable {
    struct Counts: Sendable {
        var replies: UInt64 = 0
        var receipts: UInt64 = 0
        /// Receipts that could not be published.
        var lost: UInt64 = 0
        /// Deliveries that are followed now.
        var followed = 0
    }

    private struct Waiting {
        var called: [DeliveryTally] = []
        var opened: [DeliveryTally] = []
        var absent: [(sender: String, receipt: Receipt)] = []
        var counts = Counts()
    }

    private let node: NodeID
    private let logger: Logger
    private let signal = Signal()
    private let waiting = Mutex(Waiting())
    private let isFollowing = Atomic(false)

    /// How late a final receipt may be because nothing else happened; `OpenTallies` adds as much.
    private static let tick = Duration.milliseconds(50)

    init(node: NodeID, logger: Logger) {
        self.node = node
        self.logger = logger
    }

    var counts: Counts { waiting.withLock { $0.counts } }

    /// These are being delivered.
    func open(_ tallies: [DeliveryTally]) {
        guard !tallies.isEmpty else { return }
        waiting.withLock { $0.opened.append(contentsOf: tallies) }
        signal.raise()
    }

    /// These have news.
    func call(_ tallies: [DeliveryTally]) {
        guard !tallies.isEmpty else { return }
        waiting.withLock { $0.called.append(contentsOf: tallies) }
        signal.raise()
    }

    /// These targets are not on this node.
    func tell(_ absent: [(sender: String, receipt: Receipt)]) {
        guard !absent.isEmpty else { return }
        waiting.withLock { $0.absent.append(contentsOf: absent) }
        signal.raise()
    }

    /// Runs until the task is cancelled.
    func run(bus: some Bus) async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.tick)
                    if self.isFollowing.load(ordering: .relaxed) { self.signal.raise() }
                }
            }
            var open = OpenTallies()
            while await signal.next() { await takeTurn(&open, bus) }
            group.cancelAll()
        }
    }

    private func takeTurn(_ open: inout OpenTallies, _ bus: some Bus) async {
        let now = Moment.now()
        let (called, opened, absent) = waiting.withLock { waiting in
            defer { (waiting.called, waiting.opened, waiting.absent) = ([], [], []) }
            return (waiting.called, waiting.opened, waiting.absent)
        }
        open.add(opened)
        var bySender: [String: [Receipt]] = [:]
        for (sender, receipt) in absent { bySender[sender, default: []].append(receipt) }
        for tally in called + open.takeLate(at: now) {
            let receipts = tally.takeReceipts(at: now)
            if !receipts.isEmpty { bySender[tally.sender, default: []] += receipts }
        }
        let followed = open.count
        waiting.withLock { $0.counts.followed = followed }
        isFollowing.store(followed > 0, ordering: .relaxed)
        if !bySender.isEmpty { await publish(bySender, over: bus) }
    }

    private func publish(_ bySender: [String: [Receipt]], over bus: some Bus) async {
        let messages = bySender.map { sender, receipts in
            BusMessage(to: .sender(sender), bytes: Reply(node: node, receipts: receipts).encoded())
        }
        let count = UInt64(bySender.values.reduce(0) { $0 + $1.count })
        do throws(BusError) {
            _ = try await bus.publish(messages)
            waiting.withLock { waiting in
                waiting.counts.replies += UInt64(messages.count)
                waiting.counts.receipts += count
            }
        } catch {
            waiting.withLock { $0.counts.lost += count }
            logger.debug("Receipts could not be told", metadata: ["error": "\(error)"])
        }
    }
}

/// The deliveries that are followed, by when their senders stop waiting: each is asked once more then.
///
/// Those that are over before that stay until then: 15,000 for 5,000 a second and 3 s, of some 200 bytes.
struct OpenTallies {
    /// By the end of their patience, rounded up.
    private var slices: [Int64: [DeliveryTally]] = [:]
    private var first = Int64.max
    private(set) var count = 0

    private static let sliceMilliseconds: Int64 = 50

    mutating func add(_ opened: [DeliveryTally]) {
        for tally in opened {
            let slice = tally.until.milliseconds / Self.sliceMilliseconds + 1
            slices[slice, default: []].append(tally)
            first = min(first, slice)
        }
        count += opened.count
    }

    /// Those for which it is time.
    mutating func takeLate(at now: Moment) -> [DeliveryTally] {
        let current = now.milliseconds / Self.sliceMilliseconds
        guard first <= current else { return [] }
        var late: [DeliveryTally] = []
        for slice in slices.keys where slice <= current { late += slices.removeValue(forKey: slice) ?? [] }
        first = slices.keys.min() ?? .max
        count -= late.count
        return late
    }
}
