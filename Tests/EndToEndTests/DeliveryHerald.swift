import Foundation
import HeraldClient
import HeraldTesting

/// Two logic processes, some cloud nodes and a Redis that keeps its data (AOF, everysec), each started by the test,
/// to be killed and started again.
final class DeliveryHerald {
    struct Part {
        let program: Program
        let port: Int
        let pages: HeraldPushClient
        /// Between it and Redis; nil unless asked for.
        let proxy: FaultProxy?
    }

    let redis: OwnRedis
    let logics: [Part]
    let nodes: [Part]
    /// Where Redis and the logs are written: in memory where that can be, as Redis waits for a busy disk for seconds.
    private let data: URL

    /// Runs a body with a ready system and ends it afterwards, whatever happens. When the body throws, the logs are
    /// shown.
    ///
    /// - Parameters:
    ///   - nodes: how many cloud nodes.
    ///   - isProxied: whether each process reaches Redis through a proxy of its own.
    ///   - environment: of the processes.
    ///   - body: what is done with it.
    /// - Throws: what the body throws, with the logs.
    static func run(
        nodes: Int,
        isProxied: Bool = false,
        environment: [String: String] = ProxiedHerald.quick,
        _ body: (DeliveryHerald) async throws -> Void
    ) async throws {
        let memory = URL(filePath: "/dev/shm")
        let isThere = FileManager.default.isWritableFile(atPath: memory.path)
        let data = (isThere ? memory : FileManager.default.temporaryDirectory).appending(
            path: "herald-delivery-\(UUID().uuidString.prefix(8))"
        )
        try FileManager.default.createDirectory(at: data, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: data) }
        let redis = try await OwnRedis.start(
            [
                "--appendonly", "yes", "--appendfsync", "everysec", "--enable-debug-command", "yes",
                "--dir", data.path,
            ],
            secondsMax: 600
        )
        let herald = try DeliveryHerald(redis, data, nodes: nodes, isProxied: isProxied, environment)
        do {
            for part in herald.parts { try await part.program.start() }
            for part in herald.parts { try await herald.waitUntilReady(part) }
            try await body(herald)
        } catch {
            throw await herald.stopped(because: error)
        }
        await herald.stop()
    }

    struct Failed: Error, CustomStringConvertible {
        let description: String
    }

    private init(
        _ redis: OwnRedis,
        _ data: URL,
        nodes: Int,
        isProxied: Bool,
        _ environment: [String: String]
    ) throws {
        self.redis = redis
        self.data = data
        let program = try LocalHerald.program.path
        var limits = ClientLimits()
        // One for each publisher, so that none waits behind another.
        limits.lanesMax = 100
        func part(_ name: String, _ words: [String]) throws -> Part {
            let port = try FreePorts.take()
            let proxy = isProxied ? try FaultProxy(to: redis.port) : nil
            let url = "redis://127.0.0.1:\(proxy?.port ?? redis.port)"
            let program = Program(
                name,
                [program] + words + ["--port", "\(port)", "--redis", url],
                environment: environment,
                folder: data
            )
            return Part(
                program: program,
                port: port,
                pages: try HeraldPushClient(url: "http://127.0.0.1:\(port)", limits: limits),
                proxy: proxy
            )
        }
        logics = try (1...2).map { try part("logic-\($0)", ["logic"]) }
        self.nodes = try (1...nodes).map { try part("cloud-\($0)", ["cloud", "--id", "cloud-\($0)"]) }
    }

    var parts: [Part] { logics + nodes }

    /// Until `/readyz` says 200.
    func waitUntilReady(_ part: Part) async throws {
        try await eventually("\(part.program.name) is ready", within: .seconds(30)) {
            if let code = part.program.exitCode {
                throw Failed(description: "\(part.program.name) ended with \(code)")
            }
            return (try? await part.pages.get("/readyz"))?.status == 200
        }
    }

    func waitUntilAllAreReady() async throws {
        for part in parts { try await waitUntilReady(part) }
    }

    /// Kills Redis and starts it again without what it was given after `sync`: as when the machine loses its power,
    /// and with it what the kernel had not yet written.
    ///
    /// `sync`: how much of the log of changes had reached the disk.
    func restartRedis(keeping sync: UInt64) async throws {
        redis.kill()
        let handle = try FileHandle(forWritingTo: try changes())
        try handle.truncate(atOffset: sync)
        try handle.close()
        try await redis.restart()
    }

    /// Kills Redis and starts it again without anything.
    func restartRedisEmpty() async throws {
        redis.kill()
        try FileManager.default.removeItem(at: data.appending(path: "appendonlydir"))
        try await redis.restart()
    }

    /// How long Redis's log of changes is.
    func changesSize() throws -> UInt64 {
        let handle = try FileHandle(forReadingFrom: try changes())
        defer { try? handle.close() }
        return try handle.seekToEnd()
    }

    /// The file that Redis appends to.
    private func changes() throws -> URL {
        let folder = data.appending(path: "appendonlydir")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        guard let name = names.filter({ $0.hasSuffix(".incr.aof") }).max() else {
            throw Failed(description: "Redis keeps no log of changes: \(names)")
        }
        return folder.appending(path: name)
    }

    /// The places of one user's messages that Redis has: `EPOCH.OFFSET`.
    static func kept(_ user: String, _ wire: RedisWire) throws -> Set<String> {
        guard let epoch = try wire.hash("herald:inbox:{\(user)}:head")["epoch"],
            case .list(let entries) = try wire.ask("XRANGE", "herald:inbox:{\(user)}", "-", "+")
        else { return [] }
        return Set(
            entries.compactMap { entry in
                guard case .list(let parts) = entry, case .text(let id)? = parts.first else { return nil }
                return "\(epoch).\(id.prefix { $0 != "-" })"
            }
        )
    }

    private func stopped(because error: any Error) async -> Failed {
        let logs = parts.map(\.program.logEnd).joined(separator: "\n")
        await stop()
        return Failed(description: "\(error)\n\(logs)")
    }

    private func stop() async {
        for part in parts {
            part.program.kill()
            await part.pages.shutdown()
        }
        redis.stop()
    }
}
