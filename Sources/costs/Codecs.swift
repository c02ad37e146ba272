import HeraldCore
import HeraldSockets
import HeraldWire

/// Bytes into words and back: no I/O, one thread.
enum Codecs {
    /// Frames of clients, as they come most often: acknowledgements.
    static func decodeFrame(_ count: Int) throws {
        let bytes = Array(#"{"ack":{"id":"4h1k9q2v00000123"}}"#.utf8)
        var used = 0
        try bytes.withUnsafeBytes { bytes in
            for _ in 0..<count {
                if case .ack(let id) = try ClientFrame.decode(bytes, limits: .standard).body {
                    used &+= id.description.utf8.count
                }
            }
        }
        keep(used)
    }

    /// A push to a room as every client of it is shown it, up to the bytes on the wire.
    static func encodePush(_ count: Int) throws {
        let delivery = try Sample.delivery()
        let room = try RoomID(Sample.room)
        var used = 0
        for _ in 0..<count {
            let push = PushFrame(id: delivery.push, message: delivery.message, room: room)
            let parts = ServerFrame.push(push).encodedParts()
            used &+=
                OutboundFrame.text(parts.text, enclosing: parts.payload, at: parts.payloadPlace).byteCount
        }
        keep(used)
    }

    static func encodeEnvelope(_ count: Int) throws {
        let envelope = try Sample.envelope()
        var used = 0
        for _ in 0..<count { used &+= envelope.encoded().count }
        keep(used)
    }

    static func decodeEnvelope(_ count: Int) throws {
        let bytes = try Sample.envelope().encoded()
        var used = 0
        for _ in 0..<count { used &+= try Envelope(wire: bytes).deliveries.count }
        keep(used)
    }

    /// A result that somebody may look at cannot be left uncomputed.
    @inline(never)
    private static func keep(_ value: Int) { precondition(value != 0, "the work was done") }
}

/// What is pushed everywhere here: 100 bytes of JSON.
enum Sample {
    static let room = "news"
    static let payload = Array(#"{"order":42,"text":"\#(String(repeating: "x", count: 78))"}"#.utf8)

    static func message() -> Message { Message(event: "order.shipped", payload: .json(payload)) }

    /// To the room, with the question that every routed push asks.
    static func delivery() throws -> Delivery {
        Delivery(
            push: try PushID("4h1k9q2v00000123"),
            message: message(),
            targets: [.room(try RoomID(room))],
            query: ReceiptQuery(ticket: 7, confirm: .routed, patience: .seconds(3))
        )
    }

    static func envelope() throws -> Envelope {
        Envelope(sender: "logic-1-abcdef", deliveries: [try delivery()])
    }
}
