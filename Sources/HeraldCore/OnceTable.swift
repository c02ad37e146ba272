/// Remembers requests by the keys that their callers gave them, so that a repeat is one push with one answer,
/// whichever process gets it.
///
///     unknown ── claim ──▶ held ── complete ──▶ answered ── memory is over ──▶ unknown
///                           │ ▲
///          lease is over or │ │ claim: the same push again
///                 abandoned ▼ │
///                          free
///
/// Who claims a key may send its push until the lease is over. If it dies, the next one who claims the key sends
/// the same push once more, under the same id, so that clients drop what they have. So what is remembered before
/// anything is sent is the push's id; the answer comes later. All times are the table's own.
public protocol OnceTable: Sendable {
    /// Asks for the right to send what a key stands for.
    func claim(_ claim: OnceClaim) async throws(OnceTableError) -> OnceOutcome

    /// Tells the answer, for whoever asks again. Also after the lease is over: the answer is as true then. The
    /// first one stays.
    func complete(_ claim: OnceClaim, answer: [UInt8]) async throws(OnceTableError)

    /// Gives a claim back without an answer: the next one who asks sends at once.
    func abandon(_ claim: OnceClaim) async throws(OnceTableError)
}

/// Who asks, and for what.
public struct OnceClaim: Hashable, Sendable {
    public var key: IdempotencyKey
    /// Of the request: the same key with another digest is a mistake of the caller's.
    public var digest: String
    /// The id that the push gets if nobody sent it before.
    public var push: PushID
    /// Sets this caller apart from all others; drawn by chance.
    public var holder: UInt64
    /// How long nobody else may send it.
    public var lease: Duration
    /// How long the answer is remembered, from when it is told; and the claim, from when it is made.
    public var memory: Duration

    public init(
        key: IdempotencyKey,
        digest: String,
        push: PushID,
        holder: UInt64,
        lease: Duration,
        memory: Duration
    ) {
        self.key = key
        self.digest = digest
        self.push = push
        self.holder = holder
        self.lease = lease
        self.memory = memory
    }
}

public enum OnceOutcome: Hashable, Sendable {
    /// Send it, under this id. `isRepeat`: somebody may have sent it before, or a part of it.
    case claimed(PushID, isRepeat: Bool)
    /// Somebody is at it, for so long at most.
    case held(PushID, remaining: Duration)
    case answered([UInt8])
    /// The key stands for another request.
    case mismatch
}

/// Why the table could not answer.
public enum OnceTableError: Error, Equatable, CustomStringConvertible {
    /// Out of reach or too slow. A claim may have been made all the same; it lapses. Try again after a moment.
    case unavailable(String)
    /// It holds what is not ours, or refused a command: for the operator.
    case corrupt(String)

    public var description: String {
        switch self {
        case .unavailable(let reason): "the memory of requests is out of reach: \(reason)"
        case .corrupt(let reason): "the memory of requests answered what it should not: \(reason)"
        }
    }
}
