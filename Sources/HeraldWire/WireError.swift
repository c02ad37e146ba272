/// Input from outside that is not what it should be. The sender's fault; the same bytes fail again.
public struct WireError: Error, Equatable, CustomStringConvertible {
    /// Stable, for programs: see `Code`.
    public let code: Code
    /// The field at fault as a path, such as `users[3]`; empty when the whole text is.
    public private(set) var field: String
    /// For people: what is wrong, as a phrase that follows the field's name.
    public let reason: String

    public init(_ code: Code, field: String = "", _ reason: String) {
        self.code = code
        self.field = field
        self.reason = reason
    }

    /// One sentence for the sender.
    public var message: String { field.isEmpty ? "the text \(reason)" : "\(field) \(reason)" }

    public var description: String { "\(code): \(message)" }

    /// The same error, seen from one level further out.
    func inside(_ part: String) -> Self {
        var copy = self
        copy.field = field.isEmpty ? part : field.hasPrefix("[") ? part + field : part + "." + field
        return copy
    }

    /// A stable code. A struct over a hidden enum: a new code breaks nobody's `switch`.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        private enum Value: String, Sendable {
            case badJSON = "bad_json"
            case tooDeep = "too_deep"
            case tooLarge = "too_large"
            case wrongType = "wrong_type"
            case outOfRange = "out_of_range"
            case unknownField = "unknown_field"
            case duplicateField = "duplicate_field"
            case missingField = "missing_field"
            case conflictingFields = "conflicting_fields"
            case badID = "bad_id"
            case badBase64 = "bad_base64"
            case noTarget = "no_target"
            case tooMany = "too_many"
            case unsupported = "unsupported"
            case notDurable = "not_durable"
            case badEnvelope = "bad_envelope"
        }
        private let value: Value

        /// Not JSON as RFC 8259 says, or not UTF-8.
        public static let badJSON = Self(value: .badJSON)
        /// Nested deeper than the limit.
        public static let tooDeep = Self(value: .tooDeep)
        /// A text longer than its limit.
        public static let tooLarge = Self(value: .tooLarge)
        /// A value of another type than the field has.
        public static let wrongType = Self(value: .wrongType)
        /// A number beyond its bounds.
        public static let outOfRange = Self(value: .outOfRange)
        /// A field that means nothing here.
        public static let unknownField = Self(value: .unknownField)
        /// A field that is there twice.
        public static let duplicateField = Self(value: .duplicateField)
        /// A field that must be there and is not.
        public static let missingField = Self(value: .missingField)
        /// Two fields that exclude each other.
        public static let conflictingFields = Self(value: .conflictingFields)
        /// An id that breaks the rule for ids.
        public static let badID = Self(value: .badID)
        /// Not base64 as RFC 4648 §4 says.
        public static let badBase64 = Self(value: .badBase64)
        /// A push that is aimed at nothing.
        public static let noTarget = Self(value: .noTarget)
        /// A list longer than its limit.
        public static let tooMany = Self(value: .tooMany)
        /// Asks for what this version does not do.
        public static let unsupported = Self(value: .unsupported)
        /// A durable push to what has no inbox.
        public static let notDurable = Self(value: .notDurable)
        /// Not an envelope of this protocol.
        public static let badEnvelope = Self(value: .badEnvelope)

        public var description: String { value.rawValue }
    }
}
