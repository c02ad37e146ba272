import Glibc

/// Deadlines of many sockets: a hierarchical timing wheel (Varghese and Lauck, 1987), decisions only.
///
/// Four wheels of 64 buckets: of one tick each, of 64, 4,096 and 262,144. Setting and unsetting cost a few
/// stores, whatever the number of deadlines; an entry comes down a wheel at most three times. A bitmap
/// per wheel tells where the next deadline is, so an idle loop sleeps until then and no tick is wasted.
/// A heap would cost the logarithm and a place to remember per entry; a sorted list, a search.
///
/// Time is a number of ticks handed in by the caller. Entries are numbers below `capacity`, each with at
/// most one deadline. Owns its nodes; those never used stay untouched pages of zeros.
struct TimerWheel: ~Copyable {
    private let nodes: UnsafeMutablePointer<Node>
    private let capacity: Int
    /// First entry of each bucket, as entry + 1; the last list holds what has expired.
    private var heads = InlineArray<257, Int32>(repeating: 0)
    private var occupied = InlineArray<4, UInt64>(repeating: 0)
    private(set) var now: UInt64
    private(set) var count = 0

    /// Trivial, and valid as zeros: in no list. Links are entry + 1, so that zero is none.
    private struct Node {
        var next: Int32
        var previous: Int32
        /// Number of the list + 1.
        var list: UInt16
        var due: UInt64
    }

    private static let expired = 256
    /// The farthest deadline the wheels can tell from a nearer one; later ones go round again.
    private static let spanTicks: UInt64 = 1 << 24

    init(capacity: Int, now: UInt64) {
        let memory = calloc(max(capacity, 1), MemoryLayout<Node>.stride)
        guard let memory else { preconditionFailure("no address space for \(capacity) timers") }
        nodes = memory.bindMemory(to: Node.self, capacity: capacity)
        self.capacity = capacity
        self.now = now
    }

    deinit {
        free(nodes)
    }

    /// Sets the entry's deadline, in place of any it had. A deadline that is not later than `now` comes with
    /// the next tick.
    mutating func set(_ entry: Int, due: UInt64) {
        precondition(entry >= 0 && entry < capacity, "an entry is a number below the capacity")
        cancel(entry)
        nodes[entry].due = max(due, now + 1)
        insert(entry)
        count += 1
    }

    mutating func cancel(_ entry: Int) {
        precondition(entry >= 0 && entry < capacity, "an entry is a number below the capacity")
        guard nodes[entry].list != 0 else { return }
        unlink(entry)
        count -= 1
    }

    /// The tick at which there is next something to do, never later than the next deadline.
    var nextTick: UInt64? {
        heads[Self.expired] != 0 ? now : nextOccupiedTick
    }

    /// Moves time; what has come due is then answered by `popExpired`.
    mutating func advance(to tick: UInt64) {
        while let next = nextOccupiedTick, next <= tick {
            now = next
            for level in [3, 2, 1] where now & ((1 << (UInt64(level) * 6)) - 1) == 0 {
                redistribute(level: level)
            }
            expireBucket()
        }
        now = max(now, tick)
    }

    /// An entry that came due, in no particular order; it has no deadline any more.
    mutating func popExpired() -> Int? {
        guard heads[Self.expired] != 0 else { return nil }
        let entry = Int(heads[Self.expired]) - 1
        unlink(entry)
        count -= 1
        return entry
    }
}

extension TimerWheel {
    /// Where the next bucket is that is not empty, on any wheel.
    private var nextOccupiedTick: UInt64? {
        var nearest: UInt64?
        for level in 0..<4 where occupied[level] != 0 {
            let shift = UInt64(level) * 6
            let position = now >> shift
            // Turn the bitmap so that the bucket after the current one comes first.
            let turn = (position + 1) & 63
            let turned = occupied[level] >> turn | occupied[level] << ((64 - turn) & 63)
            let tick = (position + 1 + UInt64(turned.trailingZeroBitCount)) << shift
            nearest = min(nearest ?? tick, tick)
        }
        return nearest
    }

    private mutating func redistribute(level: Int) {
        let bucket = level * 64 + Int((now >> (UInt64(level) * 6)) & 63)
        while heads[bucket] != 0 {
            let entry = Int(heads[bucket]) - 1
            unlink(entry)
            insert(entry)
        }
    }

    private mutating func expireBucket() {
        let bucket = Int(now & 63)
        while heads[bucket] != 0 {
            let entry = Int(heads[bucket]) - 1
            unlink(entry)
            link(entry, to: Self.expired)
        }
    }

    private mutating func insert(_ entry: Int) {
        let due = min(nodes[entry].due, now + Self.spanTicks - 1)
        let level =
            switch due - now {
            case ..<(1 << 6): 0
            case ..<(1 << 12): 1
            case ..<(1 << 18): 2
            default: 3
            }
        link(entry, to: level * 64 + Int((due >> (UInt64(level) * 6)) & 63))
    }

    private mutating func link(_ entry: Int, to list: Int) {
        let head = heads[list]
        if head != 0 { nodes[Int(head) - 1].previous = Int32(entry) + 1 }
        nodes[entry].next = head
        nodes[entry].previous = 0
        nodes[entry].list = UInt16(list + 1)
        heads[list] = Int32(entry) + 1
        if list < Self.expired { occupied[list >> 6] |= 1 << UInt64(list & 63) }
    }

    private mutating func unlink(_ entry: Int) {
        let node = nodes[entry]
        let list = Int(node.list) - 1
        if node.next != 0 { nodes[Int(node.next) - 1].previous = node.previous }
        if node.previous != 0 {
            nodes[Int(node.previous) - 1].next = node.next
        } else {
            heads[list] = node.next
            if node.next == 0, list < Self.expired { occupied[list >> 6] &= ~(1 << UInt64(list & 63)) }
        }
        nodes[entry].list = 0
    }
}
