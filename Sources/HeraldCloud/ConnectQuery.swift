import HeraldCore
import HeraldSockets
import HeraldWire

/// Reads who a client says it is from the upgrade's query: `?user=alice&key=phone&room=news&room=sports`, and with
/// `resume=new` or `resume=EPOCH.OFFSET` that it follows its user's inbox.
enum ConnectQuery {
    /// Why the query is refused, for the client's eyes (400).
    struct Refusal: Error, Equatable {
        let message: String
    }

    /// - Returns: nil when the query says nothing: `connect` comes in the first frame.
    static func read(
        _ items: [HTTPRequestHead.QueryItem],
        limits: Limits
    ) throws(Refusal) -> ConnectRequest? {
        guard !items.isEmpty else { return nil }
        var request = ConnectRequest()
        for item in items {
            switch item.name {
            case "user":
                guard request.user == nil else { throw Refusal(message: "user is given twice") }
                request.user = try identifier(item.value, UserID.init)
            case "key":
                guard request.key == nil else { throw Refusal(message: "key is given twice") }
                request.key = try identifier(item.value, ConnectionKey.init)
            case "room":
                let room = try identifier(item.value, RoomID.init)
                guard !request.rooms.contains(room) else { continue }
                request.rooms.append(room)
                guard request.rooms.count <= limits.roomsPerConnectionMax else {
                    throw Refusal(message: "more than \(limits.roomsPerConnectionMax) rooms")
                }
            case "resume":
                guard request.resume == nil else { throw Refusal(message: "resume is given twice") }
                request.resume = try resume(item.value)
            default:
                throw Refusal(
                    message: "unknown parameter \(quoted(item.name)): give user, key, room and resume"
                )
            }
        }
        guard request.user != nil else {
            throw Refusal(message: "user is missing: give it, or nothing here and connect in the first frame")
        }
        return request
    }

    private static func resume(_ text: String) throws(Refusal) -> ResumeRequest {
        if text == "new" { return .fresh }
        guard let position = InboxPosition(text) else {
            throw Refusal(message: "resume must be new, or EPOCH.OFFSET as the node said it")
        }
        return .after(position)
    }

    private static func identifier<ID>(
        _ text: String,
        _ make: (String) throws(InvalidIdentifier) -> ID
    ) throws(Refusal) -> ID {
        do { return try make(text) } catch { throw Refusal(message: error.description) }
    }

    /// Short enough for a line, whatever was sent.
    private static func quoted(_ name: String) -> String {
        "\"" + String(name.prefix(40)) + (name.count > 40 ? "…" : "") + "\""
    }
}
