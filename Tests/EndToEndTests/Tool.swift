import Foundation
import HeraldTesting

/// Runs somebody else's program to its end.
enum Tool {
    struct Result: Sendable {
        var status: Int32
        var output: String
        var errors: String

        var lines: [String] {
            var lines = output.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            while lines.last?.isEmpty == true { lines.removeLast() }
            return lines
        }
    }

    /// What a program prints goes through files: no pipe fills, and nobody blocks a thread to read one.
    static func run(
        _ path: String,
        _ words: [String],
        within limit: Duration = .seconds(60)
    ) async throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(
            path: "herald-tool-\(UUID().uuidString)"
        )
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let (output, errors) = (folder.appending(path: "output"), folder.appending(path: "errors"))

        let process = try Spawned([path] + words, output: output.path, errors: errors.path)
        do {
            try await eventually("\(path) \(words.joined(separator: " ")) ends", within: limit) {
                process.exitCode != nil
            }
        } catch {
            process.signal(SIGKILL)
            throw error
        }
        return Result(
            status: process.end(),
            output: try String(contentsOf: output, encoding: .utf8),
            errors: try String(contentsOf: errors, encoding: .utf8)
        )
    }
}
