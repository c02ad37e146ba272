import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird

/// The nodes, what they hold together, and which of them a new client should go to.
struct NodeController<Table: RouteTable>: Sendable {
    let table: Table
    let limits: Limits
    /// The live nodes as read within the last seconds; nil while Redis does not answer. From a probe that runs
    /// anyway: in a storm of connects this is asked by everybody, and costs Redis nothing.
    let recent: @Sendable () -> [NodeRecord]?

    var endpoints: [Endpoint] {
        [
            Endpoint(.get, "/v1/nodes") { (_, _) async throws(Problem) in try await nodes() },
            Endpoint(.get, "/v1/nodes/best") { (request, _) async throws(Problem) in
                let query = try QueryParameters(request.uri.query, known: ["region", "count"])
                let count = try query.number("count", in: 1...limits.nodesChosenMax, otherwise: 3)
                return try best(count, region: query.text("region"))
            },
            Endpoint(.get, "/v1/online") { (_, _) async throws(Problem) in try await online() },
        ]
    }

    private func nodes() async throws(Problem) -> Response {
        let records = try await records()
        return .json { writer in
            writer.object { writer in
                writer.array("nodes") { writer in
                    for record in records { writer.node(record) }
                }
            }
        }
    }

    private func best(_ count: Int, region: String?) throws(Problem) -> Response {
        guard let records = recent() else { throw Problem(RouteTableError.unavailable("not read lately")) }
        var dice = SystemRandomNumberGenerator()
        let advice: NodeAdvice
        do {
            advice = try NodeChoice.choose(from: records, region: region, count: count, using: &dice)
        } catch {
            throw Problem(error)
        }
        return .json { writer in
            writer.object { writer in
                writer.array("nodes") { writer in
                    for node in advice.nodes {
                        writer.object { writer in
                            writer.member("node", node.id.description)
                            writer.member("url", node.url)
                            writer.member("region", node.region)
                        }
                    }
                }
                writer.member("fallback", advice.isFallback)
                writer.member("retry_after_ms", advice.retryAfter.wholeMilliseconds)
            }
        }
    }

    /// A user, and a room, on two nodes counts twice in the sum: nobody knows better without reading every route.
    /// But there are at least as many as the node with the most has.
    private func online() async throws(Problem) -> Response {
        let records = try await records()
        return .json { writer in
            writer.object { writer in
                writer.member("connections", records.reduce(0) { $0 + $1.load.connections })
                writer.member("users", records.reduce(0) { $0 + $1.load.users })
                writer.member("rooms", records.reduce(0) { $0 + $1.load.rooms })
                writer.member("nodes", records.count)
                writer.member("users_least", records.map(\.load.users).max() ?? 0)
                writer.member("rooms_least", records.map(\.load.rooms).max() ?? 0)
            }
        }
    }

    private func records() async throws(Problem) -> [NodeRecord] {
        do { return try await table.nodes() } catch { throw Problem(error) }
    }
}

extension Problem {
    init(_ error: NoNode) {
        let detail =
            switch error.reason {
            case .noneLive: "no cloud node is there"
            case .allDraining: "every cloud node is about to stop"
            case .allFull: "every cloud node has as many connections as it takes"
            }
        self.init(.serviceUnavailable, "no_node", detail)
        retryAfterSeconds = max(1, (error.retryAfter.wholeMilliseconds + 999) / 1000)
    }
}

extension JSONWriter {
    fileprivate mutating func node(_ record: NodeRecord) {
        object { writer in
            writer.member("node", record.profile.id.description)
            writer.member("incarnation", record.lease.incarnation.number)
            writer.member("state", record.state.rawValue)
            writer.member("url", record.profile.url)
            writer.member("region", record.profile.region)
            writer.member("weight", record.profile.weight)
            writer.member("capacity", record.profile.capacity)
            writer.member("version", record.profile.version)
            writer.member("connections", record.load.connections)
            writer.member("users", record.load.users)
            writer.member("rooms", record.load.rooms)
            writer.member("started", record.started.milliseconds)
            writer.member("lease_expires", record.lease.deadline.milliseconds)
        }
    }
}
