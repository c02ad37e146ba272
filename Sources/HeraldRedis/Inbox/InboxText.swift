import HeraldCore

/// Messages as the entries of a stream, readable with redis-cli: `push`, `at`, then `event`, `op` and `json` or `binary`
/// where the message has them.
enum InboxText {
    /// The fields of an entry behind `push` and `at`, which the script writes.
    static func fields(_ message: Message) -> [RedisArgument] {
        var fields: [RedisArgument] = []
        if let event = message.event { fields += ["event", .text(event)] }
        if let op = message.op { fields += ["op", .integer(Int64(op))] }
        switch message.payload {
        case .json(let bytes): fields += ["json", .bytes(bytes)]
        case .binary(let bytes): fields += ["binary", .bytes(bytes)]
        case nil: break
        }
        return fields
    }

    /// The place that a reply begins with: epoch, offset.
    static func position(_ words: [RedisValue]) -> InboxPosition? {
        guard words.count >= 2, let epoch = words[0].number, let offset = words[1].number, epoch >= 0,
            offset >= 0
        else { return nil }
        return InboxPosition(epoch: UInt64(epoch), offset: UInt64(offset))
    }

    /// - Returns: nil for what is no entry of an inbox.
    static func message(_ entry: RedisValue, epoch: UInt64) -> InboxMessage? {
        guard let pair = entry.elements, pair.count == 2, let id = pair[0].text, id.hasSuffix("-0"),
            let offset = UInt64(id.dropLast(2)), let words = pair[1].elements
        else { return nil }
        var push: PushID?
        var at: UInt64?
        var message = Message()
        for index in stride(from: 0, to: words.count - 1, by: 2) {
            let value = words[index + 1]
            switch words[index].text {
            case "push": push = value.text.flatMap { try? PushID($0) }
            case "at": at = value.number.flatMap(UInt64.init(exactly:))
            case "event": message.event = value.text
            case "op": message.op = value.number.flatMap(Int32.init(exactly:))
            case "json": if case .string(let bytes) = value { message.payload = .json(bytes) }
            case "binary": if case .string(let bytes) = value { message.payload = .binary(bytes) }
            default: break
            }
        }
        guard let push, let at else { return nil }
        return InboxMessage(
            position: InboxPosition(epoch: epoch, offset: offset),
            push: push,
            message: message,
            at: RedisTime(milliseconds: at)
        )
    }
}
