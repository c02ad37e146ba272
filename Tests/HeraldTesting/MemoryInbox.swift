public import HeraldCore
import Synchronization

/// The inboxes in memory, with Redis's clock moved by hand.
///
/// They answer as Redis's do: the contract suite runs against both. On top they can be told to fail, to be full, to
/// lose the answer to an append, and to begin anew as Redis does after a crash: without the last writes.
public final class MemoryInbox: Inbox {
    /// What an append passes before it stores anything. Open from the start.
    public let appendGate = Gate()
    /// What a read or a browse passes before it answers. Open from the start.
    public let readGate = Gate()

    private let retention: InboxRetention
    private let state: Mutex<State>

    fileprivate struct State {
        var now: RedisTime
        var run = 1
        var isUnavailable = false
        var isFull = false
        var losesNextAnswer = false
        var broken: Set<InboxOwner> = []
        var inboxes: [InboxOwner: InboxRecord] = [:]
        /// What `inboxes` was before each write, oldest first.
        var past: [[InboxOwner: InboxRecord]] = []
        var appended: [[InboxAppend]] = []
    }

    public init(
        now: RedisTime = RedisTime(milliseconds: 1_700_000_000_000),
        retention: InboxRetention = .standard
    ) {
        self.retention = retention
        state = Mutex(State(now: now))
    }

    // MARK: For the test

    /// While true, every call throws `unavailable`.
    public var isUnavailable: Bool {
        get { state.withLock { $0.isUnavailable } }
        set { state.withLock { $0.isUnavailable = newValue } }
    }

    /// While true, no message is stored.
    public var isFull: Bool {
        get { state.withLock { $0.isFull } }
        set { state.withLock { $0.isFull = newValue } }
    }

    /// The next append stores everything and throws `unavailable`.
    public func loseNextAnswer() { state.withLock { $0.losesNextAnswer = true } }

    /// From now on what stands under the name of this inbox is not Herald's.
    public func breakInbox(of owner: InboxOwner) { state.withLock { _ = $0.broken.insert(owner) } }

    /// What every append was asked to store, refused ones included.
    public var appends: [[InboxAppend]] { state.withLock { $0.appended } }

    /// What is kept for somebody now, oldest first.
    public func messages(of owner: InboxOwner) -> [InboxMessage] {
        state.withLock { $0.inboxes[owner]?.messages ?? [] }
    }

    /// Redis's clock.
    public var now: RedisTime { state.withLock { $0.now } }

    public func advance(by duration: Duration) {
        state.withLock { $0.now = $0.now + duration }
    }

    /// As if Redis had lost all its data.
    public func forget() {
        state.withLock { state in
            state.inboxes = [:]
            state.past = []
        }
    }

    /// Redis ends and begins again without the last writes, of whatever inboxes.
    public func restart(losing count: Int = 0) {
        state.withLock { state in
            state.run += 1
            if count > 0, let index = state.past.indices.suffix(count).first {
                state.inboxes = state.past[index]
            }
            state.past = []
        }
    }

    // MARK: Inbox

    public func append(
        _ messages: [InboxAppend]
    ) async throws(InboxError) -> [Result<InboxPlace, InboxError>] {
        await appendGate.pass()
        let result = state.withLock { state -> Result<[Result<InboxPlace, InboxError>], InboxError> in
            state.appended.append(messages)
            if state.isUnavailable { return .failure(Self.away) }
            let places = messages.map { message -> Result<InboxPlace, InboxError> in
                if state.broken.contains(message.owner) { return .failure(Self.wrong) }
                if state.isFull { return .failure(.full("told by the test")) }
                return .success(
                    state.change(message.owner) { record, run, now in
                        record.append(message, run: run, keep: retention, at: now)
                    }
                )
            }
            defer { state.losesNextAnswer = false }
            return state.losesNextAnswer ? .failure(Self.away) : .success(places)
        }
        return try result.get()
    }

    public func read(
        _ owner: InboxOwner,
        after position: InboxPosition?,
        limit: Int
    ) async throws(InboxError) -> InboxPage {
        try await page(owner, position, limit: position == nil ? 0 : limit, alsoBroken: false)
    }

    public func browse(
        _ owner: InboxOwner,
        after position: InboxPosition?,
        limit: Int
    ) async throws(InboxError) -> InboxPage {
        try await page(owner, position, limit: limit, alsoBroken: true)
    }

    private func page(
        _ owner: InboxOwner,
        _ position: InboxPosition?,
        limit: Int,
        alsoBroken: Bool
    ) async throws(InboxError) -> InboxPage {
        await readGate.pass()
        return try perform(owner) { record, run, now in
            record.read(
                after: position,
                limit: limit,
                alsoBroken: alsoBroken,
                run: run,
                keep: retention,
                at: now
            )
        }
    }

    public func delete(_ owner: InboxOwner) async throws(InboxError) {
        try perform(owner) { record, run, now in record.delete(run: run, keep: retention, at: now) }
    }

    private func perform<Answer: Sendable>(
        _ owner: InboxOwner,
        _ body: @Sendable (inout InboxRecord, String, RedisTime) -> Answer
    ) throws(InboxError) -> Answer {
        let result = state.withLock { state -> Result<Answer, InboxError> in
            if state.isUnavailable { return .failure(Self.away) }
            if state.broken.contains(owner) { return .failure(Self.wrong) }
            return .success(state.change(owner, body))
        }
        return try result.get()
    }

    private static let away = InboxError.unavailable("told by the test")
    private static let wrong = InboxError.corrupt("told by the test")
}

extension MemoryInbox.State {
    fileprivate mutating func change<Answer>(
        _ owner: InboxOwner,
        _ body: (inout InboxRecord, String, RedisTime) -> Answer
    ) -> Answer {
        var record = inboxes[owner] ?? InboxRecord()
        let before = record
        let answer = body(&record, String(run), now)
        if record != before {
            past.append(inboxes)
            inboxes[owner] = record
        }
        return answer
    }
}
