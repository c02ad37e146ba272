import Synchronization

/// What one loop shows to other threads: its counters as of its last turn.
final class LoopShared: Sendable {
    private let published = Mutex(SocketCounters())

    var counters: SocketCounters {
        get { published.withLock { $0 } }
        set { published.withLock { $0 = newValue } }
    }
}

/// What all loops' send queues hold together. Each loop adds its difference once per turn.
///
/// The budget is of resident memory, and frames are not all of that: they wait among buffers that come and go, whose
/// gaps are never quite filled. With 1,000 queues full of messages of 1.5, 8 and 30 KB the node had grown by 7, 14 and
/// 16 % more than the frames; so they get seven eighths.
final class NodeBudget: Sendable {
    private let held = Atomic<Int>(0)
    /// Of frames.
    let bytesMax: Int

    /// `bytesMax`: of memory.
    init(bytesMax: Int) {
        self.bytesMax = bytesMax - bytesMax / 8
    }

    /// Whether half of it is used, so that what may be left out is.
    var isHalfUsed: Bool { held.load(ordering: .relaxed) > bytesMax / 2 }

    /// - Parameters:
    ///   - difference: by how much the loop's queues have grown.
    ///   - own: what they hold now.
    /// - Returns: what the loop must free: its share of what is too much.
    func add(_ difference: Int, own: Int) -> Int {
        let total =
            difference == 0
            ? held.load(ordering: .relaxed)
            : held.add(difference, ordering: .relaxed).newValue
        guard total > bytesMax, own > 0 else { return 0 }
        let share = Double(own) / Double(total)
        return min(own, Int((Double(total - bytesMax) * share).rounded(.up)))
    }
}
