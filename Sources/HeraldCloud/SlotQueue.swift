/// First in, first out, in one array that is moved up when half of it has been taken.
struct SlotQueue: Sendable {
    private var items: [Int] = []
    private var taken = 0

    var isEmpty: Bool { taken == items.count }
    var count: Int { items.count - taken }

    mutating func append(_ item: Int) { items.append(item) }

    mutating func popFirst() -> Int? {
        guard taken < items.count else { return nil }
        defer {
            taken += 1
            if taken == items.count {
                items.removeAll(keepingCapacity: taken <= 4096)
                taken = 0
            } else if taken > 4096, taken * 2 > items.count {
                items.removeFirst(taken)
                taken = 0
            }
        }
        return items[taken]
    }
}
