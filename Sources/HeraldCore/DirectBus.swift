/// A bus that is one with the route table: it finds a target and publishes to its nodes in one step.
///
/// For a push that comes alone. It saves the second of two round trips, and nothing can move between the look-up and
/// the publish. Many pushes at once are cheaper with one look-up and one message for each node. Its caller is a function
/// and not a task: to put tasks to sleep and wake them was a quarter of the instructions of such a push's way through
/// the pipeline (13,500 of 57,500).
public protocol DirectBus: Sendable {
    /// Publishes an envelope to every node that holds the target.
    ///
    /// - Parameters:
    ///   - envelope: the same for each node.
    ///   - target: a user or a key; for others nothing is published.
    ///   - done: called once, on a thread of the bus, perhaps before this returns. Where the target was and who
    ///     listened; nil when nothing was published, because nobody is there or what is there wants the closer look
    ///     of `RouteTable.look(up:)`. With an error the envelope may or may not have gone out, but to no node twice;
    ///     `isUnsent` where it has not.
    func publish(
        _ envelope: [UInt8],
        to target: Target,
        _ done: @escaping @Sendable (Result<DirectAnswer?, BusError>) -> Void
    )
}

extension DirectBus {
    /// The same for who has a task to wait in.
    public func publish(_ envelope: [UInt8], to target: Target) async throws(BusError) -> DirectAnswer? {
        try await withUnsafeContinuation { continuation in
            publish(envelope, to: target) { continuation.resume(returning: $0) }
        }.get()
    }
}

/// What `DirectBus` found and did.
public struct DirectAnswer: Sendable, Equatable {
    /// As for a look-up of the target alone.
    public var found: LookupAnswer
    /// The nodes whose channel had no subscriber.
    public var missed: Set<NodeID>

    public init(found: LookupAnswer, missed: Set<NodeID>) {
        self.found = found
        self.missed = missed
    }
}
