/// Finds the slots of an array by the hash of what stands in them.
///
/// A hash table that holds no keys: 8 bytes a bucket (the hash's lower half and the slot), linear probing,
/// removal by shifting back. A `Dictionary<UserKey, Int>` would hold every name a second time, 40 bytes an entry
/// more, and hash all of them again when it grows. Several slots may have the same hash, or even equal
/// contents: the caller compares.
struct SlotIndex: Sendable {
    private struct Bucket: Sendable {
        var hash: UInt32 = 0
        /// The slot plus one; zero is an empty bucket.
        var entry: UInt32 = 0
    }

    /// Where a search is.
    struct Cursor {
        fileprivate var position: Int
        fileprivate let hash: UInt32
    }

    private(set) var count = 0
    private var buckets: [Bucket] = []

    /// Starts a search for the slots of a hash, to be continued with `next`. The index must not change meanwhile.
    func search(_ hash: Int) -> Cursor {
        let hash = Self.folded(hash)
        return Cursor(position: home(hash), hash: hash)
    }

    /// The next slot that was inserted with the cursor's hash; nil when there are no more.
    func next(_ cursor: inout Cursor) -> Int? {
        guard !buckets.isEmpty else { return nil }
        while true {
            let bucket = buckets[cursor.position]
            guard bucket.entry != 0 else { return nil }
            cursor.position = after(cursor.position)
            if bucket.hash == cursor.hash { return Int(bucket.entry) - 1 }
        }
    }

    /// The first slot of that hash that the caller takes for equal.
    func first(_ hash: Int, where matches: (Int) -> Bool) -> Int? {
        var cursor = search(hash)
        while let slot = next(&cursor) {
            if matches(slot) { return slot }
        }
        return nil
    }

    mutating func insert(_ slot: Int, hash: Int) {
        if (count + 1) * 4 > buckets.count * 3 { rebuild(max(16, buckets.count * 2)) }
        place(Bucket(hash: Self.folded(hash), entry: UInt32(slot + 1)))
        count += 1
    }

    mutating func remove(_ slot: Int, hash: Int) {
        guard var hole = position(of: slot, hash: hash) else { return }
        count -= 1
        var position = after(hole)
        while buckets[position].entry != 0 {
            let home = home(buckets[position].hash)
            let isHomeBetween =
                hole <= position ? hole < home && home <= position : hole < home || home <= position
            if !isHomeBetween {
                buckets[hole] = buckets[position]
                hole = position
            }
            position = after(position)
        }
        buckets[hole] = Bucket()
        if buckets.count > 64, count * 8 < buckets.count { rebuild(buckets.count / 2) }
    }

    /// Puts another slot in the place of one with the same hash.
    mutating func replace(_ slot: Int, with other: Int, hash: Int) {
        guard let position = position(of: slot, hash: hash) else { return }
        buckets[position].entry = UInt32(other + 1)
    }

    private static func folded(_ hash: Int) -> UInt32 { UInt32(truncatingIfNeeded: hash) }

    private func home(_ hash: UInt32) -> Int { Int(hash) & (buckets.count - 1) }

    private func after(_ position: Int) -> Int { (position + 1) & (buckets.count - 1) }

    private func position(of slot: Int, hash: Int) -> Int? {
        guard !buckets.isEmpty else { return nil }
        var position = home(Self.folded(hash))
        while buckets[position].entry != 0 {
            if buckets[position].entry == UInt32(slot + 1) { return position }
            position = after(position)
        }
        return nil
    }

    private mutating func place(_ bucket: Bucket) {
        var position = home(bucket.hash)
        while buckets[position].entry != 0 { position = after(position) }
        buckets[position] = bucket
    }

    private mutating func rebuild(_ capacity: Int) {
        let old = buckets
        buckets = [Bucket](repeating: Bucket(), count: capacity)
        for bucket in old where bucket.entry != 0 { place(bucket) }
    }
}
