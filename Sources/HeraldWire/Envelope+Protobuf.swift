public import HeraldCore

/// Envelopes as bytes: `envelope.proto`, written by hand (see Protobuf.swift for why).
extension Envelope {
    /// Writes the envelope.
    public func encoded() -> [UInt8] {
        let payloads = deliveries.reduce(0) {
            $0 + 64 + ($1.message.payload?.bytes.count ?? 0) + $1.targets.count * 24
        }
        var writer = ProtobufWriter(capacity: 64 + payloads + closes.count * 64)
        writer.string(1, sender)
        for delivery in deliveries { writer.message(2) { delivery.write(to: &$0) } }
        for close in closes { writer.message(3) { close.write(to: &$0) } }
        return writer.bytes
    }

    /// Reads an envelope.
    ///
    /// - Parameter bytes: what came from the channel, whoever published it.
    /// - Throws: `bad_envelope` or `bad_id`; nothing of it may be used then.
    public init(wire bytes: [UInt8]) throws(WireError) {
        self = try lend(bytes) { bytes throws(WireError) in
            var envelope = Envelope(sender: "")
            var reader = ProtobufReader(bytes)
            while let (field, value) = try reader.next() {
                switch field {
                case 1: envelope.sender = try value.text()
                case 2: envelope.deliveries.append(try Delivery(from: value.message()))
                case 3: envelope.closes.append(try CloseOrder(from: value.message()))
                default: break
                }
            }
            return envelope
        }
    }
}

extension Delivery {
    fileprivate func write(to writer: inout ProtobufWriter) {
        writer.string(1, push.description)
        if let event = message.event { writer.string(2, event) }
        if let op = message.op { writer.zigzag(3, op) }
        switch message.payload {
        case .json(let bytes): writer.bytes(4, bytes)
        case .binary(let bytes): writer.bytes(5, bytes)
        case nil: break
        }
        for (place, target) in targets.enumerated() {
            writer.message(6) { writer in
                target.write(to: &writer)
                position(at: place)?.write(to: &writer)
            }
        }
        for key in exclude { writer.message(7) { key.write(to: &$0) } }
        if let query { writer.message(8) { query.write(to: &$0) } }
        if let key = queuePolicy.collapseKey { writer.string(9, key.description) }
        if queuePolicy.isDroppable { writer.unsigned(10, 1) }
    }

    fileprivate init(from reader: ProtobufReader) throws(WireError) {
        var reader = reader
        var push: PushID?
        var message = Message()
        var targets: [Target] = []
        var positions: [InboxPosition?] = []
        var exclude: [UserKey] = []
        var query: ReceiptQuery?
        var policy = QueuePolicy()
        while let (field, value) = try reader.next() {
            switch field {
            case 1: push = try named(value, PushID.init)
            case 2: message.event = try value.text()
            case 3:
                message.op = value.number.map { Int32(bitPattern: UInt32(truncatingIfNeeded: $0)) }.map(
                    unzigzag
                )
            case 4: message.payload = .json(Array(try octets(value)))
            case 5: message.payload = .binary(Array(try octets(value)))
            case 6:
                let field = try value.message()
                guard let target = try Target(from: field) else { break }
                targets.append(target)
                positions.append(try InboxPosition(from: field))
            case 7: exclude.append(try UserKey(from: value.message()))
            case 8: query = ReceiptQuery(from: try ProtobufNumbers(value.message()))
            case 9: policy.collapseKey = try named(value, CollapseKey.init)
            // A class that this version does not know is the normal one.
            case 10: policy.isDroppable = value.number == 1
            default: break
            }
        }
        guard let push else { throw ProtobufReader.broken("a delivery has no push id") }
        if positions.allSatisfy({ $0 == nil }) { positions = [] }
        self.init(
            push: push,
            message: message,
            targets: targets,
            positions: positions,
            exclude: exclude,
            queuePolicy: policy,
            query: query
        )
    }
}

extension Target {
    fileprivate func write(to writer: inout ProtobufWriter) {
        switch self {
        case .user(let user): writer.string(1, user.description)
        case .key(let key): writer.message(2) { key.write(to: &$0) }
        case .room(let room): writer.string(3, room.description)
        case .everyone: writer.unsigned(4, 1)
        }
    }

    /// - Returns: nil for a kind of target that this version does not know.
    fileprivate init?(from reader: ProtobufReader) throws(WireError) {
        var reader = reader
        var target: Target?
        while let (field, value) = try reader.next() {
            switch field {
            case 1: target = .user(try named(value, UserID.init))
            case 2: target = .key(try UserKey(from: value.message()))
            case 3: target = .room(try named(value, RoomID.init))
            case 4: target = .everyone
            default: break
            }
        }
        guard let target else { return nil }
        self = target
    }
}

extension InboxPosition {
    /// Beside the target whose inbox it is about.
    fileprivate func write(to writer: inout ProtobufWriter) {
        writer.unsigned(5, epoch)
        writer.unsigned(6, offset)
    }

    /// From a target's message; nil when that has no epoch.
    fileprivate init?(from target: ProtobufReader) throws(WireError) {
        let numbers = try ProtobufNumbers(target)
        guard numbers[5] > 0 else { return nil }
        self.init(epoch: numbers[5], offset: numbers[6])
    }
}

extension UserKey {
    fileprivate func write(to writer: inout ProtobufWriter) {
        writer.string(1, user.description)
        writer.string(2, key.description)
    }

    fileprivate init(from reader: ProtobufReader) throws(WireError) {
        var reader = reader
        var user: UserID?
        var key: ConnectionKey?
        while let (field, value) = try reader.next() {
            switch field {
            case 1: user = try named(value, UserID.init)
            case 2: key = try named(value, ConnectionKey.init)
            default: break
            }
        }
        guard let user, let key else { throw ProtobufReader.broken("a key lacks its user or its name") }
        self.init(user: user, key: key)
    }
}

extension CloseOrder {
    fileprivate func write(to writer: inout ProtobufWriter) {
        writer.message(1) { name.write(to: &$0) }
        if let session { writer.string(2, session.description) }
        writer.unsigned(3, UInt64(code.number))
    }

    fileprivate init(from reader: ProtobufReader) throws(WireError) {
        var reader = reader
        var name: UserKey?
        var session: SessionID?
        var code: UInt16?
        while let (field, value) = try reader.next() {
            switch field {
            case 1: name = try UserKey(from: value.message())
            case 2:
                session = SessionID(try value.text())
                guard session != nil else { throw ProtobufReader.broken("a session is none") }
            case 3: code = value.number.flatMap(UInt16.init(exactly:))
            default: break
            }
        }
        guard let name, let code else {
            throw ProtobufReader.broken("a close order lacks its key or its code")
        }
        self.init(name: name, session: session, code: CloseCode(number: code))
    }
}

private func unzigzag(_ number: Int32) -> Int32 {
    Int32(bitPattern: UInt32(bitPattern: number) >> 1) ^ -(number & 1)
}

private func octets(_ value: ProtobufReader.Value) throws(WireError) -> UnsafeRawBufferPointer {
    guard let content = value.content else { throw ProtobufReader.broken("a payload is none") }
    return content
}

func named<ID>(
    _ value: ProtobufReader.Value,
    _ make: (String) throws(InvalidIdentifier) -> ID
) throws(WireError) -> ID {
    let text = try value.text()
    do { return try make(text) } catch { throw WireError(.badID, "holds what is no id: the \(error)") }
}
