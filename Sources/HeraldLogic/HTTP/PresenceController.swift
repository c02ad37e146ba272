import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird
import NIOCore

/// Who is there: many users at once, rooms by size, a room's members. Answered from the table, never by nodes.
struct PresenceController<Table: RouteTable>: Sendable {
    let table: Table
    let limits: Limits

    var endpoints: [Endpoint] {
        [
            Endpoint(.post, "/v1/presence") { (request, _) async throws(Problem) in
                try await presence(of: users(request))
            },
            Endpoint(.get, "/v1/rooms") { (request, _) async throws(Problem) in
                let query = try QueryParameters(request.uri.query, known: ["top"])
                return try await rooms(query.number("top", in: 1...limits.largestRoomsMax, otherwise: 10))
            },
            Endpoint(.get, "/v1/rooms/{room}/members") { (request, parameters) async throws(Problem) in
                let query = try QueryParameters(request.uri.query, known: ["cursor", "limit"])
                return try await members(
                    of: parameters.id(0, RoomID.init),
                    after: query.text("cursor").map(MemberCursor.decode),
                    limit: query.number("limit", in: 1...limits.membersPageMax, otherwise: 100)
                )
            },
        ]
    }

    // MARK: Users

    private func users(_ request: Request) async throws(Problem) -> [UserID] {
        let body = try await request.wholeBody(max: limits.pushBytesMax)
        let result = body.withUnsafeReadableBytes { bytes -> Result<[UserID], WireError> in
            do throws(WireError) {
                return .success(try PresenceQuestion.decode(bytes, limits: limits))
            } catch {
                return .failure(error)
            }
        }
        do { return try result.get() } catch { throw Problem(error) }
    }

    private func presence(of users: [UserID]) async throws(Problem) -> Response {
        let routes: [[Route]]
        do { routes = try await table.look(up: Lookup(users: users)).users } catch { throw Problem(error) }
        return .json { writer in
            writer.object { writer in
                writer.array("users") { writer in
                    for (user, routes) in zip(users, routes) {
                        writer.object { writer in
                            writer.member("user", user.description)
                            writer.member("online", !routes.isEmpty)
                            writer.member("connections", routes.count)
                        }
                    }
                }
                writer.member("online", routes.count { !$0.isEmpty })
            }
        }
    }

    // MARK: Rooms

    private func rooms(_ count: Int) async throws(Problem) -> Response {
        let largest: LargestRooms
        do { largest = try await table.largestRooms(count) } catch { throw Problem(error) }
        return .json { writer in
            writer.object { writer in
                writer.array("rooms") { writer in
                    for size in largest.rooms {
                        writer.object { writer in
                            writer.member("room", size.room.description)
                            writer.member("members", size.members)
                            writer.member("nodes", size.nodes)
                        }
                    }
                }
                writer.member("exact", largest.isExact)
            }
        }
    }

    private func members(
        of room: RoomID,
        after cursor: UserKey?,
        limit: Int
    ) async throws(Problem) -> Response {
        let page: RoomMembers
        do {
            page = try await table.members(of: room, after: cursor, limit: limit)
        } catch {
            throw Problem(error)
        }
        return .json { writer in
            writer.object { writer in
                writer.member("room", room.description)
                writer.array("members") { writer in
                    for member in page.members {
                        writer.object { writer in
                            writer.member("user", member.name.user.description)
                            writer.member("key", member.name.key.description)
                            writer.member("node", member.node.description)
                        }
                    }
                }
                writer.member("total", page.total)
                writer.member("complete", page.listed >= page.total)
                if let next = page.next { writer.member("next", MemberCursor.encode(next)) }
            }
        }
    }
}

/// The body of `POST /v1/presence`.
enum PresenceQuestion {
    /// - Returns: the users in the order asked, each once.
    static func decode(_ body: UnsafeRawBufferPointer, limits: Limits) throws(WireError) -> [UserID] {
        var users: [UserID]?
        try JSONReader.read(body, depthMax: limits.jsonDepthMax) { reader throws(WireError) in
            try reader.object { reader, name throws(WireError) in
                guard name == "users" else { throw reader.unknownField() }
                users = try list(&reader, max: limits.targetsMax)
            }
        }
        guard let users else { throw WireError(.missingField, field: "users", "is missing") }
        return users
    }

    private static func list(_ reader: inout JSONReader, max: Int) throws(WireError) -> [UserID] {
        var users: [UserID] = []
        var seen: Set<UserID> = []
        try reader.array(max: max) { reader throws(WireError) in
            let text = try reader.string()
            let user: UserID
            do { user = try UserID(text) } catch { throw WireError(.badID, "is no id: the \(error)") }
            if seen.insert(user).inserted { users.append(user) }
        }
        return users
    }
}

/// Where a page of members ended: the last name's bytes in hexadecimal, so that it needs no encoding in a query.
enum MemberCursor {
    static func encode(_ name: UserKey) -> String {
        name.description.utf8.reduce(into: "") { text, byte in
            text += byte < 16 ? "0" : ""
            text += String(byte, radix: 16)
        }
    }

    static func decode(_ text: String) throws(Problem) -> UserKey {
        let digits = text.utf8.compactMap(PathParameters.hexadecimal)
        let bytes = stride(from: 0, to: digits.count - 1, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
        guard digits.count == text.utf8.count, digits.count.isMultiple(of: 2),
            let name = String(validating: bytes, as: UTF8.self).flatMap({ try? UserKey($0) })
        else { throw .badParameter("cursor", "must be `next` of the page before") }
        return name
    }
}
