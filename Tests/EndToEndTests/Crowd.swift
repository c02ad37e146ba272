import Foundation
import HeraldTesting

/// Thousands of sockets in a process of their own (clients/crowd.py), as one process may not have enough
/// descriptors for all.
final class Crowd {
    /// `u17`, …
    let users: [String]
    private let process: Spawned
    private let output: URL

    /// Runs a body with crowds that are connected, and ends them afterwards. Each place is a node's port and the
    /// numbers of the users there.
    static func with(
        _ places: [(port: Int, users: Range<Int>)],
        in folder: URL,
        _ body: ([Crowd]) async throws -> Void
    ) async throws {
        let crowds = try places.map { try Crowd(port: $0.port, $0.users, in: folder) }
        // `timeout` passes it on; a SIGKILL would end `timeout` alone.
        defer { for crowd in crowds { crowd.process.signal(SIGTERM) } }
        for crowd in crowds {
            try await eventually("\(crowd.users.count) are connected", within: .seconds(120)) {
                guard crowd.process.exitCode == nil else { throw Ended(output: try crowd.errors()) }
                return try crowd.lines("connected").count == 1
            }
        }
        try await body(crowds)
    }

    struct Ended: Error {
        let output: String
    }

    private init(port: Int, _ users: Range<Int>, in folder: URL) throws {
        self.users = users.map { "u\($0)" }
        let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "clients/crowd.py")
        output = folder.appending(path: "crowd-\(users.lowerBound)-\(port)")
        process = try Spawned(
            [
                "/usr/bin/timeout", "-s", "KILL", "600", "/usr/bin/python3", script.path, "\(port)",
                "\(users.lowerBound)", "\(users.count)",
            ],
            output: output.path,
            errors: output.path + ".errors"
        )
    }

    /// Those whose sockets ended, with their close codes.
    var ended: [String: Int] {
        get throws {
            Dictionary(
                try lines("ended").map { ($0[1], Int($0[2]) ?? 0) },
                uniquingKeysWith: { first, _ in first }
            )
        }
    }

    /// What each user was shown, in order.
    var shown: [String: [String]] {
        get throws { Dictionary(grouping: try lines("push"), by: { $0[1] }).mapValues { $0.map { $0[2] } } }
    }

    private func lines(_ kind: String) throws -> [[String]] {
        let text = try String(contentsOf: output, encoding: .utf8)
        let whole = text[..<(text.lastIndex(of: "\n") ?? text.startIndex)]
        return whole.split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
            .filter { $0.first == kind }
    }

    private func errors() throws -> String {
        try String(contentsOf: output.appendingPathExtension("errors"), encoding: .utf8)
    }
}
