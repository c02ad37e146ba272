import Foundation
import HeraldTesting
import Testing

/// A whole Herald of its own: `herald up` on free ports in a temporary folder, real processes and a real Redis.
///
/// Everything it started ends with `stop()`; a test takes it through `LocalHerald.run`, which always does.
final class LocalHerald {
    let folder: URL
    let logicPort: Int
    /// The first node's; the others follow.
    let cloudPort: Int
    let redisPort: Int
    private let process: Spawned
    /// The Redis that a test started in place of the one it killed.
    private var redis: Spawned?

    /// Runs a body with a ready system and stops it afterwards, whatever happens. When the body throws, the
    /// processes' logs are shown.
    static func run(
        nodes: Int,
        environment: [String: String] = [:],
        _ body: (LocalHerald) async throws -> Void
    ) async throws {
        let herald = try LocalHerald(nodes: nodes, environment: environment)
        do {
            try await herald.waitUntilReady()
            try await body(herald)
        } catch {
            Issue.record("\(error)\n\(herald.logs())")
            try await herald.stop()
            return
        }
        try await herald.stop()
    }

    /// The program as the tests were built with it, beside the test bundle; or another build of it, such as a
    /// release build for figures, that HERALD_TEST_PROGRAM names.
    static var program: URL {
        get throws {
            if let path = ProcessInfo.processInfo.environment["HERALD_TEST_PROGRAM"] {
                return URL(filePath: path)
            }
            let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
            return URL(filePath: own).deletingLastPathComponent().appending(path: "herald")
        }
    }

    private init(nodes: Int, environment: [String: String]) throws {
        folder = FileManager.default.temporaryDirectory.appending(
            path: "herald-e2e-\(UUID().uuidString.prefix(8))"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let base = try FreePorts.take(nodes + 2)
        (logicPort, redisPort, cloudPort) = (base, base + 1, base + 2)
        // `timeout` ends it when this process is killed before it could.
        process = try Spawned(
            [
                "/usr/bin/timeout", "-s", "KILL", "300", try Self.program.path, "up", "--json", "--nodes",
                "\(nodes)",
                "--logic-port", "\(logicPort)", "--cloud-port", "\(cloudPort)", "--redis-port",
                "\(redisPort)",
                "--dir", folder.path,
            ],
            environment: environment,
            output: folder.appending(path: Self.readyFile).path,
            errors: folder.appending(path: "up.log").path
        )
    }

    private static let readyFile = "ready"

    /// `herald up` says one line when everything is ready, and nothing before.
    private func waitUntilReady() async throws {
        try await eventually("herald up is ready", within: .seconds(60)) {
            if try String(contentsOf: folder.appending(path: Self.readyFile), encoding: .utf8).hasSuffix("\n")
            {
                return true
            }
            guard process.exitCode == nil else { throw NotReady() }
            return false
        }
    }

    struct NotReady: Error, CustomStringConvertible {
        var description: String { "herald up ended before it was ready" }
    }

    /// What a person does: one interrupt, and everything ends.
    private func stop() async throws {
        process.signal(SIGINT)
        redis?.signal(SIGTERM)
        try await eventually("herald up ends", within: .seconds(30)) { process.exitCode != nil }
        try? FileManager.default.removeItem(at: folder)
    }

    /// The end of every process's log.
    func logs() -> String {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".log") }.sorted().map { name in
            let text = (try? String(contentsOf: folder.appending(path: name), encoding: .utf8)) ?? ""
            return "--- \(name)\n" + text.split(separator: "\n").suffix(40).joined(separator: "\n")
        }.joined(separator: "\n")
    }

    /// A process's id, by its name: `redis`, `logic`, `cloud-1`.
    func pid(_ name: String) throws -> Int32 {
        let text = try String(contentsOf: folder.appending(path: "\(name).pid"), encoding: .utf8)
        return try #require(Int32(text.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    func signal(_ name: String, _ signal: Int32) throws {
        #expect(kill(try pid(name), signal) == 0)
    }

    /// A Redis without data on the same port, where `herald up` no longer has one.
    func startRedisEmpty() throws {
        redis = try Spawned([
            "/usr/bin/timeout", "-s", "KILL", "300", "/usr/bin/redis-server", "--port", "\(redisPort)",
            "--bind", "127.0.0.1", "--save", "", "--dir", folder.path,
        ])
    }

    func cloudURL(_ node: Int, _ query: String = "") -> String {
        "ws://127.0.0.1:\(cloudPort + node - 1)/ws" + (query.isEmpty ? "" : "?" + query)
    }

    func logicURL(_ path: String) -> String { "http://127.0.0.1:\(logicPort)\(path)" }

    // MARK: other people's tools

    /// redis-cli's answer, one line each.
    func redis(_ words: String...) async throws -> [String] {
        try await Tool.run("/usr/bin/redis-cli", ["-p", "\(redisPort)"] + words).lines
    }

    /// curl's view of a request: the status and the body.
    func curl(
        _ method: String,
        _ path: String,
        body: String? = nil
    ) async throws -> (status: Int, body: String) {
        var words = ["-sS", "-m", "20", "-X", method, "-w", "\n%{http_code}", logicURL(path)]
        if let body { words += ["-H", "content-type: application/json", "--data-binary", body] }
        var lines = try await Tool.run("/usr/bin/curl", words).lines
        let status = try #require(lines.popLast().flatMap { Int($0) })
        return (status, lines.joined(separator: "\n"))
    }

    func herald(_ words: String...) async throws -> Tool.Result {
        try await Tool.run(Self.program.path, words)
    }
}
