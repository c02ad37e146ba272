import Foundation
import HeraldClient
import HeraldTesting
import Testing

/// Herald's processes, each started by the test itself, with a `FaultProxy` between every cloud node and a Redis
/// of the test's own.
///
///     logic ────────────────────────┐
///     cloud-1 ── proxy ──┐          ▼
///     cloud-2 ── proxy ──┼───────▶ Redis
///     cloud-3 ── proxy ──┘
final class ProxiedHerald {
    struct Node {
        let program: Program
        let proxy: FaultProxy
        let port: Int
        /// Asks the node's own pages.
        let pages: HeraldPushClient
    }

    let redis: OwnRedis
    let folder: URL
    let logic: Program
    let nodes: [Node]
    let pushes: HeraldPushClient

    /// Short times, so that what takes minutes in production takes seconds: a node is dead after 1.5 s, a mapping
    /// after 4 s, a silent client after 3 s.
    static let quick = [
        "HERALD_REDIS_CONNECT_TIMEOUT": "400ms", "HERALD_REDIS_COMMAND_TIMEOUT": "450ms",
        "HERALD_REDIS_SILENCE_MAX": "400ms", "HERALD_REDIS_OUTAGE_GRACE": "300ms",
        "HERALD_REDIS_BACKOFF_MAX": "200ms", "HERALD_REDIS_KEEP_ALIVE": "500ms",
        "HERALD_LIMITS_LEASE_TTL": "1500ms", "HERALD_LIMITS_LEASE_RENEWAL": "400ms",
        "HERALD_LIMITS_ROUTE_TTL": "4s", "HERALD_LIMITS_ROUTE_RENEWAL": "1s",
        "HERALD_LIMITS_PUSH_DEADLINE": "1s", "HERALD_CLOUD_BIND_PATIENCE": "3s",
        "HERALD_SOCKETS_PING_INTERVAL": "1s", "HERALD_SOCKETS_PONG_TIMEOUT": "2s",
        "HERALD_SOCKETS_CLOSE_TIMEOUT": "500ms",
    ]

    /// Runs a body with a ready system and ends it afterwards, whatever happens. When the body throws, the logs
    /// are shown.
    static func run(
        nodes: Int,
        environment: [String: String] = [:],
        _ body: (ProxiedHerald) async throws -> Void
    ) async throws {
        let herald = try await start(nodes: nodes, environment: environment)
        do { try await body(herald) } catch { Issue.record("\(error)\n\(herald.logs())") }
        await herald.stop()
    }

    /// - Returns: a system whose nodes and logic are ready. The caller stops it.
    static func start(nodes: Int, environment: [String: String] = [:]) async throws -> ProxiedHerald {
        let herald = try ProxiedHerald(
            redis: try await OwnRedis.start(secondsMax: 3600),
            nodes: nodes,
            environment: environment
        )
        do {
            try await herald.logic.start()
            for node in herald.nodes { try await node.program.start() }
            for node in herald.nodes { try await herald.waitUntilReady(node.program, node.pages) }
            try await herald.waitUntilReady(herald.logic, herald.pushes)
        } catch {
            let logs = herald.logs()
            await herald.stop()
            throw NotReady(description: "\(error)\n\(logs)")
        }
        return herald
    }

    struct NotReady: Error, CustomStringConvertible {
        let description: String
    }

    private init(redis: OwnRedis, nodes: Int, environment: [String: String]) throws {
        self.redis = redis
        folder = URL(filePath: redis.folder)
        let herald = try LocalHerald.program.path
        let folder = folder
        let port = try FreePorts.take()
        logic = Program(
            "logic",
            [herald, "logic", "--port", "\(port)", "--redis", redis.url],
            environment: environment,
            folder: folder
        )
        pushes = try HeraldPushClient(url: "http://127.0.0.1:\(port)")
        self.nodes = try (1...nodes).map { number in
            let proxy = try FaultProxy(to: redis.port)
            let port = try FreePorts.take()
            let words = [
                herald, "cloud", "--id", "cloud-\(number)", "--port", "\(port)", "--redis",
                "redis://127.0.0.1:\(proxy.port)",
            ]
            return Node(
                program: Program("cloud-\(number)", words, environment: environment, folder: folder),
                proxy: proxy,
                port: port,
                pages: try HeraldPushClient(url: "http://127.0.0.1:\(port)")
            )
        }
    }

    /// Until `/readyz` says 200.
    func waitUntilReady(_ program: Program, _ pages: HeraldPushClient) async throws {
        try await eventually("\(program.name) is ready", within: .seconds(30)) {
            if let code = program.exitCode {
                throw NotReady(description: "\(program.name) ended with \(code)")
            }
            return (try? await pages.get("/readyz"))?.status == 200
        }
    }

    /// Kills everything and deletes the folder.
    func stop() async {
        for node in nodes {
            node.program.kill()
            await node.pages.shutdown()
        }
        logic.kill()
        await pushes.shutdown()
        redis.stop()
    }

    func logs() -> String {
        ([logic] + nodes.map(\.program)).map(\.logEnd).joined(separator: "\n")
    }
}
