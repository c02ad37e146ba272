/// Why a push got no verdicts: an answer about the push as a whole, for the caller to act on.
public struct PushRefusal: Error, Equatable, CustomStringConvertible {
    public let code: Code
    /// For people: what happened and what was done.
    public let detail: String
    /// When trying again makes sense; nil when it does not.
    public let retryAfter: Duration?

    /// A stable code. A struct over a hidden enum: a new code breaks nobody's `switch`.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String, Sendable, CaseIterable {
            case overloaded
            case inboxFull = "inbox_full"
            case redisUnavailable = "redis_unavailable"
            case deadline
            case stopping
            case cancelled
            case internalError = "internal"
        }
        private let value: Value

        /// Too much is waiting already. Nothing was sent.
        public static let overloaded = Self(value: .overloaded)
        /// Redis could not be asked (nothing was sent) or did not take the publish (it may have gone out).
        public static let redisUnavailable = Self(value: .redisUnavailable)
        /// Redis has no memory left to keep a durable push. Nothing was sent.
        public static let inboxFull = Self(value: .inboxFull)
        /// The time for this push is over. `detail` says whether it may have gone out.
        public static let deadline = Self(value: .deadline)
        /// This process is stopping; another one, or this one restarted, takes the push.
        public static let stopping = Self(value: .stopping)
        /// The caller went away.
        public static let cancelled = Self(value: .cancelled)
        /// Redis holds what it should not: for the operator, trying again does not help.
        public static let internalError = Self(value: .internalError)

        /// Every code there is.
        static let all: [Self] = Value.allCases.map(Self.init(value:))

        public var description: String { value.rawValue }
    }

    public var description: String { "\(code): \(detail)" }
}

extension PushRefusal {
    static let tooManyWaiting = Self(
        code: .overloaded,
        detail: "too many pushes are waiting; nothing was sent",
        retryAfter: .seconds(1)
    )
    static let tableUnavailable = Self(
        code: .redisUnavailable,
        detail: "Redis is out of reach, so that nobody knows where the targets are; nothing was sent",
        retryAfter: .seconds(1)
    )
    static let memoryUnavailable = Self(
        code: .redisUnavailable,
        detail: "Redis is out of reach, so that nobody knows whether this was sent before; nothing was sent",
        retryAfter: .seconds(1)
    )
    static let busUnavailable = Self(
        code: .redisUnavailable,
        detail: "Redis did not confirm the publish; the push may have been delivered",
        retryAfter: .seconds(1)
    )
    static let lateUnsent = Self(
        code: .deadline,
        detail: "the push could not be sent in time; nothing was sent",
        retryAfter: .seconds(1)
    )
    static let lateMaybeSent = Self(
        code: .deadline,
        detail: "Redis did not confirm the publish in time; the push may have been delivered",
        retryAfter: .seconds(1)
    )
    static let stopping = Self(
        code: .stopping,
        detail: "this process is stopping; nothing was sent",
        retryAfter: .seconds(1)
    )
    static let stoppedMaybeSent = Self(
        code: .stopping,
        detail: "this process stopped before Redis confirmed the publish; the push may have been delivered",
        retryAfter: .seconds(1)
    )
    static let callerGone = Self(code: .cancelled, detail: "the caller went away", retryAfter: nil)
    static let tableCorrupt = Self(
        code: .internalError,
        detail: "the route table answered what it should not; the log of this process says more",
        retryAfter: nil
    )
}
