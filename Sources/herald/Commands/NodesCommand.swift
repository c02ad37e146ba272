import ArgumentParser
import HeraldCore
import HeraldRedis
import HeraldWire

struct NodesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "nodes",
        abstract: "Shows the cloud nodes whose leases are live, as Redis has them.",
        discussion:
            "Exit codes: 0 there are nodes, 1 there are none, 2 wrong usage, 69 Redis is out of reach."
    )

    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var shared: SharedOptions

    func run() async throws {
        let settings = try shared.settings()
        let (nodes, now) = try await RedisSession.open(settings) { link in
            let table = settings.routeTable(link)
            do {
                return (try await table.nodes(), try await RedisClock.now(link))
            } catch let error as RouteTableError {
                throw Failure(.unavailable, error.description)
            }
        }
        if json { showJSON(nodes, now) } else { showTable(nodes, now) }
        if nodes.isEmpty { throw ExitCode(Failure.Code.no.rawValue) }
    }

    private func showTable(_ nodes: [NodeRecord], _ now: RedisTime) {
        guard !nodes.isEmpty else { return Console.say("no cloud node has a live lease") }
        var table = TextTable(
            "NODE",
            "INCARNATION",
            "STATE",
            "CONNECTIONS",
            "USERS",
            "ROOMS",
            "LEASE",
            "UP",
            "URL"
        )
        for node in nodes {
            table.add(
                .init(node.profile.id.description),
                .init(node.lease.incarnation.description),
                .init(node.state.rawValue, node.state == .live ? .good : .warning),
                .init(String(node.load.connections)),
                .init(String(node.load.users)),
                .init(String(node.load.rooms)),
                .init(Elapsed.text(from: now.milliseconds, to: node.lease.deadline.milliseconds)),
                .init(Elapsed.text(from: node.started.milliseconds, to: now.milliseconds)),
                .init(node.profile.url)
            )
        }
        table.show()
    }

    private func showJSON(_ nodes: [NodeRecord], _ now: RedisTime) {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("now", now.milliseconds)
            writer.array("nodes") { writer in
                for node in nodes {
                    writer.object { writer in
                        writer.member("node", node.profile.id.description)
                        writer.member("incarnation", node.lease.incarnation.number)
                        writer.member("url", node.profile.url)
                        writer.member("region", node.profile.region)
                        writer.member("weight", node.profile.weight)
                        writer.member("version", node.profile.version)
                        writer.member("state", node.state.rawValue)
                        writer.member("connections", node.load.connections)
                        writer.member("users", node.load.users)
                        writer.member("rooms", node.load.rooms)
                        writer.member("lease", node.lease.deadline.milliseconds)
                        writer.member("started", node.started.milliseconds)
                    }
                }
            }
        }
        Console.say(writer.bytes)
    }
}
