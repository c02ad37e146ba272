/// A moment of this host's monotonic clock. Comes into the state machines as an argument; they read no clock.
struct Moment: Hashable, Comparable, Sendable {
    var nanoseconds: Int64

    static func < (left: Self, right: Self) -> Bool { left.nanoseconds < right.nanoseconds }
    static func + (left: Self, right: Duration) -> Self {
        let (seconds, attoseconds) = right.components
        return Self(nanoseconds: left.nanoseconds &+ seconds &* 1_000_000_000 &+ attoseconds / 1_000_000_000)
    }
}

/// First in, first out, in one array: the taken front is given back in large pieces, so that each step costs
/// the same on average and nothing is moved for each element.
struct Queue<Element> {
    private var storage: [Element?] = []
    private var head = 0

    var count: Int { storage.count - head }
    var isEmpty: Bool { count == 0 }
    var first: Element? { isEmpty ? nil : storage[head] }

    mutating func append(_ element: Element) { storage.append(element) }

    @discardableResult
    mutating func removeFirst() -> Element? {
        guard !isEmpty else { return nil }
        defer {
            storage[head] = nil
            head += 1
            if head >= 64, head * 2 >= storage.count {
                storage.removeFirst(head)
                head = 0
            }
        }
        return storage[head]
    }

    /// Changes the first element in its place.
    mutating func updateFirst<Answer>(_ change: (inout Element) -> Answer) -> Answer? {
        guard !isEmpty, var element = storage[head].take() else { return nil }
        defer { storage[head] = element }
        return change(&element)
    }

    mutating func update(_ change: (inout Element) -> Void) {
        for index in head..<storage.count {
            guard var element = storage[index].take() else { continue }
            change(&element)
            storage[index] = element
        }
    }

    /// Takes out what fulfils a condition and keeps the order of the rest.
    mutating func removeAll(where condition: (Element) -> Bool) -> [Element] {
        var removed: [Element] = []
        var kept: [Element?] = []
        for element in elements {
            if condition(element) { removed.append(element) } else { kept.append(element) }
        }
        storage = kept
        head = 0
        return removed
    }

    var elements: [Element] { storage[head...].compactMap { $0 } }
}
