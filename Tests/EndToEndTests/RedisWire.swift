import Glibc
import HeraldTesting

/// A connection of a test's own to Redis: it asks, and blocks its thread for the answer. For what takes
/// milliseconds.
final class RedisWire {
    enum Reply: Equatable {
        case text(String)
        case number(Int)
        case list([Reply])
        case missing
    }

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    private let descriptor: Int32
    private var bytes: [UInt8] = []
    private var position = 0

    init(port: Int) throws {
        guard let descriptor = LoopbackSocket.connecting(to: port) else {
            throw Failure(description: "Redis does not listen on \(port)")
        }
        self.descriptor = descriptor
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        wait(.seconds(10))
    }

    /// How long an answer may take.
    private func wait(_ limit: Duration) {
        let parts = limit.components
        var limit = timeval(tv_sec: Int(parts.seconds), tv_usec: Int(parts.attoseconds / 1_000_000_000_000))
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// - Throws: `Failure` for an error of Redis, and when no answer comes within 10 s.
    @discardableResult
    func ask(_ words: String...) throws -> Reply {
        try tell(words)
        bytes.removeSubrange(..<position)
        position = 0
        return try reply()
    }

    /// What Redis says without being asked.
    ///
    /// - Throws: `Failure` when nothing comes in time.
    func next(within limit: Duration) throws -> Reply {
        wait(limit)
        defer { wait(.seconds(10)) }
        bytes.removeSubrange(..<position)
        position = 0
        return try reply()
    }

    /// Sends a command and does not wait for the answer; not to be mixed with `ask`.
    func tell(_ words: [String]) throws {
        let request =
            "*\(words.count)\r\n" + words.map { "$\($0.utf8.count)\r\n\($0)\r\n" }.joined()
        let sent = Array(request.utf8)
        guard send(descriptor, sent, sent.count, Int32(MSG_NOSIGNAL)) == sent.count else {
            throw Failure(description: "\(words[0]) was not sent: errno \(errno)")
        }
    }

    /// All keys that match a pattern.
    func keys(_ pattern: String) throws -> [String] {
        guard case .list(let keys) = try ask("KEYS", pattern) else { return [] }
        return keys.compactMap { if case .text(let key) = $0 { key } else { nil } }
    }

    /// A hash's fields.
    func hash(_ key: String) throws -> [String: String] {
        guard case .list(let items) = try ask("HGETALL", key) else { return [:] }
        var hash: [String: String] = [:]
        for index in stride(from: 0, to: items.count - 1, by: 2) {
            if case .text(let field) = items[index], case .text(let value) = items[index + 1] {
                hash[field] = value
            }
        }
        return hash
    }

    private func reply() throws -> Reply {
        let line = try line()
        let rest = String(line.dropFirst())
        switch line.first {
        case "+": return .text(rest)
        case "-": throw Failure(description: rest)
        case ":": return .number(Int(rest) ?? 0)
        case "$":
            guard let count = Int(rest), count >= 0 else { return .missing }
            while bytes.count < position + count + 2 { try read() }
            defer { position += count + 2 }
            return .text(String(decoding: bytes[position..<position + count], as: UTF8.self))
        case "*": return .list(try (0..<max(0, Int(rest) ?? 0)).map { _ in try reply() })
        default: throw Failure(description: "not a reply: \(line)")
        }
    }

    private func line() throws -> String {
        while true {
            if let end = bytes[position...].firstIndex(of: 13), end + 1 < bytes.count {
                defer { position = end + 2 }
                return String(decoding: bytes[position..<end], as: UTF8.self)
            }
            try read()
        }
    }

    private func read() throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { throw Failure(description: "Redis did not answer: errno \(errno)") }
        bytes += buffer[..<count]
    }
}
