public import HeraldCore

/// What a client says in one JSON text frame (DESIGN.md §7): one object with one of the bodies, and an `id` if it
/// wants an answer to be told from others.
public struct ClientFrame: Sendable, Equatable {
    /// Comes back in the answer; chosen by the client.
    public var id: UInt64?
    public var body: Body

    public enum Body: Sendable, Equatable {
        case connect(ConnectRequest)
        case join(RoomID)
        case leave(RoomID)
        /// The client has this push.
        case ack(PushID)
        case ping
    }

    public init(id: UInt64? = nil, _ body: Body) {
        self.id = id
        self.body = body
    }

    /// Reads one frame.
    ///
    /// - Parameters:
    ///   - bytes: the frame's payload.
    ///   - limits: bounds of what it may hold.
    /// - Returns: the frame.
    /// - Throws: what is wrong with it, for the client's eyes.
    public static func decode(
        _ bytes: UnsafeRawBufferPointer,
        limits: Limits
    ) throws(WireError) -> ClientFrame {
        try JSONReader.read(bytes, depthMax: limits.jsonDepthMax) { reader throws(WireError) in
            var id: UInt64?
            var body: Body?
            try reader.object { reader, name throws(WireError) in
                guard name != "id" else {
                    id = UInt64(try reader.integer(in: 0...Int64.max))
                    return
                }
                guard body == nil else {
                    throw WireError(.conflictingFields, "is a second request in one frame")
                }
                switch name {
                case "connect": body = .connect(try ConnectRequest(from: &reader, limits: limits))
                case "join": body = .join(try room(&reader))
                case "leave": body = .leave(try room(&reader))
                case "ack": body = .ack(try push(&reader))
                case "ping":
                    try reader.object { reader, _ throws(WireError) in throw reader.unknownField() }
                    body = .ping
                default: throw reader.unknownField()
                }
            }
            guard let body else {
                throw WireError(.missingField, "asks for nothing: give connect, join, leave, ack or ping")
            }
            return ClientFrame(id: id, body)
        }
    }

    /// Writes the frame, as a client sends it.
    public func encoded() -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            if let id { writer.member("id", id) }
            switch body {
            case .connect(let request): writer.object("connect") { request.write(to: &$0) }
            case .join(let room): writer.object("join") { $0.member("room", room.description) }
            case .leave(let room): writer.object("leave") { $0.member("room", room.description) }
            case .ack(let push): writer.object("ack") { $0.member("id", push.description) }
            case .ping: writer.object("ping") { _ in }
            }
        }
        return writer.bytes
    }

    private static func room(_ reader: inout JSONReader) throws(WireError) -> RoomID {
        var room: RoomID?
        try reader.object { reader, name throws(WireError) in
            guard name == "room" else { throw reader.unknownField() }
            room = try identifier(&reader, RoomID.init)
        }
        guard let room else { throw WireError(.missingField, field: "room", "is missing") }
        return room
    }

    private static func push(_ reader: inout JSONReader) throws(WireError) -> PushID {
        var push: PushID?
        try reader.object { reader, name throws(WireError) in
            guard name == "id" else { throw reader.unknownField() }
            push = try identifier(&reader, PushID.init)
        }
        guard let push else { throw WireError(.missingField, field: "id", "is missing") }
        return push
    }
}

/// Who a client says it is. What is absent is chosen by the node.
public struct ConnectRequest: Sendable, Equatable {
    public var user: UserID?
    public var key: ConnectionKey?
    /// To join at once; each once.
    public var rooms: [RoomID]
    /// Given by a client that follows its user's inbox.
    public var resume: ResumeRequest?

    public init(
        user: UserID? = nil,
        key: ConnectionKey? = nil,
        rooms: [RoomID] = [],
        resume: ResumeRequest? = nil
    ) {
        self.user = user
        self.key = key
        self.rooms = rooms
        self.resume = resume
    }

    init(from reader: inout JSONReader, limits: Limits) throws(WireError) {
        var request = ConnectRequest()
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "user": request.user = try identifier(&reader, UserID.init)
            case "key": request.key = try identifier(&reader, ConnectionKey.init)
            case "rooms":
                try reader.array(max: limits.roomsPerConnectionMax) { reader throws(WireError) in
                    let room = try identifier(&reader, RoomID.init)
                    if !request.rooms.contains(room) { request.rooms.append(room) }
                }
            case "resume": request.resume = try ResumeRequest(from: &reader)
            default: throw reader.unknownField()
            }
        }
        self = request
    }

    func write(to writer: inout JSONWriter) {
        if let user { writer.member("user", user.description) }
        if let key { writer.member("key", key.description) }
        if !rooms.isEmpty { writer.array("rooms") { $0.strings(rooms) } }
        if let resume {
            writer.object("resume") { writer in
                guard case .after(let position) = resume else { return }
                writer.member("epoch", String(position.epoch))
                writer.member("offset", position.offset)
            }
        }
    }
}

extension ResumeRequest {
    /// `{}` for a client that begins, `{"epoch":"…","offset":41}` for one that returns.
    fileprivate init(from reader: inout JSONReader) throws(WireError) {
        var epoch: UInt64?
        var offset: UInt64?
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "epoch":
                epoch = UInt64(try reader.string())
                if epoch == nil { throw WireError(.badID, "is no epoch: give back what the node said") }
            case "offset": offset = UInt64(try reader.integer(in: 0...Int64.max))
            default: throw reader.unknownField()
            }
        }
        switch (epoch, offset) {
        case (let epoch?, let offset?): self = .after(InboxPosition(epoch: epoch, offset: offset))
        case (nil, nil): self = .fresh
        default: throw WireError(.missingField, "must have both epoch and offset, or neither")
        }
    }
}
