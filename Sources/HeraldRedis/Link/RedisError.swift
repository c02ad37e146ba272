/// Why a command, a link or an address did not work: what happened, whose fault it is, whether trying again can
/// help, and what caused it.
public struct RedisError: Error, CustomStringConvertible {
    public let code: Code
    /// What happened, as a sentence without a full stop. Never holds a password or a payload.
    public let message: String
    public let cause: (any Error)?

    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// A stable name for what happened. More may come.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case unavailable, timedOut, lost, overloaded, cancelled, stopped, replied, refused
            case protocolViolated, badAddress, badConfiguration
        }
        private let value: Value

        /// There is no connection, and the command was not sent.
        public static let unavailable = Self(value: .unavailable)
        /// No reply came in time. The command may have been carried out, and may still be.
        public static let timedOut = Self(value: .timedOut)
        /// The connection ended before the reply. The command may have been carried out.
        public static let lost = Self(value: .lost)
        /// Too much is in flight on this link; the command was not sent.
        public static let overloaded = Self(value: .overloaded)
        /// The caller's task was cancelled. A command that had left may have been carried out.
        public static let cancelled = Self(value: .cancelled)
        /// The link was stopped, or was never run; the command was not sent.
        public static let stopped = Self(value: .stopped)
        /// Redis answered the command with an error, which is the `cause` (a `RedisReplyError`).
        public static let replied = Self(value: .replied)
        /// Redis does not let us in: wrong user or password, or no right to do what the link needs.
        public static let refused = Self(value: .refused)
        /// What came back is not RESP2, or is larger than the link allows. The connection is closed.
        public static let protocolViolated = Self(value: .protocolViolated)
        /// The address cannot be read.
        public static let badAddress = Self(value: .badAddress)
        /// The certificates or other settings of the link cannot be used.
        public static let badConfiguration = Self(value: .badConfiguration)

        public var description: String { value.rawValue }
    }

    /// Who has to do something about it.
    public enum Fault: Hashable, Sendable {
        /// Who called: a wrong command, too many at once.
        case caller
        /// Who runs it: addresses, passwords, certificates, limits.
        case `operator`
        /// Redis or the network; usually passes.
        case redis
        /// Nobody: it was asked for.
        case nobody
    }

    public var fault: Fault {
        switch code {
        case .cancelled, .stopped: .nobody
        case .overloaded, .replied: .caller
        case .refused, .badAddress, .badConfiguration: .operator
        default: .redis
        }
    }

    /// Whether the same call can succeed a moment later. After `timedOut` and `lost` only what may be carried
    /// out twice should be tried again.
    public var mayRetry: Bool {
        switch code {
        case .unavailable, .timedOut, .lost, .overloaded, .protocolViolated: true
        case .replied: (cause as? RedisReplyError)?.isPassing ?? false
        default: false
        }
    }

    public var description: String {
        let retry = mayRetry ? "retry: yes" : "retry: no"
        let cause = cause.map { "; cause: \($0)" } ?? ""
        return "redis \(code): \(message) (\(retry)\(cause))"
    }
}
