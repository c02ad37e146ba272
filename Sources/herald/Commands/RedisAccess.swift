import HeraldCore
import HeraldRedis
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle

extension HeraldSettings {
    /// Where Redis is and who we are there: user and password of their own settings go before those in the address.
    func redisAddress() throws -> RedisAddress {
        var address: RedisAddress
        do { address = try RedisAddress(redis.url) } catch {
            throw SettingsError(place: "redis.url", reason: error.message)
        }
        if !redis.username.isEmpty { address.user = redis.username }
        if !redis.password.isEmpty { address.password = redis.password }
        return address
    }

    /// `name`: what Redis shows in CLIENT LIST.
    func linkOptions(name: String, logger: Logger) -> RedisLinkOptions {
        var options = RedisLinkOptions(name: name, logger: logger)
        options.limits = redis.link
        options.tls = redis.tls
        return options
    }

    /// The table of routes with the rules that all processes share.
    func routeTable(_ link: RedisLink, logger: Logger = Logger(label: "herald")) -> RedisRouteTable {
        RedisRouteTable(
            link: link,
            prefix: redis.prefix,
            rules: presence,
            leaseTTL: limits.leaseTTL,
            logger: logger
        )
    }

    /// What tells the departures of dead nodes, in every process that runs; nil when nobody is told.
    func reaper(_ link: RedisLink, logger: Logger) -> Reaper? {
        guard presence.eventsAreWritten else { return nil }
        return Reaper(
            link: link,
            prefix: redis.prefix,
            rules: presence,
            leaseTTL: limits.leaseTTL,
            logger: logger
        )
    }

    var level: Logger.Level { Logger.Level(rawValue: log.level) ?? .info }
}

extension Reaper.Counts {
    /// What the pages of numbers say of it.
    var metrics: [Metric] {
        [
            Metric(.gauge, "herald_reaper_acting", "1 while this process tells departures", isActing ? 1 : 0),
            Metric(.gauge, "herald_reaper_trusting", "1 when it may call a node dead", isTrusting ? 1 : 0),
            Metric(.counter, "herald_reaper_fenced_total", "Dead runs of nodes it ended", fenced),
            Metric(.counter, "herald_reaper_departures_total", "Departures it told", told),
            Metric(
                .gauge,
                "herald_reaper_lag_milliseconds",
                "How late the last departure was",
                UInt64(max(0, lag.wholeMilliseconds))
            ),
        ]
    }
}

/// A link to Redis for a command that asks a few questions and ends.
enum RedisSession {
    /// Connects, lends the link, and closes it.
    ///
    /// `patience`: how long connecting may take.
    /// Throws `Failure` with `unavailable` when Redis is out of reach.
    static func open<Result: Sendable>(
        _ settings: HeraldSettings,
        patience: Duration = .seconds(3),
        _ body: @escaping @Sendable (RedisLink) async throws -> Result
    ) async throws -> Result {
        let address = try settings.redisAddress()
        var logger = Logger(label: "herald")
        logger.logLevel = .critical
        let link: RedisLink
        do {
            link = try RedisLink(
                to: address,
                options: settings.linkOptions(name: "herald-cli", logger: logger),
                on: MultiThreadedEventLoopGroup.singleton.any()
            )
        } catch { throw Failure(.usage, error.message) }
        return try await withThrowingTaskGroup(of: Result?.self) { group in
            defer { group.cancelAll() }
            group.addTask {
                do { try await link.run() } catch let error as RedisError {
                    throw Failure(.unavailable, "Redis at \(address) does not let us in: \(error)")
                }
                return nil
            }
            group.addTask {
                do { try await Deadline.within(patience) { try await link.ready() } } catch is Deadline.Passed
                {
                    let reason = link.status.lastError.map { ": \($0)" } ?? ""
                    throw Failure(.unavailable, "Redis at \(address) is out of reach\(reason)")
                }
                return try await body(link)
            }
            while let result = try await group.next() {
                if let result { return result }
            }
            throw Failure(.unavailable, "the link to Redis at \(address) ended")
        }
    }
}

/// Bounds work by time.
enum Deadline {
    struct Passed: Error {}

    /// - Throws: `Passed` when the work is not done in time; it is cancelled then.
    static func within<Result: Sendable>(
        _ limit: Duration,
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Result.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await body() }
            group.addTask {
                try await Task.sleep(for: limit)
                throw Passed()
            }
            guard let first = try await group.next() else { throw Passed() }
            return first
        }
    }
}
