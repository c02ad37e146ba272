import FoundationEssentials
public import HeraldCore
import HeraldWire

/// A push as a backend asks for it: what `POST /v1/push` takes.
public struct PushRequest: Sendable, Equatable {
    public var targets: [Target]
    public var message: Message
    /// Connections that shall not get it.
    public var exclude: [UserKey]
    /// Whether it is kept in the inboxes of its users and rooms first; then it names nothing else.
    public var isDurable: Bool
    /// What becomes of it where a connection reads too slowly; the standard one if it is durable.
    public var queuePolicy: QueuePolicy
    /// How far it is followed before it is answered.
    public var confirm: ConfirmLevel
    /// How long after its acceptance it is answered at the latest, 1 ms to `Limits.confirmDeadlineMax`; nil: logic
    /// decides. `ClientLimits.requestTimeout` has to be longer.
    public var deadline: Duration?
    /// Makes a repeat of the same request within five minutes one push with one answer, whichever logic process
    /// gets it: so an answer that was lost may be asked for again.
    public var idempotencyKey: IdempotencyKey?

    public init(
        to targets: [Target],
        _ message: Message,
        exclude: [UserKey] = [],
        isDurable: Bool = false,
        queuePolicy: QueuePolicy = .standard,
        confirm: ConfirmLevel = .routed,
        deadline: Duration? = nil,
        idempotencyKey: IdempotencyKey? = nil
    ) {
        self.targets = targets
        self.message = message
        self.exclude = exclude
        self.isDurable = isDurable
        self.queuePolicy = queuePolicy
        self.confirm = confirm
        self.deadline = deadline
        self.idempotencyKey = idempotencyKey
    }

    func encoded() -> [UInt8] {
        var users: [String] = []
        var keys: [String] = []
        var rooms: [String] = []
        var everyone = false
        for target in targets {
            switch target {
            case .user(let user): users.append(user.description)
            case .key(let key): keys.append(key.description)
            case .room(let room): rooms.append(room.description)
            case .everyone: everyone = true
            }
        }
        var writer = JSONWriter()
        writer.object { writer in
            Self.write("users", users, to: &writer)
            Self.write("keys", keys, to: &writer)
            Self.write("rooms", rooms, to: &writer)
            if everyone { writer.member("all", true) }
            if let event = message.event { writer.member("event", event) }
            if let op = message.op { writer.member("op", op) }
            switch message.payload {
            case .json(let bytes):
                writer.name("data")
                writer.raw(bytes)
            case .binary(let bytes): writer.member("data_base64", Data(bytes).base64EncodedString())
            case nil: break
            }
            Self.write("exclude", exclude.map(\.description), to: &writer)
            if isDurable { writer.member("durable", true) }
            if let key = queuePolicy.collapseKey { writer.member("collapse_key", key.description) }
            if queuePolicy.isDroppable { writer.member("class", "droppable") }
            if confirm != .routed { writer.member("confirm", confirm.rawValue) }
            if let deadline { writer.member("deadline_ms", max(1, deadline.wholeMilliseconds)) }
            if let idempotencyKey { writer.member("idempotency_key", idempotencyKey.description) }
        }
        return writer.bytes
    }

    private static func write(_ name: StaticString, _ values: [String], to writer: inout JSONWriter) {
        guard !values.isEmpty else { return }
        writer.array(name) { writer in for value in values { writer.string(value) } }
    }
}

extension PushAnswer {
    /// Reads logic's answer. Fields that are not known are passed over; a verdict that is not known is an error,
    /// because what became of the push would be hidden.
    init(answer body: [UInt8]) throws(WireError) {
        self = try JSONReader.answer(body) { reader throws(WireError) in try Self.read(&reader) }
    }

    private static func read(_ reader: inout JSONReader) throws(WireError) -> PushAnswer {
        var id: PushID?
        var verdicts: [TargetVerdict] = []
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "id": id = try identifier(&reader, PushID.init)
            case "verdicts":
                try reader.array(max: 100_000) { reader throws(WireError) in
                    verdicts.append(try verdict(&reader))
                }
            default: _ = try reader.raw()
            }
        }
        guard let id else { throw WireError(.missingField, field: "id", "is missing") }
        return PushAnswer(id: id, verdicts: verdicts)
    }

    private static func verdict(_ reader: inout JSONReader) throws(WireError) -> TargetVerdict {
        var fields = VerdictFields()
        try reader.object { reader, name throws(WireError) in try fields.read(name, from: &reader) }
        return try fields.verdict
    }

    private static func identifier<ID>(
        _ reader: inout JSONReader,
        _ make: (String) throws(InvalidIdentifier) -> ID
    ) throws(WireError) -> ID {
        let text = try reader.string()
        do { return try make(text) } catch { throw WireError(.badID, "is no id: the \(error)") }
    }
}
