import HeraldCore
import HeraldSockets
import HeraldWire

/// Reads who a client says it is from the upgrade's query: `?user=alice&key=phone&room=news&room=sports`.
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
            default:
                throw Refusal(message: "unknown parameter \(quoted(item.name)): give user, key and room")
            }
        }
        guard request.user != nil else {
            throw Refusal(message: "user is missing: give it, or nothing here and connect in the first frame")
        }
        return request
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
