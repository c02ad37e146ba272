public import HeraldCore

/// A page of an inbox as the HTTP API shows it.
public enum InboxJSON {
    /// Writes a page that was browsed.
    ///
    /// `next` is there when there is more: the place to go on from.
    public static func encode(_ page: InboxPage) -> [UInt8] {
        var writer = JSONWriter(capacity: 128 + page.messages.count * 256)
        writer.object { writer in
            writer.member("epoch", String(page.head.epoch))
            writer.member("offset", page.head.offset)
            writer.member("continuous", page.isContinuous)
            writer.array("messages") { writer in
                for message in page.messages { write(message, to: &writer) }
            }
            if let last = page.messages.last?.position, last.offset < page.head.offset {
                writer.member("next", last.description)
            }
        }
        return writer.bytes
    }

    private static func write(_ stored: InboxMessage, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.member("offset", stored.position.offset)
            writer.member("id", stored.push.description)
            writer.member("at", stored.at.milliseconds)
            if let event = stored.message.event { writer.member("event", event) }
            if let op = stored.message.op { writer.member("op", op) }
            switch stored.message.payload {
            case .json(let bytes):
                writer.name("data")
                writer.raw(bytes)
            case .binary(let bytes): writer.member("data_base64", Base64.encode(bytes))
            case nil: break
            }
        }
    }
}
