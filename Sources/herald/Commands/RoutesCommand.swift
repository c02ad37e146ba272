import ArgumentParser
import HeraldCore
import HeraldRedis
import HeraldWire

struct RoutesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "routes",
        abstract: "Shows where a user is connected, as Redis has it.",
        discussion: """
            Each line is one key's mapping: the session that holds it, when it was accepted, and when it ends \
            unless it is renewed. Only mappings of live nodes are shown.

            Exit codes: 0 there are routes, 1 there are none, 2 wrong usage, 69 Redis is out of reach.
            """
    )

    @Argument(help: "The user's id.") var user: String
    @Flag(help: "Print JSON.") var json = false
    @OptionGroup var shared: SharedOptions

    func run() async throws {
        let user: UserID
        do { user = try UserID(self.user) } catch { throw Failure(.usage, "\(error)") }
        let settings = try shared.settings()
        let (routes, now) = try await RedisSession.open(settings) { link in
            let table = settings.routeTable(link)
            do {
                let found = try await table.look(up: Lookup(users: [user])).users.first ?? []
                return (
                    found.sorted { $0.name.description < $1.name.description }, try await RedisClock.now(link)
                )
            } catch let error as RouteTableError {
                throw Failure(.unavailable, error.description)
            }
        }
        if json { showJSON(user, routes, now) } else { showTable(user, routes, now) }
        if routes.isEmpty { throw ExitCode(Failure.Code.no.rawValue) }
    }

    private func showTable(_ user: UserID, _ routes: [Route], _ now: RedisTime) {
        guard !routes.isEmpty else { return Console.say("\(user) is not connected") }
        var table = TextTable("KEY", "NODE", "INCARNATION", "SESSION", "ACCEPTED", "ENDS IN")
        for route in routes {
            table.add(
                .init(route.name.description),
                .init(route.session.node.description),
                .init(route.session.incarnation.description),
                .init(String(route.session.counter)),
                .init(Elapsed.text(from: route.epoch.number, to: now.milliseconds) + " ago"),
                .init(Elapsed.text(from: now.milliseconds, to: route.expires.milliseconds))
            )
        }
        table.show()
    }

    private func showJSON(_ user: UserID, _ routes: [Route], _ now: RedisTime) {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("user", user.description)
            writer.member("now", now.milliseconds)
            writer.array("routes") { writer in
                for route in routes {
                    writer.object { writer in
                        writer.member("key", route.name.key.description)
                        writer.member("node", route.session.node.description)
                        writer.member("incarnation", route.session.incarnation.number)
                        writer.member("session", route.session.description)
                        writer.member("epoch", route.epoch.number)
                        writer.member("expires", route.expires.milliseconds)
                    }
                }
            }
        }
        Console.say(writer.bytes)
    }
}

/// Redis's own clock.
enum RedisClock {
    static func now(_ link: RedisLink) async throws -> RedisTime {
        let parts: [RedisValue]?
        do { parts = try await link.send(RedisCommand("TIME")).elements } catch {
            throw Failure(.unavailable, "Redis does not tell its time: \(error)")
        }
        guard let parts, parts.count == 2, let seconds = parts[0].number, let micros = parts[1].number else {
            throw Failure(.unavailable, "Redis does not tell its time")
        }
        return RedisTime(milliseconds: UInt64(max(0, seconds)) * 1000 + UInt64(max(0, micros)) / 1000)
    }
}

/// Spans of time for people: the largest unit that says enough.
enum Elapsed {
    static func text(from start: UInt64, to end: UInt64) -> String {
        let seconds = end > start ? Double(end - start) / 1000 : 0
        switch seconds {
        case ..<10: return "\((seconds * 10).rounded() / 10) s"
        case ..<120: return "\(Int(seconds)) s"
        case ..<7200: return "\(Int(seconds / 60)) min"
        case ..<172_800: return "\(Int(seconds / 3600)) h"
        default: return "\(Int(seconds / 86_400)) d"
        }
    }
}
