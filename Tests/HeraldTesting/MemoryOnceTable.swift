public import HeraldCore
import Synchronization

/// The memory of requests in memory, with its clock moved by hand. Answers as Redis's does.
public final class MemoryOnceTable: OnceTable {
    private let state = Mutex(State())

    fileprivate struct State {
        var now: Duration = .zero
        var isUnavailable = false
        var entries: [IdempotencyKey: Entry] = [:]
        var claims: [OnceOutcome] = []
    }

    fileprivate struct Entry {
        var digest: String
        var push: PushID
        var holder: UInt64
        var lease: Duration
        var answer: [UInt8]?
        var end: Duration
    }

    public init() {}

    /// Moves the clock.
    public func advance(by duration: Duration) { state.withLock { $0.now += duration } }

    /// While true, every call throws `unavailable`.
    public var isUnavailable: Bool {
        get { state.withLock { $0.isUnavailable } }
        set { state.withLock { $0.isUnavailable = newValue } }
    }

    /// What every claim came to, in order.
    public var claims: [OnceOutcome] { state.withLock { $0.claims } }

    public func claim(_ claim: OnceClaim) async throws(OnceTableError) -> OnceOutcome {
        try reach { state in
            let outcome = state.claim(claim)
            state.claims.append(outcome)
            return outcome
        }
    }

    public func complete(_ claim: OnceClaim, answer: [UInt8]) async throws(OnceTableError) {
        try reach { state in
            guard let entry = state.live(claim.key), entry.digest == claim.digest, entry.answer == nil else {
                return
            }
            state.entries[claim.key]?.answer = answer
            state.entries[claim.key]?.end = state.now + claim.memory
        }
    }

    public func abandon(_ claim: OnceClaim) async throws(OnceTableError) {
        try reach { state in
            guard state.live(claim.key)?.holder == claim.holder else { return }
            state.entries[claim.key]?.lease = .zero
        }
    }

    private func reach<Value: Sendable>(_ body: (inout State) -> Value) throws(OnceTableError) -> Value {
        let value = state.withLock { state in state.isUnavailable ? nil : body(&state) }
        guard let value else { throw .unavailable("switched off by the test") }
        return value
    }
}

extension MemoryOnceTable.State {
    fileprivate func live(_ key: IdempotencyKey) -> MemoryOnceTable.Entry? {
        entries[key].flatMap { $0.end > now ? $0 : nil }
    }

    fileprivate mutating func claim(_ claim: OnceClaim) -> OnceOutcome {
        var push = claim.push
        let known = live(claim.key)
        if let known {
            guard known.digest == claim.digest else { return .mismatch }
            if let answer = known.answer { return .answered(answer) }
            if known.lease > now { return .held(known.push, remaining: known.lease - now) }
            push = known.push
        }
        entries[claim.key] = MemoryOnceTable.Entry(
            digest: claim.digest,
            push: push,
            holder: claim.holder,
            lease: now + claim.lease,
            end: now + claim.memory
        )
        return .claimed(push, isRepeat: known != nil)
    }
}
