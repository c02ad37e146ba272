public import HeraldCore

/// What went wrong between this client and Herald, and whether trying again can help.
public struct ClientError: Error, Equatable, CustomStringConvertible {
    public let code: Code
    /// One sentence for people.
    public let message: String
    /// Whether the same request may succeed later.
    public let mayRetry: Bool
    /// How long the server asked to wait before trying again.
    public var retryAfter: Duration?
    /// The status of the HTTP answer, where one came.
    public var status: Int?
    /// The stable code of the server's answer, such as `bad_id`, where one came.
    public var serverCode: String?
    /// What the server closed the connection with, where it did.
    public var closeCode: CloseCode?

    public init(_ code: Code, _ message: String, mayRetry: Bool = false) {
        self.code = code
        self.message = message
        self.mayRetry = mayRetry
    }

    public var description: String { message }

    /// A stable code. A struct over a hidden enum: a new code breaks nobody's `switch`.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String {
            case badAddress = "bad_address"
            case badRequest = "bad_request"
            case unreachable
            case timedOut = "timed_out"
            case refused
            case closed
            case busy
            case unexpectedAnswer = "unexpected_answer"
        }
        private let value: Value

        /// The address cannot be read or is of another kind; the caller's fault.
        public static let badAddress = Self(value: .badAddress)
        /// The request cannot be sent as it is; the caller's fault.
        public static let badRequest = Self(value: .badRequest)
        /// Nobody answers at the address, or the connection broke. What was asked may or may not be done.
        public static let unreachable = Self(value: .unreachable)
        /// No answer in time. What was asked may or may not be done.
        public static let timedOut = Self(value: .timedOut)
        /// The server answered no; `status`, `serverCode` say why.
        public static let refused = Self(value: .refused)
        /// The connection is closed.
        public static let closed = Self(value: .closed)
        /// A limit of this client is reached: too many requests wait.
        public static let busy = Self(value: .busy)
        /// The other side does not speak this protocol, or a newer one.
        public static let unexpectedAnswer = Self(value: .unexpectedAnswer)

        public var description: String { value.rawValue }
    }
}
