import CProcess
import Glibc
import Synchronization

/// A program that a test started, by `posix_spawn`.
///
/// Not Foundation's `Process`: that one crashes (6.3) when it starts a program in a process with thousands of open
/// descriptors, which a test of thousands of sockets is.
public final class Spawned: Sendable {
    public let pid: Int32
    private let status = Mutex<Int32?>(nil)

    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// Starts a program; it inherits no descriptor but the three.
    ///
    /// - Parameters:
    ///   - words: the program's path and its arguments.
    ///   - environment: over that of this process.
    ///   - output: the file for its standard output, written anew.
    ///   - errors: the same for its standard error; one file for both is fine.
    /// - Throws: `Failure` when it cannot be started.
    public init(
        _ words: [String],
        environment: [String: String] = [:],
        output: String = "/dev/null",
        errors: String = "/dev/null"
    ) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        let flags = O_WRONLY | O_CREAT | O_APPEND
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, flags, 0o644)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors, flags, 0o644)
        _ = cprocess_close_from(&actions, STDERR_FILENO + 1)

        // A test runner's threads block signals, and it may ignore some: the program begins with a clean slate.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

        var arguments = words.map { strdup($0) } + [nil]
        var variables = Self.variables(environment).map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var pid: pid_t = 0
        let failure = posix_spawn(&pid, words[0], &actions, &attributes, &arguments, &variables)
        guard failure == 0 else {
            throw Failure(description: "\(words[0]) cannot be started: \(String(cString: strerror(failure)))")
        }
        self.pid = pid
    }

    /// How it ended: its exit code, or 128 and the signal, as a shell says it. Nil while it runs.
    public var exitCode: Int32? {
        status.withLock { status in
            if status == nil {
                var raw: Int32 = 0
                if waitpid(pid, &raw, WNOHANG) == pid { status = Self.code(raw) }
            }
            return status
        }
    }

    /// Waits for its end, blocking the thread: for what takes milliseconds.
    public func end() -> Int32 {
        status.withLock { status in
            if let status { return status }
            var raw: Int32 = 0
            while waitpid(pid, &raw, 0) < 0, errno == EINTR {}
            status = Self.code(raw)
            return Self.code(raw)
        }
    }

    /// Sends a signal, unless it has ended.
    public func signal(_ number: Int32) {
        status.withLock { status in
            if status == nil { _ = kill(pid, number) }
        }
    }

    private static func code(_ raw: Int32) -> Int32 {
        raw & 0x7F == 0 ? (raw >> 8) & 0xFF : 128 + (raw & 0x7F)
    }

    private static func variables(_ added: [String: String]) -> [String] {
        var all: [String] = []
        var next = environ
        while let variable = next.pointee {
            let text = String(cString: variable)
            if !added.keys.contains(where: { text.hasPrefix($0 + "=") }) { all.append(text) }
            next += 1
        }
        return all + added.map { "\($0.key)=\($0.value)" }
    }
}
