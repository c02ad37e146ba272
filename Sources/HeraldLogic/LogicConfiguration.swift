public import HeraldCore

/// How one logic process is set up.
public struct LogicConfiguration: Sendable {
    /// Where to listen: a loopback address unless there is an API key.
    public var host: String
    /// 0 for any free one.
    public var port: Int
    /// This process's name among its like, such as `logic-1`; envelopes carry it.
    public var name: String
    public var limits: Limits
    public var jobLimits: JobLimits
    public var http: HTTPLimits
    /// What callers have to show. Nil lets everybody on this machine push.
    public var apiKey: APIKey?
    /// Whether pushes are answered in front of the HTTP server; tests compare both ways.
    var isLean = true

    public init(
        host: String = "127.0.0.1",
        port: Int = 8080,
        name: String = "logic-1",
        limits: Limits = .standard,
        jobLimits: JobLimits = .standard,
        http: HTTPLimits = HTTPLimits(),
        apiKey: APIKey? = nil
    ) {
        self.host = host
        self.port = port
        self.name = name
        self.limits = limits
        self.jobLimits = jobLimits
        self.http = http
        self.apiKey = apiKey
    }

    /// Whether only this machine can reach it.
    var isLoopback: Bool { Self.isLoopback(host) }

    static func isLoopback(_ host: String) -> Bool {
        if host == "localhost" || host == "::1" { return true }
        let parts = host.split(separator: ".", omittingEmptySubsequences: false)
        return parts.count == 4 && parts[0] == "127" && parts.allSatisfy { UInt8($0) != nil }
    }
}

/// Bounds of HTTP: what one connection may cost before it has said anything sensible.
public struct HTTPLimits: Sendable {
    /// All header fields of a request together, and each one.
    public var headerBytesMax = 16 * 1024
    public var headerFieldsMax = 100
    /// How long a request may take to arrive, from its first byte on.
    public var requestDeadline: Duration = .seconds(10)
    /// How long a connection may stay open without a request.
    public var idleTimeout: Duration = .seconds(60)
    /// Connections at once; more wait in the kernel's queue. A process here may have 20,000 descriptors.
    public var connectionsMax = 8192

    public init() {}
}

/// A secret that callers of the HTTP API show as `Authorization: Bearer …`. Never printed.
public struct APIKey: Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    private let bytes: [UInt8]

    /// - Throws: `LogicError.weakKey` unless it has 16 to 256 visible ASCII characters.
    public init(_ text: String) throws(LogicError) {
        let bytes = Array(text.utf8)
        guard (16...256).contains(bytes.count), bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .weakKey
        }
        self.bytes = bytes
    }

    /// Compares in a time that depends on the candidate's length only.
    func matches(_ candidate: some Collection<UInt8>) -> Bool {
        var difference: UInt8 = candidate.count == bytes.count ? 0 : 1
        for (index, byte) in candidate.enumerated() { difference |= byte ^ bytes[index % bytes.count] }
        return difference == 0
    }

    public var description: String { "(an API key)" }
    public var debugDescription: String { description }
}

/// Why a logic process cannot be set up. The operator's to change.
public enum LogicError: Error, Equatable, CustomStringConvertible {
    /// Whoever reaches the address could push to everybody.
    case keyMissing(host: String)
    case weakKey
    case cannotListen(host: String, port: Int, reason: String)

    public var description: String {
        switch self {
        case .keyMissing(let host):
            "\(host) can be reached from other machines: set an API key, or listen on 127.0.0.1"
        case .weakKey: "an API key has 16 to 256 visible ASCII characters"
        case .cannotListen(let host, let port, let reason): "cannot listen on \(host):\(port): \(reason)"
        }
    }
}
