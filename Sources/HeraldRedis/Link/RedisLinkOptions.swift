public import Logging

/// How a link connects and what it allows.
public struct RedisLinkOptions: Sendable {
    /// What `CLIENT LIST` shows for it; no spaces.
    public var name: String
    public var limits = RedisLinkLimits()
    /// Used when the address is `rediss://`.
    public var tls = RedisTLS()
    /// Loaded whenever a connection begins. What is missing here still works, one turn later.
    public var scripts: [RedisScript] = RedisScript.herald
    public var logger: Logger

    public init(name: String = "herald", logger: Logger = Logger(label: "herald.redis")) {
        self.name = name
        self.logger = logger
    }
}

/// Every bound of a link, on one page.
public struct RedisLinkLimits: Sendable, Equatable {
    /// For TCP, TLS and the greeting together, each. Like every time-out here it stays below a third of the
    /// nodes' lease of 10 s, so that a dead Redis is noticed while there is time to act.
    public var connectTimeout: Duration = .seconds(2)
    /// For the reply to a command, from the moment of asking, when the caller says nothing else.
    public var commandTimeout: Duration = .seconds(2)
    /// A connection that owes replies and has been silent for so long is rebuilt.
    public var silenceMax: Duration = .seconds(2)
    /// Commands wait for a connection that has been away for less; after that they are refused at once. It hides
    /// a dropped connection (50 ms) and keeps an outage from piling up work that nobody will want.
    public var outageGrace: Duration = .seconds(1)
    /// The wait before the first attempt to reconnect; doubles with each. Half of each wait is jitter.
    public var backoffMin: Duration = .milliseconds(50)
    /// "After Redis returns, pushes arrive again within 3 s" leaves no room for longer waits.
    public var backoffMax: Duration = .seconds(1)
    /// Commands that are asked for and not answered yet: a quarter of a second of Redis's work.
    public var commandsInFlightMax = 65_536
    /// Their bytes.
    public var bytesInFlightMax = 64 * 1024 * 1024
    /// What one reply may hold.
    public var replyBytesMax = 64 * 1024 * 1024
    /// After so much silence an idle connection is asked for a sign of life, which `silenceMax` bounds.
    public var keepAlive: Duration = .seconds(3)

    public init() {}
}

/// What `rediss://` needs beyond the address.
public struct RedisTLS: Sendable, Equatable {
    /// The authorities to trust, a PEM file. The system's when nil.
    public var authorityFile: String?
    /// Our own certificate, a PEM file, for a Redis that asks for one.
    public var certificateFile: String?
    /// Its key, a PEM file.
    public var keyFile: String?
    /// Whether Redis's certificate must be valid for the host of the address. Off only for experiments.
    public var verifies = true

    public init() {}
}

/// How long to wait before an attempt to connect: doubling, capped, and half of it jitter, so that a restarted
/// Redis is not met by everybody in the same millisecond.
struct RedisBackoff {
    let min: Duration
    let max: Duration

    /// - Parameters:
    ///   - failures: attempts that failed one after the other, the lost connection counted as one; at least 1.
    ///   - random: 0 to 1, drawn by the caller.
    /// - Returns: from half of the full wait to all of it.
    func delay(failures: Int, random: Double) -> Duration {
        let doublings = Swift.min(Swift.max(failures - 1, 0), 30)
        let full = Swift.min(max, min * (1 << doublings))
        return full * (0.5 + 0.5 * random)
    }
}
