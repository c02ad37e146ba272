public import HeraldCore

/// Presence events as JSON: what webhooks carry, `herald events` prints and an SDK reads.
///
///     {"id":"3-1712345678901-0","type":"replaced","user":"alice","key":"phone","node":"cloud-1",
///      "session":"cloud-1#7.42","epoch":1712345678900,"connections":1,"at":1712345678901,
///      "previous":"cloud-2#9.1"}
///
/// `previous` is there for `replaced`, `reason` for `disconnected`. `node` is a part of `session`, for readers
/// that do not want to take it apart. A reader passes over fields that it does not know: a newer Herald may tell
/// more.
public enum PresenceJSON {
    /// Nesting of one event; our own two levels and some for what a newer Herald may tell.
    private static let depthMax = 16
    private static let numberMax = Int64.max

    /// Writes one event as one object, without a line's end.
    public static func encode(_ event: PresenceEvent) -> [UInt8] {
        var writer = JSONWriter(capacity: 320)
        write(event, to: &writer)
        return writer.bytes
    }

    /// Writes the body of a webhook: `{"events":[…]}`.
    public static func encode(batch events: some Collection<PresenceEvent>) -> [UInt8] {
        var writer = JSONWriter(capacity: 16 + events.count * 320)
        writer.object { writer in
            writer.array("events") { writer in
                for event in events { write(event, to: &writer) }
            }
        }
        return writer.bytes
    }

    public static func write(_ event: PresenceEvent, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("id", event.id.description)
            switch event.kind {
            case .connected: writer.member("type", "connected")
            case .replaced: writer.member("type", "replaced")
            case .disconnected: writer.member("type", "disconnected")
            }
            writer.member("user", event.name.user.description)
            writer.member("key", event.name.key.description)
            writer.member("node", event.session.node.description)
            writer.member("session", event.session.description)
            writer.member("epoch", event.epoch.number)
            writer.member("connections", event.connections)
            writer.member("at", event.at.milliseconds)
            switch event.kind {
            case .connected: break
            case .replaced(let previous): writer.member("previous", previous.description)
            case .disconnected(let reason): writer.member("reason", reason.rawValue)
            }
        }
    }

    /// Reads one event.
    ///
    /// - Throws: what is wrong, with the name of the field; `unsupported` for a type or a reason of a newer
    ///   Herald.
    public static func decode(_ object: [UInt8]) throws(WireError) -> PresenceEvent {
        try lend(object) { bytes throws(WireError) in
            try JSONReader.read(bytes, depthMax: depthMax) { reader throws(WireError) in try event(&reader) }
        }
    }

    /// Reads the body of a webhook.
    ///
    /// - Parameters:
    ///   - body: `{"events":[…]}`.
    ///   - max: how many events there may be; Herald sends at most 100.
    /// - Returns: the events, in order for each user.
    /// - Throws: what is wrong, with the name of the field.
    public static func decode(batch body: [UInt8], max: Int = 1000) throws(WireError) -> [PresenceEvent] {
        try lend(body) { bytes throws(WireError) in
            try JSONReader.read(bytes, depthMax: depthMax) { reader throws(WireError) in
                var events: [PresenceEvent]?
                try reader.object { reader, name throws(WireError) in
                    guard name == "events" else {
                        _ = try reader.raw()
                        return
                    }
                    var found: [PresenceEvent] = []
                    try reader.array(max: max) { reader throws(WireError) in
                        found.append(try event(&reader))
                    }
                    events = found
                }
                return try required(events, "events")
            }
        }
    }

    /// Reads one event from where the reader stands.
    public static func event(_ reader: inout JSONReader) throws(WireError) -> PresenceEvent {
        var fields = Fields()
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "id": fields.id = try parsed(&reader, "an event's id") { PresenceEventID($0) }
            case "type": fields.type = try reader.string()
            case "user": fields.user = try identifier(&reader, UserID.init)
            case "key": fields.key = try identifier(&reader, ConnectionKey.init)
            case "session": fields.session = try parsed(&reader, "a session") { SessionID($0) }
            case "previous": fields.previous = try parsed(&reader, "a session") { SessionID($0) }
            case "reason": fields.reason = try reader.string()
            case "epoch": fields.epoch = Epoch(UInt64(try reader.integer(in: 0...numberMax)))
            case "connections": fields.connections = Int(try reader.integer(in: 0...numberMax))
            case "at":
                fields.at = RedisTime(milliseconds: UInt64(try reader.integer(in: 0...numberMax)))
            default: _ = try reader.raw()
            }
        }
        return try fields.event()
    }

    private static func parsed<Value>(
        _ reader: inout JSONReader,
        _ what: String,
        _ make: (String) -> Value?
    ) throws(WireError) -> Value {
        guard let value = make(try reader.string()) else { throw WireError(.badID, "is not \(what)") }
        return value
    }

    fileprivate static func required<Value>(_ value: Value?, _ name: String) throws(WireError) -> Value {
        guard let value else { throw WireError(.missingField, field: name, "is missing") }
        return value
    }
}

/// An event while it is read: fields come in any order.
private struct Fields {
    var id: PresenceEventID?
    var type: String?
    var user: UserID?
    var key: ConnectionKey?
    var session: SessionID?
    var previous: SessionID?
    var reason: String?
    var epoch: Epoch?
    var connections: Int?
    var at: RedisTime?

    func event() throws(WireError) -> PresenceEvent {
        PresenceEvent(
            id: try PresenceJSON.required(id, "id"),
            kind: try kind(),
            name: UserKey(
                user: try PresenceJSON.required(user, "user"),
                key: try PresenceJSON.required(key, "key")
            ),
            session: try PresenceJSON.required(session, "session"),
            epoch: try PresenceJSON.required(epoch, "epoch"),
            connections: try PresenceJSON.required(connections, "connections"),
            at: try PresenceJSON.required(at, "at")
        )
    }

    private func kind() throws(WireError) -> PresenceEvent.Kind {
        switch try PresenceJSON.required(type, "type") {
        case "connected": return .connected
        case "replaced": return .replaced(previous: try PresenceJSON.required(previous, "previous"))
        case "disconnected":
            guard let reason = DisconnectReason(rawValue: try PresenceJSON.required(reason, "reason")) else {
                throw WireError(.unsupported, field: "reason", "is none that this version knows")
            }
            return .disconnected(reason)
        default: throw WireError(.unsupported, field: "type", "is none that this version knows")
        }
    }
}

extension PresenceEventID {
    /// Reads what `description` writes, such as `3-1712345678901-0`; nil for anything else.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3,
            parts.allSatisfy({ part in part.utf8.allSatisfy { (0x30...0x39).contains($0) } }),
            let partition = Int(parts[0]), (0..<PresencePartition.count).contains(partition),
            UInt64(parts[1]) != nil, UInt64(parts[2]) != nil
        else { return nil }
        self.init(partition: partition, entry: "\(parts[1])-\(parts[2])")
    }
}
