/// A thing that was awaited did not come to be in time.
public struct DidNotHappen: Error, CustomStringConvertible {
    public let what: String
    public let limit: Duration

    public var description: String { "\(what): not within \(limit)" }
}

/// Looks again and again until a condition holds: for what other processes do, which tell nobody.
///
/// Inside one process wait for the event itself.
public func eventually(
    _ what: String,
    within limit: Duration = .seconds(10),
    every pause: Duration = .milliseconds(10),
    _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < end else { throw DidNotHappen(what: what, limit: limit) }
        try await Task.sleep(for: pause)
    }
}

/// Gives a piece of work so much time, and cancels it then.
public func withDeadline<Value: Sendable>(
    _ limit: Duration,
    _ what: String = "the work",
    _ work: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    try await withThrowingTaskGroup(of: Value.self) { group in
        group.addTask(operation: work)
        group.addTask {
            try await Task.sleep(for: limit)
            throw DidNotHappen(what: what, limit: limit)
        }
        defer { group.cancelAll() }
        guard let value = try await group.next() else { throw CancellationError() }
        return value
    }
}
