public import HeraldCore
import Synchronization

/// The presence log in memory.
///
/// A test appends what it likes, keeps calls waiting at gates, has calls fail, and sees what is pending.
public final class MemoryPresenceLog<Time: Clock>: PresenceLog where Time.Duration == Duration {
    /// What each call passes before it does anything. Open from the start.
    public let holdGate = Gate()
    public let readGate = Gate()
    public let acknowledgeGate = Gate()

    private let clock: Time
    private let state = Mutex(State())

    fileprivate struct State {
        var isUnavailable = false
        var losesNextRead = false
        var streams = [[PresenceEvent]](repeating: [], count: PresencePartition.count)
        var groups: [String: Group] = [:]
        /// Groups that were lost: all that is there was written since, and is for them.
        var lost: Set<String> = []
        var appended = 0
        var readers: [Gate] = []
        var readsMade: [Read] = []
        var askers: Set<String> = []
    }

    fileprivate struct Group {
        var holder: String?
        var heldUntil: Time.Instant?
        /// Index of the first entry of each stream that nobody was given.
        var next: [Int]
        var pending: [Set<PresenceEventID>]
    }

    /// A read that was asked for.
    public struct Read: Equatable, Sendable {
        public var partitions: [Int]
        public var again: Bool
    }

    /// - Parameter clock: what holds lapse by and reads wait by.
    public init(clock: Time) { self.clock = clock }

    // MARK: for the test

    /// While true, every call throws `unavailable`.
    public var isUnavailable: Bool {
        get { state.withLock { $0.isUnavailable } }
        set { state.withLock { $0.isUnavailable = newValue } }
    }

    /// Every read that passed its gate, in order.
    public var reads: [Read] { state.withLock { $0.readsMade } }

    /// Who asked for a hold and was answered, whatever the answer.
    public var askers: Set<String> { state.withLock { $0.askers } }

    /// Gives the next read its events and then throws: its answer is lost on the way.
    public func loseNextRead() { state.withLock { $0.losesNextRead = true } }

    /// As if Redis had lost its data: no events, no groups.
    public func forget() {
        let readers = state.withLock { state in
            state.streams = [[PresenceEvent]](repeating: [], count: PresencePartition.count)
            state.lost.formUnion(state.groups.keys)
            state.groups = [:]
            return state.takeReaders()
        }
        for reader in readers { reader.open() }
    }

    /// Who holds the group now.
    public func holder(of group: String) -> String? {
        state.withLock { $0.groups[group]?.holder(at: clock.now) }
    }

    /// What was read and not acknowledged, by partition and in no order.
    public func pending(in group: String) -> Set<PresenceEventID> {
        state.withLock { state in state.groups[group]?.pending.reduce(into: []) { $0.formUnion($1) } ?? [] }
    }

    /// Writes an event of a user into the user's partition.
    @discardableResult
    public func append(
        _ kind: PresenceEvent.Kind = .connected,
        of name: UserKey,
        connections: Int = 1,
        at time: RedisTime
    ) -> PresenceEvent {
        let partition = PresencePartition.of(name.user)
        let (event, readers) = state.withLock { state in
            state.appended += 1
            let event = PresenceEvent(
                id: PresenceEventID(partition: partition, entry: "\(time)-\(state.appended)"),
                kind: kind,
                name: name,
                session: Self.session(UInt64(state.appended)),
                epoch: Epoch(time.milliseconds),
                connections: connections,
                at: time
            )
            state.streams[partition].append(event)
            return (event, state.takeReaders())
        }
        for reader in readers { reader.open() }
        return event
    }

    private static func session(_ counter: UInt64) -> SessionID {
        guard let session = SessionID("cloud-1#1.\(counter)") else {
            preconditionFailure("a session is written node#incarnation.counter")
        }
        return session
    }

    // MARK: PresenceLog

    public func hold(
        _ group: String,
        by holder: String,
        for duration: Duration
    ) async throws(PresenceLogError) -> Bool {
        await holdGate.pass()
        return try answer { state -> Result<Bool, PresenceLogError> in
            let now = clock.now
            var found =
                state.groups[group]
                ?? Group(
                    next: state.streams.map { state.lost.contains(group) ? 0 : $0.count },
                    pending: Array(repeating: [], count: state.streams.count)
                )
            state.askers.insert(holder)
            if let other = found.holder(at: now), other != holder { return .success(false) }
            found.holder = holder
            found.heldUntil = now.advanced(by: duration)
            state.groups[group] = found
            return .success(true)
        }
    }

    public func release(_ group: String, by holder: String) async throws(PresenceLogError) {
        try answer { state -> Result<Void, PresenceLogError> in
            if state.groups[group]?.holder == holder { state.groups[group]?.holder = nil }
            return .success(())
        }
    }

    public func read(
        _ group: String,
        partitions: [Int],
        again: Bool,
        limit: Int,
        wait: Duration
    ) async throws(PresenceLogError) -> [PresenceEvent] {
        await readGate.pass()
        state.withLock { $0.readsMade.append(Read(partitions: partitions, again: again)) }
        let bell = Gate(isOpen: false)
        let now = try take(group, partitions, again, limit, bell: wait > .zero ? bell : nil)
        guard now.isEmpty, wait > .zero else { return now }
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await bell.pass() }
            tasks.addTask { try? await self.clock.sleep(for: wait) }
            await tasks.next()
            tasks.cancelAll()
        }
        return try take(group, partitions, again, limit, bell: nil)
    }

    public func acknowledge(
        _ events: [PresenceEventID],
        in group: String
    ) async throws(PresenceLogError) {
        await acknowledgeGate.pass()
        try answer { state -> Result<Void, PresenceLogError> in
            guard state.groups[group] != nil else { return .failure(.groupLost) }
            for id in events { state.groups[group]?.pending[id.partition].remove(id) }
            return .success(())
        }
    }

    /// `bell`: rung when the next event is written, if there is none.
    private func take(
        _ group: String,
        _ partitions: [Int],
        _ again: Bool,
        _ limit: Int,
        bell: Gate?
    ) throws(PresenceLogError) -> [PresenceEvent] {
        try answer { state -> Result<[PresenceEvent], PresenceLogError> in
            guard var found = state.groups[group] else { return .failure(.groupLost) }
            var events: [PresenceEvent] = []
            for partition in partitions {
                let stream = state.streams[partition]
                if again {
                    let pending = found.pending[partition]
                    events += stream.filter { pending.contains($0.id) }.prefix(limit)
                } else {
                    let new = stream[found.next[partition]...].prefix(limit)
                    found.next[partition] += new.count
                    found.pending[partition].formUnion(new.map(\.id))
                    events += new
                }
            }
            state.groups[group] = found
            if events.isEmpty, let bell { state.readers.append(bell) }
            if state.losesNextRead, !events.isEmpty {
                state.losesNextRead = false
                return .failure(.unavailable("the answer was lost by the test"))
            }
            return .success(events)
        }
    }

    private func answer<Value>(
        _ body: (inout State) -> Result<Value, PresenceLogError>
    ) throws(PresenceLogError) -> Value {
        let result = state.withLock { state -> Result<Value, PresenceLogError> in
            guard !state.isUnavailable else { return .failure(.unavailable("switched off by the test")) }
            // Gates let the cancelled through; a call of theirs that Redis never saw changes nothing.
            guard !Task.isCancelled else { return .failure(.unavailable("cancelled")) }
            return body(&state)
        }
        return try result.get()
    }
}

extension MemoryPresenceLog.State {
    fileprivate mutating func takeReaders() -> [Gate] {
        defer { readers = [] }
        return readers
    }
}

extension MemoryPresenceLog.Group {
    fileprivate func holder(at now: Time.Instant) -> String? {
        guard let heldUntil, now < heldUntil else { return nil }
        return holder
    }
}
