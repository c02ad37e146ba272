import Foundation
import HeraldTesting
import Testing

/// One process of a test's own that is started, killed, frozen and started again under the same name.
///
/// `timeout` is its parent, so that it ends even when this process is killed before it could.
final class Program {
    let name: String
    let log: String
    private let words: [String]
    private let environment: [String: String]
    private let pidFile: String
    private var process: Spawned?
    private var pid: Int32?
    private(set) var isFrozen = false

    /// The longest that any test may run, and so any process of one.
    private static let secondsMax = 3600

    init(_ name: String, _ words: [String], environment: [String: String] = [:], folder: URL) {
        self.name = name
        self.words = words
        self.environment = environment
        log = folder.appending(path: "\(name).log").path
        pidFile = folder.appending(path: "\(name).pid").path
    }

    /// How it ended; nil while it runs, and before it was started.
    var exitCode: Int32? { process?.exitCode }
    var isRunning: Bool { process != nil && exitCode == nil }

    func start() async throws {
        try? FileManager.default.removeItem(atPath: pidFile)
        isFrozen = false
        // The shell becomes the program, so that the number it writes is the program's.
        let process = try Spawned(
            [
                "/usr/bin/timeout", "-s", "KILL", "\(Self.secondsMax)", "/bin/sh", "-c",
                #"echo $$ >"$0" && exec "$@""#, pidFile,
            ] + words,
            environment: environment,
            output: log,
            errors: log
        )
        self.process = process
        try await eventually("\(name) has a process id", every: .milliseconds(1)) {
            let text = (try? String(contentsOfFile: pidFile, encoding: .utf8)) ?? ""
            pid = text.hasSuffix("\n") ? Int32(text.dropLast()) : nil
            return pid != nil || process.exitCode != nil
        }
    }

    func freeze() {
        isFrozen = true
        signal(SIGSTOP)
    }

    func thaw() {
        isFrozen = false
        signal(SIGCONT)
    }

    /// SIGKILL; returns when it is gone.
    func kill() {
        signal(SIGKILL)
        _ = process?.end()
        process = nil
        isFrozen = false
    }

    func signal(_ number: Int32) {
        guard isRunning, let pid else { return }
        _ = Foundation.kill(pid, number)
    }

    var logEnd: String {
        let text = (try? String(contentsOfFile: log, encoding: .utf8)) ?? ""
        return "--- \(name)\n" + text.split(separator: "\n").suffix(60).joined(separator: "\n")
    }
}
