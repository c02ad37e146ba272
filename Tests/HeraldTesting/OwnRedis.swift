// A redis-server of a test's own: its own folder, its own free port and socket, and an end.
//
// It is started under `timeout -s KILL`, so that it dies even when the test process is killed before it could
// clean up. Signals go to the process id that this very server wrote into its own folder, so that no other Redis
// can be hit, and it never listens beyond loopback.

import Glibc
import Synchronization

/// One private redis-server.
public final class OwnRedis: Sendable {
    /// Where it keeps everything; deleted by `stop`.
    public let folder: String
    /// Stays the same over `restart`.
    public let port: Int
    /// With TLS; 0 when it was started without.
    public let tlsPort: Int
    private let arguments: [String]
    private let secondsMax: Int
    private let state = Mutex(State())

    private struct State {
        /// Of `timeout`, which is our child.
        var child: Spawned?
        /// Of redis-server.
        var server: pid_t?
    }

    public var url: String { "redis://127.0.0.1:\(port)" }
    public var socketPath: String { folder + "/socket" }

    /// Why no server could be had. The text has the end of its log.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// Starts a server and waits until it answers.
    ///
    /// - Parameters:
    ///   - arguments: more of redis-server's, such as `["--requirepass", "secret"]`.
    ///   - secondsMax: after which it is killed whatever happens.
    ///   - tls: given its folder, arguments that turn TLS on (certificates); a port for it is added.
    /// - Returns: a server that answers.
    /// - Throws: `Failure` when none could be had in five attempts.
    public static func start(
        _ arguments: [String] = [],
        secondsMax: Int = 120,
        tls: ((_ folder: String) throws -> [String])? = nil
    ) async throws -> OwnRedis {
        var lastFailure = Failure(description: "never tried")
        // A free port may be taken between our looking and the server's binding.
        for _ in 0..<5 {
            let redis = try OwnRedis(arguments: arguments, secondsMax: secondsMax, tls: tls)
            do {
                try await redis.launch()
                return redis
            } catch let failure as Failure {
                lastFailure = failure
                redis.stop()
            }
        }
        throw lastFailure
    }

    /// Runs a body with a server that is stopped afterwards, whatever happens.
    public static func with<Answer: Sendable>(
        _ arguments: [String] = [],
        _ body: (OwnRedis) async throws -> Answer
    ) async throws -> Answer {
        let redis = try await start(arguments)
        defer { redis.stop() }
        return try await body(redis)
    }

    private init(
        arguments: [String],
        secondsMax: Int,
        tls: ((_ folder: String) throws -> [String])?
    ) throws {
        var template = Array("/tmp/herald-redis-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else {
            throw Failure(description: "no temporary folder: errno \(errno)")
        }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        self.secondsMax = secondsMax
        port = try FreePorts.take()
        if let tls {
            tlsPort = try FreePorts.take()
            self.arguments = arguments + ["--tls-port", "\(tlsPort)"] + (try tls(folder))
        } else {
            tlsPort = 0
            self.arguments = arguments
        }
    }

    deinit { stop() }

    /// Starts it again on the same port, after `kill` or while it runs. Its data is gone unless it was started
    /// with persistence.
    public func restart() async throws {
        kill()
        try await launch()
    }

    /// SIGSTOP: the kernel still takes connections and bytes, and nobody answers.
    public func pause() { signal(SIGSTOP) }

    /// SIGCONT.
    public func resume() { signal(SIGCONT) }

    /// SIGKILL, and waits until it is gone. The folder stays.
    public func kill() {
        signal(SIGKILL)
        let child = state.withLock { state -> Spawned? in
            defer { state = State() }
            return state.child
        }
        _ = child?.end()
    }

    /// Kills it and deletes its folder.
    public func stop() {
        kill()
        _ = try? Self.run(["/bin/rm", "-rf", folder])
    }

    /// Runs a program to its end; for `openssl`, `redis-cli` and their like in tests.
    ///
    /// - Returns: its exit status.
    @discardableResult
    public static func run(_ command: [String]) throws -> Int32 {
        try Spawned(command).end()
    }
}

// MARK: Starting

extension OwnRedis {
    private func launch() async throws {
        let pidFile = folder + "/redis.pid"
        unlink(pidFile)
        unlink(socketPath)
        let child = try Spawned(
            [
                "/usr/bin/timeout", "-s", "KILL", "\(secondsMax)", "/usr/bin/redis-server",
                "--port", "\(port)", "--bind", "127.0.0.1", "--unixsocket", socketPath, "--dir", folder,
                "--pidfile", pidFile, "--logfile", folder + "/redis.log", "--daemonize", "no",
                "--save", "", "--appendonly", "no",
            ] + arguments,
            environment: try RedisClock.environment(in: folder)
        )
        state.withLock { $0.child = child }
        var hasEnded = false
        try? await eventually("a start of redis-server", every: .milliseconds(5)) {
            if let server = Self.read(pidFile).flatMap({ pid_t($0.split(separator: "\n").first ?? "") }) {
                state.withLock { $0.server = server }
            }
            hasEnded = child.exitCode != nil
            return hasEnded || state.withLock { $0.server != nil } && answersPing()
        }
        if hasEnded { state.withLock { $0 = State() } }
        if state.withLock({ $0.server != nil }), answersPing() { return }
        let log = Self.read(folder + "/redis.log") ?? ""
        throw Failure(description: "redis-server did not start: \(log.suffix(500))")
    }

    /// Whether it accepts and answers; an error such as NOAUTH is an answer.
    private func answersPing() -> Bool {
        guard let answer = try? Self.exchange(port: port, "PING\r\n") else { return false }
        return answer.hasPrefix("+PONG") || answer.hasPrefix("-NOAUTH") || answer.hasPrefix("-NOPERM")
    }

    private static func exchange(port: Int, _ text: String) throws -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(description: "no socket: errno \(errno)") }
        defer { close(descriptor) }
        var wait = timeval(tv_sec: 1, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &wait, socklen_t(MemoryLayout<timeval>.size))
        let connected = withLoopback(port: port) { connect(descriptor, $0, $1) }
        guard connected == 0 else { throw Failure(description: "nobody listens") }
        let request = Array(text.utf8)
        guard send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count else {
            throw Failure(description: "not sent")
        }
        var buffer = [UInt8](repeating: 0, count: 512)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }

    private func signal(_ number: Int32) {
        if let server = state.withLock({ $0.server }) { _ = Glibc.kill(server, number) }
    }

    private static func withLoopback(
        port: Int,
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) -> Int32 {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    private static func read(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var buffer = [UInt8](repeating: 0, count: 64 * 1024)
        let count = Glibc.read(descriptor, &buffer, buffer.count)
        return String(decoding: buffer.prefix(max(0, count)), as: UTF8.self)
    }
}
