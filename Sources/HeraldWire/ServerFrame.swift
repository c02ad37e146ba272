public import HeraldCore

/// What a node says to a client in one JSON text frame (DESIGN.md §7).
public enum ServerFrame: Sendable, Equatable {
    /// The session is live: from now on pushes find it.
    /// `inbox`: for a client that follows its user's inbox.
    case connected(user: UserID, key: ConnectionKey, node: NodeID, inbox: InboxStart? = nil)
    /// Messages of the user's inbox are lost to this client, which goes on from there.
    case reset(InboxPosition)
    case push(PushFrame)
    /// The request with this id was done.
    case ok(id: UInt64?)
    /// The request with this id was refused, or a frame could not be read (no id).
    case error(id: UInt64?, code: String, message: String)
    case pong(id: UInt64?)

    /// Writes the frame, as a node sends it.
    public func encoded() -> [UInt8] {
        let parts = encodedParts()
        var bytes = parts.text
        bytes.insert(contentsOf: parts.payload, at: parts.payloadPlace)
        return bytes
    }

    /// A frame whose payload still is where it was, so that it is copied only once, into its place.
    public struct Parts: Sendable, Equatable {
        /// All but the payload.
        public var text: [UInt8]
        /// JSON as the push brought it; empty when the frame has none.
        public var payload: [UInt8] = []
        /// Where in the text the payload belongs: before the byte of this index.
        public var payloadPlace = 0
    }

    /// Writes the frame without its payload, which most of a large one is.
    public func encodedParts() -> Parts {
        var payload: [UInt8] = []
        var payloadPlace = 0
        var writer = JSONWriter()
        writer.object { writer in
            switch self {
            case .connected(let user, let key, let node, let inbox):
                writer.object("connected") { writer in
                    writer.member("user", user.description)
                    writer.member("key", key.description)
                    writer.member("node", node.description)
                    guard let inbox else { return }
                    writer.member("epoch", String(inbox.position.epoch))
                    writer.member("offset", inbox.position.offset)
                    writer.member("recovered", inbox.isRecovered)
                }
            case .reset(let position):
                writer.object("reset") { writer in
                    writer.member("epoch", String(position.epoch))
                    writer.member("offset", position.offset)
                }
            case .push(let push):
                writer.object("push") { writer in
                    push.write(to: &writer)
                    guard case .json(let bytes) = push.message.payload else { return }
                    writer.name("data")
                    writer.raw([])
                    payload = bytes
                    payloadPlace = writer.bytes.count
                }
            case .ok(let id):
                if let id { writer.member("id", id) }
                writer.object("ok") { _ in }
            case .error(let id, let code, let message):
                if let id { writer.member("id", id) }
                writer.object("error") { writer in
                    writer.member("code", code)
                    writer.member("message", message)
                }
            case .pong(let id):
                if let id { writer.member("id", id) }
                writer.object("pong") { _ in }
            }
        }
        return Parts(text: writer.bytes, payload: payload, payloadPlace: payloadPlace)
    }
}

/// A push as a client is shown it.
public struct PushFrame: Sendable, Equatable {
    public var id: PushID
    public var message: Message
    /// The room that it came by, if it was aimed at one.
    public var room: RoomID?
    /// Whether the client is asked to say that it has it: `{"ack":{"id":…}}`.
    public var wantsAck: Bool
    /// Where it stands in the inbox of the room, or of the user where there is no room; nil: it is not kept.
    public var position: InboxPosition?

    public init(
        id: PushID,
        message: Message,
        room: RoomID? = nil,
        wantsAck: Bool = false,
        position: InboxPosition? = nil
    ) {
        self.id = id
        self.message = message
        self.room = room
        self.wantsAck = wantsAck
        self.position = position
    }

    /// Writes the members, but for a payload that is JSON, which comes last.
    fileprivate func write(to writer: inout JSONWriter) {
        writer.member("id", id.description)
        if let event = message.event { writer.member("event", event) }
        if let op = message.op { writer.member("op", op) }
        if let room { writer.member("room", room.description) }
        if wantsAck { writer.member("ack", true) }
        if let position {
            writer.member("epoch", String(position.epoch))
            writer.member("offset", position.offset)
        }
        if case .binary(let bytes) = message.payload {
            writer.member("data_base64", Base64.encode(bytes))
        }
    }
}

// MARK: reading, for clients

extension ServerFrame {
    /// Reads one frame. A client ignores fields that it does not know: a newer node may send them.
    ///
    /// - Parameters:
    ///   - bytes: the frame's payload.
    ///   - limits: bounds of what it may hold.
    /// - Returns: the frame; nil for a kind that this version does not know.
    /// - Throws: what is wrong with it.
    public static func decode(_ bytes: [UInt8], limits: Limits = .standard) throws(WireError) -> ServerFrame?
    {
        try lend(bytes) { bytes throws(WireError) in
            try JSONReader.read(bytes, depthMax: limits.jsonDepthMax) { reader throws(WireError) in
                var fields = Fields()
                try fields.read(from: &reader)
                return fields.frame
            }
        }
    }

    /// The frame as it is read, before it is known which kind it is.
    private struct Fields {
        var id: UInt64?
        var frame: ServerFrame?

        mutating func read(from reader: inout JSONReader) throws(WireError) {
            var found: ServerFrame?
            var id: UInt64?
            try reader.object { reader, name throws(WireError) in
                switch name {
                case "id": id = UInt64(try reader.integer(in: 0...Int64.max))
                case "connected": found = try Self.connected(&reader)
                case "push": found = try Self.push(&reader)
                case "reset": found = try Self.reset(&reader)
                case "error": found = try Self.error(&reader)
                case "ok":
                    _ = try reader.raw()
                    found = .ok(id: nil)
                case "pong":
                    _ = try reader.raw()
                    found = .pong(id: nil)
                default: _ = try reader.raw()
                }
            }
            switch found {
            case .ok: frame = .ok(id: id)
            case .pong: frame = .pong(id: id)
            case .error(_, let code, let message): frame = .error(id: id, code: code, message: message)
            default: frame = found
            }
        }

        private static func connected(_ reader: inout JSONReader) throws(WireError) -> ServerFrame {
            var user: UserID?
            var key: ConnectionKey?
            var node: NodeID?
            var place = Place()
            var isRecovered: Bool?
            try reader.object { reader, name throws(WireError) in
                switch name {
                case "user": user = try identifier(&reader, UserID.init)
                case "key": key = try identifier(&reader, ConnectionKey.init)
                case "node": node = try identifier(&reader, NodeID.init)
                case "epoch", "offset": try place.read(name, from: &reader)
                case "recovered": isRecovered = try reader.bool()
                default: _ = try reader.raw()
                }
            }
            guard let user, let key, let node else {
                throw WireError(.missingField, "lacks user, key or node")
            }
            var inbox: InboxStart?
            if let position = place.position, let isRecovered {
                inbox = InboxStart(position: position, isRecovered: isRecovered)
            }
            return .connected(user: user, key: key, node: node, inbox: inbox)
        }

        private static func reset(_ reader: inout JSONReader) throws(WireError) -> ServerFrame {
            var place = Place()
            try reader.object { reader, name throws(WireError) in
                switch name {
                case "epoch", "offset": try place.read(name, from: &reader)
                default: _ = try reader.raw()
                }
            }
            guard let position = place.position else {
                throw WireError(.missingField, "lacks epoch or offset")
            }
            return .reset(position)
        }

        private static func push(_ reader: inout JSONReader) throws(WireError) -> ServerFrame {
            var id: PushID?
            var message = Message()
            var room: RoomID?
            var wantsAck = false
            var place = Place()
            try reader.object { reader, name throws(WireError) in
                switch name {
                case "id": id = try identifier(&reader, PushID.init)
                case "event": message.event = try reader.string()
                case "op": message.op = Int32(try reader.integer(in: Int64(Int32.min)...Int64(Int32.max)))
                case "room": room = try identifier(&reader, RoomID.init)
                case "ack": wantsAck = try reader.bool()
                case "epoch", "offset": try place.read(name, from: &reader)
                case "data": message.payload = .json(try reader.raw())
                case "data_base64": message.payload = .binary(try Base64.decode(reader.string()))
                default: _ = try reader.raw()
                }
            }
            guard let id else { throw WireError(.missingField, field: "id", "is missing") }
            var push = PushFrame(id: id, message: message, room: room, wantsAck: wantsAck)
            push.position = place.position
            return .push(push)
        }

        private static func error(_ reader: inout JSONReader) throws(WireError) -> ServerFrame {
            var code = ""
            var message = ""
            try reader.object { reader, name throws(WireError) in
                switch name {
                case "code": code = try reader.string()
                case "message": message = try reader.string()
                default: _ = try reader.raw()
                }
            }
            return .error(id: nil, code: code, message: message)
        }
    }
}

/// A position as two members of an object.
private struct Place {
    var epoch: UInt64?
    var offset: UInt64?

    var position: InboxPosition? {
        guard let epoch, let offset else { return nil }
        return InboxPosition(epoch: epoch, offset: offset)
    }

    /// The epoch is written as a string: scripts hold only 53 bits of a number.
    mutating func read(_ name: String, from reader: inout JSONReader) throws(WireError) {
        guard name == "epoch" else {
            offset = UInt64(try reader.integer(in: 0...Int64.max))
            return
        }
        epoch = UInt64(try reader.string())
        if epoch == nil { throw WireError(.wrongType, "is not a number written as a string") }
    }
}
