import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting
import HeraldWire
import Testing

/// Who comes and goes, as the backend is told: events in Redis, written by real nodes, also for those that die.
@Suite(.timeLimit(.minutes(10))) struct PresenceEventTests {
    @Test func `each connection is told as it comes, is replaced and goes, once and in order`() async throws {
        try await LocalHerald.run(nodes: 2, environment: ["HERALD_PRESENCE_GRACE": "1s"]) { herald in
            let first = Witness.Place(url: herald.cloudURL(1), user: "alice", key: "phone")
            let second = Witness.Place(url: herald.cloudURL(2), user: "alice", key: "phone")
            try await Witness.with([first]) { _ in
                try await Witness.with([second]) { _ in
                    try await eventually("the replacement is told") {
                        try await herald.events().map(\.type) == ["connected", "replaced"]
                    }
                }
            }
            try await eventually("the end is told") {
                try await herald.events().map(\.type) == ["connected", "replaced", "disconnected"]
            }
            let events = try await herald.events()
            #expect(events.map(\.node) == ["cloud-1", "cloud-2", "cloud-2"])
            #expect(events.map(\.connections) == [1, 1, 0])
            #expect(events[1].previous == events[0].session)
            #expect(events[2].reason == "closed")
            #expect(Set(events.map(\.id)).count == 3)
        }
    }

    @Test func `a quick return is not told, also when it is to another node`() async throws {
        try await LocalHerald.run(nodes: 2, environment: ["HERALD_PRESENCE_GRACE": "20s"]) { herald in
            for node in [1, 2, 1] {
                try await Witness.with([
                    Witness.Place(url: herald.cloudURL(node), user: "alice", key: "phone")
                ]) { _ in }
                try await eventually("its departure is held") {
                    try await herald.redis("hget", "herald:user:{alice}", "phone")[0].hasPrefix("~")
                }
            }
            #expect(try await herald.events().map(\.type) == ["connected"])
        }
    }

    @Test func `a user's connections are bounded over all nodes, and the oldest goes`() async throws {
        let two = ["HERALD_PRESENCE_CONNECTIONS_PER_USER": "2", "HERALD_PRESENCE_GRACE": "0s"]
        try await LocalHerald.run(nodes: 2, environment: two) { herald in
            func place(_ key: String, _ node: Int) -> Witness.Place {
                Witness.Place(url: herald.cloudURL(node), user: "alice", key: key)
            }
            try await Witness.with([place("phone", 1)]) { phone in
                try await Witness.with([place("laptop", 2)]) { _ in
                    try await Witness.with([place("watch", 2)]) { _ in
                        try await eventually("the oldest is closed, on the other node") {
                            phone[0].end?.code == .tooManyConnections
                        }
                        let left = try await herald.redis("hkeys", "herald:user:{alice}")
                        #expect(left.sorted() == ["laptop", "watch"])
                        try await eventually("that is told") {
                            try await herald.events().map(\.type)
                                == ["connected", "connected", "disconnected", "connected"]
                        }
                        #expect(try await herald.events()[2].reason == "evicted")
                    }
                }
            }
        }
    }

    @Test func `the users of a node that was killed are told as gone, once, and those who came back are not`()
        async throws
    {
        let count = Soak.size(400, soak: 5000)
        // The full size with the standard lease and grace.
        let quick = [
            "HERALD_LIMITS_LEASE_TTL": "3s", "HERALD_LIMITS_LEASE_RENEWAL": "1s",
            "HERALD_PRESENCE_GRACE": "2s",
        ]
        try await LocalHerald.run(nodes: 2, environment: Soak.isOn ? [:] : quick) { herald in
            try await Crowd.with([(port: herald.cloudPort, users: 0..<count)], in: herald.folder) { crowds in
                // Who has just started judges nobody.
                try await eventually("the survivor may judge", within: .seconds(60)) {
                    try await herald.page(ofNode: 2).contains("\nherald_reaper_trusting 1")
                }
                try herald.signal("cloud-1", SIGKILL)
                let killed = Date.now
                let back = 0..<count / 10
                try await Crowd.with([(port: herald.cloudPort + 1, users: back)], in: herald.folder) { _ in
                    try await eventually("all departures are told", within: .seconds(60)) {
                        try await herald.events().count { $0.type == "disconnected" } >= count - back.count
                    }
                    let events = try await herald.events()
                    let gone = events.filter { $0.type == "disconnected" }
                    // By Redis's clock, which is this machine's: reading thousands of events takes a while itself.
                    let last = try #require(gone.map(\.at).max())
                    let told = Duration.seconds(Double(last) / 1000 - killed.timeIntervalSince1970)
                    #expect(told < .promised(.seconds(15)))
                    #expect(Set(gone.map(\.user)) == Set(crowds[0].users[back.upperBound...]))
                    #expect(gone.count == count - back.count, "somebody was told as gone twice")
                    #expect(gone.allSatisfy { $0.reason == "node_lost" && $0.node == "cloud-1" })
                    // Those who came back were replaced, not gone.
                    let returned = events.filter { $0.type == "replaced" }
                    #expect(Set(returned.map(\.user)) == Set(crowds[0].users[back]))
                    #expect(returned.count == back.count)
                    #expect(events.count == 2 * count)
                    Figures.note("kill -9 with \(count) users: all departures told after \(told), each once")
                }
            }
        }
    }

    @Test
    func
        `webhooks bring signed events in order, also those of the time when nobody took them`()
        async throws
    {
        let port = try FreePorts.take(1)
        let secret = "secret-of-the-tests"
        let environment = [
            "HERALD_PRESENCE_GRACE": "0s", "HERALD_WEBHOOKS_URL": "http://127.0.0.1:\(port)/hook",
            "HERALD_WEBHOOKS_SECRET": secret, "HERALD_WEBHOOKS_ALLOW_PRIVATE": "true",
        ]
        try await LocalHerald.run(nodes: 1, environment: environment) { herald in
            try await eventually("logic reads for the webhooks") {
                try await herald.curl("GET", "/metrics").body.contains("\nherald_logic_webhook_holding 1")
            }
            // Nobody takes them yet.
            let place = Witness.Place(url: herald.cloudURL(1), user: "alice", key: "phone")
            try await Witness.with([place]) { _ in }
            try await Webhook.with(port: port, secret: secret, in: herald.folder) { webhook in
                try await eventually("both came", within: .seconds(60)) {
                    try webhook.events.map(\.type) == ["connected", "disconnected"]
                }
                try await Witness.with([place]) { _ in }
                try await eventually("the next two came", within: .seconds(60)) {
                    try webhook.events.count >= 4
                }
                #expect(
                    try webhook.events.map(\.type) == [
                        "connected", "disconnected", "connected", "disconnected",
                    ]
                )
                #expect(try webhook.forged == 0)
            }
        }
    }
}

/// A presence event as its JSON line has it.
struct ToldEvent: Decodable {
    var id: String
    var type: String
    var user: String
    var node: String
    var session: String
    var connections: Int
    var at: UInt64
    var previous: String?
    var reason: String?
}

extension LocalHerald {
    /// All events that are kept, as `herald events` shows them.
    fileprivate func events() async throws -> [ToldEvent] {
        let shown = try await herald(
            "events",
            "--once",
            "--from",
            "start",
            "--redis",
            "redis://127.0.0.1:\(redisPort)"
        )
        return try shown.lines.map { try JSONDecoder().decode(ToldEvent.self, from: Data($0.utf8)) }
    }

    fileprivate func page(ofNode node: Int) async throws -> String {
        let url = "http://127.0.0.1:\(cloudPort + node - 1)/metrics"
        return try await Tool.run("/usr/bin/curl", ["-sS", "-m", "20", url]).lines.joined(separator: "\n")
    }
}

/// A backend's receiver (clients/webhook.py), which checks the signature of all that comes.
private final class Webhook {
    private let output: URL

    static func with(
        port: Int,
        secret: String,
        in folder: URL,
        _ body: (Webhook) async throws -> Void
    ) async throws {
        let webhook = Webhook(folder.appending(path: "webhook"))
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(
            path: "clients/webhook.py"
        )
        let process = try Spawned(
            ["/usr/bin/python3", script.path, "\(port)", secret],
            output: webhook.output.path,
            errors: webhook.output.path + ".errors"
        )
        defer { process.signal(SIGKILL) }
        try await body(webhook)
    }

    private init(_ output: URL) { self.output = output }

    /// In the order in which they came, repeats left out by their ids.
    var events: [ToldEvent] {
        get throws {
            var seen: Set<String> = []
            return try lines.filter { $0.hasPrefix("{") }
                .map { try JSONDecoder().decode(ToldEvent.self, from: Data($0.utf8)) }
                .filter { seen.insert($0.id).inserted }
        }
    }

    /// Requests whose signature was wrong.
    var forged: Int { get throws { try lines.count { $0 == "forged" } } }

    private var lines: [Substring] {
        get throws { try String(contentsOf: output, encoding: .utf8).split(separator: "\n") }
    }
}
