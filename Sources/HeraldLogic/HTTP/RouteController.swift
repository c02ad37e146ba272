import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird

/// Who is where: one user and one room as the table shows them, and closing a connection.
struct RouteController<Table: RouteTable, Channel: Bus>: Sendable {
    let table: Table
    let bus: Channel
    /// This process's name, as envelopes carry it.
    let sender: String

    var endpoints: [Endpoint] {
        [
            Endpoint(.get, "/v1/users/{user}") { (_, parameters) async throws(Problem) in
                try await user(parameters.id(0, UserID.init))
            },
            Endpoint(.delete, "/v1/users/{user}/connections/{key}") { (_, parameters) async throws(Problem) in
                try await close(
                    UserKey(user: parameters.id(0, UserID.init), key: parameters.id(1, ConnectionKey.init))
                )
            },
            Endpoint(.get, "/v1/rooms/{room}") { (_, parameters) async throws(Problem) in
                try await room(parameters.id(0, RoomID.init))
            },
        ]
    }

    private func user(_ user: UserID) async throws(Problem) -> Response {
        let routes = try await look(up: Lookup(users: [user])).users[0]
        return .json { writer in
            writer.object { writer in
                writer.member("user", user.description)
                writer.member("online", !routes.isEmpty)
                writer.array("connections") { writer in
                    for route in routes {
                        writer.object { writer in
                            writer.member("key", route.name.key.description)
                            writer.member("node", route.session.node.description)
                            writer.member("session", route.session.description)
                            writer.member("since", route.epoch.number)
                            writer.member("expires", route.expires.milliseconds)
                        }
                    }
                }
            }
        }
    }

    /// Orders the node that holds the connection to close it. Only that session: if the client has come back
    /// meanwhile, its new connection stays.
    private func close(_ name: UserKey) async throws(Problem) -> Response {
        guard let route = try await look(up: Lookup(keys: [name])).keys[0] else {
            throw Problem(.notFound, "no_connection", "nobody is connected as \(name)")
        }
        let order = CloseOrder(name: name, session: route.session, code: .kicked)
        let envelope = Envelope(sender: sender, closes: [order])
        let reached: [Int]
        do {
            reached = try await bus.publish([BusMessage(node: route.session.node, bytes: envelope.encoded())])
        } catch {
            throw .unconfirmed("Redis did not confirm the order; the connection may have been closed")
        }
        guard reached.first != 0 else {
            throw .unconfirmed("\(route.session.node) holds the connection and does not listen just now")
        }
        return .json { writer in
            writer.object { writer in
                writer.object("closed") { writer in
                    writer.member("user", name.user.description)
                    writer.member("key", name.key.description)
                    writer.member("node", route.session.node.description)
                    writer.member("session", route.session.description)
                    writer.member("code", order.code.number)
                }
            }
        }
    }

    private func room(_ room: RoomID) async throws(Problem) -> Response {
        let shares = try await look(up: Lookup(rooms: [room])).rooms[0]
        return .json { writer in
            writer.object { writer in
                writer.member("room", room.description)
                writer.member("members", shares.reduce(0) { $0 + $1.members })
                writer.array("nodes") { writer in
                    for share in shares {
                        writer.object { writer in
                            writer.member("node", share.node.description)
                            writer.member("members", share.members)
                        }
                    }
                }
            }
        }
    }

    private func look(up lookup: Lookup) async throws(Problem) -> LookupAnswer {
        do { return try await table.look(up: lookup) } catch { throw Problem(error) }
    }
}

extension Problem {
    fileprivate static func unconfirmed(_ detail: String) -> Self {
        var problem = Self(.serviceUnavailable, "unreachable", detail)
        problem.retryAfterSeconds = 1
        return problem
    }
}
