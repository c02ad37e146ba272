public import HeraldCore

/// A push as the HTTP API takes it, and the answer as it gives it (DESIGN.md §5).
public enum PushJSON {
    /// Reads the body of `POST /v1/push`.
    ///
    /// - Parameters:
    ///   - body: one JSON object.
    ///   - id: the id the push shall have.
    ///   - limits: bounds of what it may hold.
    /// - Returns: a push with at least one target; a target that is named twice counts once.
    /// - Throws: what is wrong, with the name of the field.
    public static func decode(
        _ body: UnsafeRawBufferPointer,
        id: PushID,
        limits: Limits
    ) throws(WireError) -> Push {
        try JSONReader.read(body, depthMax: limits.jsonDepthMax) { reader throws(WireError) in
            try push(&reader, id: id, limits: limits)
        }
    }

    /// What a body asks for.
    public struct Request: Sendable, Equatable {
        public var push: Push
        /// Whether it is to be queued: then it is `JobJSON` that reads it to be carried out.
        public var isQueued: Bool
        /// What a repeat of the request is known by; nil also where it is to be queued.
        public var idempotencyKey: IdempotencyKey?
    }

    /// Reads the body of `POST /v1/push`.
    public static func request(
        _ body: UnsafeRawBufferPointer,
        id: PushID,
        limits: Limits
    ) throws(WireError) -> Request {
        try JSONReader.read(body, depthMax: limits.jsonDepthMax) { reader throws(WireError) in
            try request(&reader, id: id, limits: limits)
        }
    }

    /// Reads the body of `POST /v1/push`.
    public static func decode(_ body: [UInt8], id: PushID, limits: Limits) throws(WireError) -> Push {
        try lend(body) { bytes throws(WireError) in try decode(bytes, id: id, limits: limits) }
    }

    /// Reads one push from where the reader stands; one that is to be queued is refused.
    public static func push(
        _ reader: inout JSONReader,
        id: PushID,
        limits: Limits
    ) throws(WireError) -> Push {
        let request = try request(&reader, id: id, limits: limits)
        guard !request.isQueued else {
            throw WireError(.unsupported, field: "mode", "cannot be \"queued\" here")
        }
        return request.push
    }

    /// Reads one push and how it is to be taken.
    public static func request(
        _ reader: inout JSONReader,
        id: PushID,
        limits: Limits
    ) throws(WireError) -> Request {
        var push = Push(id: id, targets: [], message: Message())
        var targets = TargetList(max: limits.targetsMax)
        var isQueued = false
        var idempotencyKey: IdempotencyKey?
        var fieldOfJobs: String?
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "users", "keys", "rooms", "all": try targets.read(name, from: &reader)
            case "event": push.message.event = try event(&reader, limits: limits)
            case "op":
                push.message.op = Int32(try reader.integer(in: Int64(Int32.min)...Int64(Int32.max)))
            case "data":
                try refuseSecondPayload(push.message)
                push.message.payload = .json(try reader.raw())
            case "data_base64":
                try refuseSecondPayload(push.message)
                push.message.payload = .binary(try Base64.decode(reader.string()))
            case "exclude":
                try reader.array(max: limits.excludesMax) { reader throws(WireError) in
                    push.exclude.insert(try identifier(&reader, UserKey.init))
                }
            case "confirm":
                push.confirm = try level(&reader)
            case "deadline_ms":
                let longest = limits.confirmDeadlineMax.wholeMilliseconds
                push.deadline = .milliseconds(try reader.integer(in: 1...longest))
            case "durable": push.isDurable = try reader.bool()
            case "collapse_key":
                push.queuePolicy.collapseKey = try identifier(&reader, CollapseKey.init)
            case "class": push.queuePolicy.isDroppable = try isDroppable(&reader)
            case "mode":
                let mode = try reader.string()
                guard mode == "direct" || mode == "queued" else {
                    throw WireError(.unsupported, "must be \"direct\" or \"queued\"")
                }
                isQueued = mode == "queued"
            case "idempotency_key": idempotencyKey = try identifier(&reader, IdempotencyKey.init)
            case "deliver_at", "rate":
                _ = try reader.raw()
                fieldOfJobs = name
            default: throw reader.unknownField()
            }
        }
        if let fieldOfJobs, !isQueued {
            throw WireError(.conflictingFields, field: fieldOfJobs, "needs \"mode\": \"queued\"")
        }
        guard !targets.list.isEmpty else {
            throw WireError(.noTarget, "names no target: give users, keys, rooms or all")
        }
        push.targets = targets.list
        if push.isDurable { try checkDurable(push, limits: limits) }
        return Request(
            push: push,
            isQueued: isQueued,
            idempotencyKey: isQueued ? nil : idempotencyKey
        )
    }

    /// A message that is kept is shown to whoever follows the inbox, now or later: so nobody can be excluded from it,
    /// it cannot give way to others, and a single connection has no inbox.
    private static func checkDurable(_ push: Push, limits: Limits) throws(WireError) {
        for target in push.targets {
            switch target {
            case .user, .room: break
            case .key:
                throw WireError(.notDurable, field: "keys", "have no inbox: durable is for users and rooms")
            case .everyone:
                throw WireError(.notDurable, field: "all", "has no inbox: durable is for users and rooms")
            }
        }
        guard push.exclude.isEmpty else {
            throw WireError(.conflictingFields, field: "exclude", "cannot stand beside durable")
        }
        if push.queuePolicy.collapseKey != nil {
            throw WireError(
                .conflictingFields,
                field: "collapse_key",
                "cannot stand beside durable: every stored message is shown"
            )
        }
        if push.queuePolicy.isDroppable {
            throw WireError(
                .conflictingFields,
                field: "class",
                "cannot be \"droppable\" beside durable: every stored message is shown"
            )
        }
        try checkDurableBytes(push, targets: push.targets.count, limits: limits)
    }

    /// - Parameters:
    ///   - push: a durable one.
    ///   - targets: how many inboxes it goes into at once.
    ///   - limits: bounds of a push.
    /// - Throws: `too_large`.
    static func checkDurableBytes(_ push: Push, targets: Int, limits: Limits) throws(WireError) {
        let bytes = (push.message.payload?.bytes.count ?? 0) * targets
        guard bytes <= limits.durableBytesMax else {
            throw WireError(
                .tooLarge,
                field: "durable",
                "makes more than \(limits.durableBytesMax) bytes in all inboxes together"
            )
        }
    }

    /// Writes the answer to a push.
    public static func encode(_ answer: PushAnswer) -> [UInt8] {
        var writer = JSONWriter(capacity: 64 + answer.verdicts.count * 64)
        write(answer, to: &writer)
        return writer.bytes
    }

    public static func write(_ answer: PushAnswer, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("id", answer.id.description)
            writer.array("verdicts") { writer in
                for verdict in answer.verdicts { write(verdict, to: &writer) }
            }
        }
    }

    private static func write(_ verdict: TargetVerdict, to writer: inout JSONWriter) {
        writer.object { writeMembers(verdict, to: &$0) }
    }

    static func writeMembers(_ verdict: TargetVerdict, to writer: inout JSONWriter) {
        switch verdict.target {
        case .user(let user): writer.member("user", user.description)
        case .key(let key): writer.member("key", key.description)
        case .room(let room): writer.member("room", room.description)
        case .everyone: writer.member("all", true)
        }
        writer.member("verdict", verdict.verdict.description)
        if !verdict.nodes.isEmpty { writer.array("nodes") { $0.strings(verdict.nodes) } }
        if !verdict.missed.isEmpty { writer.array("missed") { $0.strings(verdict.missed) } }
        if let reach = verdict.reach {
            writer.member("connections", reach.connections)
            writer.member("written", reach.written)
            if reach.acked > 0 { writer.member("acked", reach.acked) }
            if reach.dropped > 0 { writer.member("dropped", reach.dropped) }
            if reach.collapsed > 0 { writer.member("collapsed", reach.collapsed) }
        }
        if let position = verdict.position {
            writer.object("stored") { writer in
                writer.member("epoch", String(position.epoch))
                writer.member("offset", position.offset)
            }
        }
        if let reason = verdict.reason { writer.member("reason", reason) }
    }

    private static func isDroppable(_ reader: inout JSONReader) throws(WireError) -> Bool {
        switch try reader.string() {
        case "normal": false
        case "droppable": true
        default: throw WireError(.unsupported, "must be \"normal\" or \"droppable\"")
        }
    }

    private static func level(_ reader: inout JSONReader) throws(WireError) -> ConfirmLevel {
        guard let level = ConfirmLevel(rawValue: try reader.string()) else {
            throw WireError(.unsupported, "must be \"routed\", \"written\" or \"acked\"")
        }
        return level
    }

    private static func event(_ reader: inout JSONReader, limits: Limits) throws(WireError) -> String {
        let event = try reader.string()
        guard event.utf8.count <= limits.eventBytesMax else {
            throw WireError(.tooLarge, "is longer than \(limits.eventBytesMax) bytes")
        }
        return event
    }

    private static func refuseSecondPayload(_ message: Message) throws(WireError) {
        guard message.payload == nil else {
            throw WireError(.conflictingFields, "cannot stand beside the other of data and data_base64")
        }
    }
}

/// The targets of one push, in order, each once.
private struct TargetList {
    let max: Int
    var list: [Target] = []
    private var seen: Set<Target> = []

    init(max: Int) { self.max = max }

    mutating func read(_ field: String, from reader: inout JSONReader) throws(WireError) {
        var found: [Target] = []
        switch field {
        case "all":
            if try reader.bool() { found.append(.everyone) }
        case "users":
            try reader.array(max: max) { reader throws(WireError) in
                found.append(.user(try identifier(&reader, UserID.init)))
            }
        case "keys":
            try reader.array(max: max) { reader throws(WireError) in
                found.append(.key(try identifier(&reader, UserKey.init)))
            }
        default:
            try reader.array(max: max) { reader throws(WireError) in
                found.append(.room(try identifier(&reader, RoomID.init)))
            }
        }
        try add(found)
    }

    private mutating func add(_ found: [Target]) throws(WireError) {
        guard list.count + found.count <= max else {
            throw WireError(.tooMany, "makes more than \(max) targets")
        }
        if list.isEmpty, found.count == 1 {
            list = found  // the usual push: nothing to compare with
            return
        }
        if seen.isEmpty { seen = Set(list) }
        for target in found where seen.insert(target).inserted { list.append(target) }
    }
}

/// Reads a string and makes an id of it.
func identifier<ID>(
    _ reader: inout JSONReader,
    _ make: (String) throws(InvalidIdentifier) -> ID
) throws(WireError) -> ID {
    let text = try reader.string()
    do { return try make(text) } catch { throw WireError(.badID, "is no id: the \(error)") }
}

/// Lends an array's bytes, with the error's type kept.
func lend<Value>(
    _ array: [UInt8],
    _ body: (UnsafeRawBufferPointer) throws(WireError) -> Value
) throws(WireError) -> Value {
    let result: Result<Value, WireError> = array.withUnsafeBytes { bytes in
        do throws(WireError) { return .success(try body(bytes)) } catch { return .failure(error) }
    }
    return try result.get()
}

extension JSONWriter {
    mutating func strings(_ values: some Sequence<some CustomStringConvertible>) {
        for value in values { string(value.description) }
    }
}
