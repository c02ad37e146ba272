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
    }

    let redis: OwnRedis
    let logics: [Part]
    let nodes: [Part]

    /// Runs a body with a ready system and ends it afterwards, whatever happens. When the body throws, the logs are
    /// shown.
    static func run(
        nodes: Int,
        _ body: (DeliveryHerald) async throws -> Void
    ) async throws {
        let redis = try await OwnRedis.start(
            ["--appendonly", "yes", "--appendfsync", "everysec"],
            secondsMax: 600
        )
        let herald = try DeliveryHerald(redis: redis, nodes: nodes)
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

    private init(redis: OwnRedis, nodes: Int) throws {
        self.redis = redis
        let program = try LocalHerald.program.path
        var limits = ClientLimits()
        // One for each publisher, so that none waits behind another.
        limits.lanesMax = 100
        func part(_ name: String, _ words: [String]) throws -> Part {
            let port = try FreePorts.take()
            let program = Program(
                name,
                [program] + words + ["--port", "\(port)", "--redis", redis.url],
                environment: ProxiedHerald.quick,
                folder: URL(filePath: redis.folder)
            )
            return Part(
                program: program,
                port: port,
                pages: try HeraldPushClient(url: "http://127.0.0.1:\(port)", limits: limits)
            )
        }
        logics = try (1...2).map { try part("logic-\($0)", ["logic"]) }
        self.nodes = try (1...nodes).map { try part("cloud-\($0)", ["cloud", "--id", "cloud-\($0)"]) }
    }

    private var parts: [Part] { logics + nodes }

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

    /// How long Redis's log of changes is.
    func changesSize() throws -> UInt64 {
        let handle = try FileHandle(forReadingFrom: try changes())
        defer { try? handle.close() }
        return try handle.seekToEnd()
    }

    /// The file that Redis appends to.
    private func changes() throws -> URL {
        let folder = URL(filePath: redis.folder).appending(path: "appendonlydir")
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
