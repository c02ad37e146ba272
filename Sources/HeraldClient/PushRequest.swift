import FoundationEssentials
public import HeraldCore
import HeraldWire

/// A push as a backend asks for it: what `POST /v1/push` takes.
public struct PushRequest: Sendable, Equatable {
    public var targets: [Target]
    public var message: Message
    /// Connections that shall not get it.
    public var exclude: [UserKey]

    public init(to targets: [Target], _ message: Message, exclude: [UserKey] = []) {
        self.targets = targets
        self.message = message
        self.exclude = exclude
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
        let result: Result<PushAnswer, WireError> = body.withUnsafeBytes { bytes in
            do throws(WireError) {
                return .success(
                    try JSONReader.read(bytes, depthMax: Limits.standard.jsonDepthMax) {
                        reader throws(WireError) in
                        try Self.read(&reader)
                    }
                )
            } catch { return .failure(error) }
        }
        self = try result.get()
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
        var target: Target?
        var verdict: Verdict?
        var nodes: [NodeID] = []
        var missed: [NodeID] = []
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "user": target = .user(try identifier(&reader, UserID.init))
            case "key": target = .key(try identifier(&reader, UserKey.init))
            case "room": target = .room(try identifier(&reader, RoomID.init))
            case "all": if try reader.bool() { target = .everyone }
            case "verdict": verdict = try known(reader.string())
            case "nodes": nodes = try self.nodes(&reader)
            case "missed": missed = try self.nodes(&reader)
            default: _ = try reader.raw()
            }
        }
        guard let target, let verdict else { throw WireError(.missingField, "lacks a target or a verdict") }
        return TargetVerdict(target: target, verdict: verdict, nodes: nodes, missed: missed)
    }

    private static func nodes(_ reader: inout JSONReader) throws(WireError) -> [NodeID] {
        var nodes: [NodeID] = []
        try reader.array(max: 100_000) { reader throws(WireError) in
            nodes.append(try identifier(&reader, NodeID.init))
        }
        return nodes
    }

    private static func known(_ text: String) throws(WireError) -> Verdict {
        for verdict in [Verdict.routed, .offline, .unreachable] where verdict.description == text {
            return verdict
        }
        throw WireError(.unsupported, "is a verdict that this client does not know")
    }

    private static func identifier<ID>(
        _ reader: inout JSONReader,
        _ make: (String) throws(InvalidIdentifier) -> ID
    ) throws(WireError) -> ID {
        let text = try reader.string()
        do { return try make(text) } catch { throw WireError(.badID, "is no id: the \(error)") }
    }
}
