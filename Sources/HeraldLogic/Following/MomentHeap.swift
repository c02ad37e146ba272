/// Moments and what is due then, the earliest first: a binary heap.
///
/// Nothing is taken out before its time. What is settled earlier stays until its moment comes: 16 bytes each.
struct MomentHeap: Sendable {
    private var entries: [(moment: Duration, number: UInt64)] = []

    var first: (moment: Duration, number: UInt64)? { entries.first }
    var count: Int { entries.count }

    mutating func insert(_ number: UInt64, at moment: Duration) {
        entries.append((moment, number))
        var child = entries.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard entries[child].moment < entries[parent].moment else { return }
            entries.swapAt(child, parent)
            child = parent
        }
    }

    /// Takes out the earliest.
    mutating func removeFirst() {
        guard entries.count > 1 else {
            entries = []
            return
        }
        entries[0] = entries.removeLast()
        var parent = 0
        while true {
            var least = parent
            for child in [2 * parent + 1, 2 * parent + 2] where child < entries.count {
                if entries[child].moment < entries[least].moment { least = child }
            }
            guard least != parent else { return }
            entries.swapAt(parent, least)
            parent = least
        }
    }

    /// Takes out the earliest if its moment has come.
    mutating func takeDue(at now: Duration) -> UInt64? {
        guard let first, first.moment <= now else { return nil }
        removeFirst()
        return first.number
    }
}
