import HeraldCore
import HeraldLogic
import HeraldRedis
import HeraldSockets

/// Every setting there is, in the order of `config/herald.yaml`. The file, the environment, `--set` and the
/// documentation all come from here; the defaults come from `HeraldSettings`.
enum SettingTable {
    static let all: [Setting] =
        redis + [log] + logic + cloud + cloudEdge + presence + webhooks + jobs + inbox + limits + http
        + sockets

    static let byName: [String: Setting] = Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    static let byEnvironmentName: [String: Setting] = Dictionary(
        uniqueKeysWithValues: all.map { ($0.environmentName, $0) }
    )

    private static let day = Duration.seconds(86_400)
    private static let anyPort = 0...65_535

    private static let redis: [Setting] = [
        .text("redis.url", \.redis.url, form: "redis://, rediss:// or unix:// address", "Where Redis is.") {
            text throws(BadValue) in
            do throws(RedisError) { _ = try RedisAddress(text) } catch {
                throw BadValue("is wrong: \(error.message)")
            }
        },
        .text(
            "redis.username",
            \.redis.username,
            form: "text",
            "Who we are to Redis; empty for the default user."
        ),
        .text("redis.password", \.redis.password, form: "text", "The password to that.", isSecret: true),
        .text(
            "redis.prefix",
            \.redis.prefix,
            form: "1 to 64 of a-z 0-9 : . - _",
            "What all keys and channels begin with."
        ) {
            text throws(BadValue) in
            let isFine =
                (1...64).contains(text.utf8.count)
                && text.allSatisfy { "abcdefghijklmnopqrstuvwxyz0123456789:.-_".contains($0) }
            guard isFine else {
                throw BadValue("must have 1 to 64 characters of a-z 0-9 : . - _, and is '\(text)'")
            }
        },
        .duration(
            "redis.connect_timeout",
            \.redis.link.connectTimeout,
            .milliseconds(50)...(.seconds(60)),
            "Bounds connecting."
        ),
        .duration(
            "redis.command_timeout",
            \.redis.link.commandTimeout,
            .milliseconds(50)...(.seconds(60)),
            "Bounds a command."
        ),
        .duration(
            "redis.silence_max",
            \.redis.link.silenceMax,
            .milliseconds(100)...(.seconds(60)),
            "A silent link with commands out is dead."
        ),
        .duration(
            "redis.outage_grace",
            \.redis.link.outageGrace,
            .milliseconds(0)...(.seconds(60)),
            "How long commands wait for a lost link."
        ),
        .duration(
            "redis.backoff_max",
            \.redis.link.backoffMax,
            .milliseconds(100)...(.seconds(60)),
            "The longest pause between two attempts."
        ),
        .duration(
            "redis.keep_alive",
            \.redis.link.keepAlive,
            .milliseconds(500)...(.seconds(60)),
            "How often an idle link is asked."
        ),
        .path("redis.tls_authority_file", \.redis.tls.authorityFile, "The certificates to trust (PEM)."),
        .path("redis.tls_certificate_file", \.redis.tls.certificateFile, "Our certificate (PEM)."),
        .path("redis.tls_key_file", \.redis.tls.keyFile, "Its private key (PEM)."),
        .flag("redis.tls_verifies", \.redis.tls.verifies, "Whether Redis's certificate is checked."),
    ]

    private static let log: Setting = .choice(
        "log.level",
        \.log.level,
        of: ["trace", "debug", "info", "notice", "warning", "error", "critical"],
        "What goes to standard error."
    )

    private static let logic: [Setting] = [
        .text("logic.name", \.logic.name, form: "[a-z0-9-]{1,64}", "Its name among its like.", check: nodeID),
        .text("logic.host", \.logic.host, form: "address", "Where it listens."),
        .integer("logic.port", \.logic.port, anyPort, "Where it listens; 0 for any free port."),
        .text(
            "logic.api_key",
            \.logic.apiKey,
            form: "text, 16 to 256 characters, or empty",
            "What callers have to show.",
            isSecret: true
        ),
    ]

    private static let cloud: [Setting] = [
        .text(
            "cloud.id",
            \.cloud.id,
            form: "[a-z0-9-]{1,64}",
            "Its name, like no other node's.",
            check: nodeID
        ),
        .text("cloud.host", \.cloud.host, form: "numeric address or localhost", "Where it listens."),
        .integer("cloud.port", \.cloud.port, anyPort, "Where it listens; 0 for any free port."),
        .text(
            "cloud.url",
            \.cloud.url,
            form: "ws:// or wss:// address, or empty",
            "Where clients reach it.",
            check: clientURL
        ),
        .text("cloud.region", \.cloud.region, form: "text", "Where it stands, for whoever picks a node."),
        .integer("cloud.weight", \.cloud.weight, 1...1_000_000, "Its share of new clients."),
        .integer("cloud.loops", \.cloud.loops, 1...256, "Threads that hold sockets."),
        .choice("cloud.auth", \.cloud.auth, of: ["none"], "How it finds out who a client is."),
        .list(
            "cloud.allowed_origins",
            \.cloud.allowedOrigins,
            form: "list of origins",
            "Web pages that may connect."
        ),
        .duration(
            "cloud.bind_patience",
            \.cloud.bindPatience,
            .milliseconds(100)...(.seconds(60)),
            "How long a client waits for its route."
        ),
        .duration(
            "cloud.drain_duration",
            \.cloud.drainDuration,
            .milliseconds(0)...(.seconds(600)),
            "How long stopping takes its time."
        ),
    ]

    private static let presence: [Setting] = [
        .flag("presence.events", \.presence.eventsAreWritten, "Whether events are written."),
        .duration(
            "presence.grace",
            \.presence.grace,
            .milliseconds(0)...(.seconds(600)),
            "A key that is back within it was never gone."
        ),
        .integer(
            "presence.events_kept",
            \.presence.eventsKeptMax,
            1600...100_000_000,
            "Events kept in Redis."
        ),
        .integer(
            "presence.connections_per_user",
            \.presence.connectionsPerUserMax,
            0...10_000,
            "Connections of a user over all nodes; 0: as many as come."
        ),
        .choice(
            "presence.when_full",
            \.whenFull,
            of: PresenceRules.WhenFull.allCases.map(\.rawValue),
            "What happens to a connection beyond that."
        ),
    ]

    private static let webhooks: [Setting] = [
        .text(
            "webhooks.url",
            \.webhooks.url,
            form: "http:// or https:// address, or empty",
            "Where presence events are sent.",
            check: webhookURL
        ),
        .text(
            "webhooks.secret",
            \.webhooks.secret,
            form: "text, 16 to 256 characters, or empty",
            "What signs them.",
            isSecret: true,
            check: webhookSecret
        ),
        .flag(
            "webhooks.allow_private",
            \.webhooks.allowsPrivate,
            "Whether the receiver may be in a private network."
        ),
        .duration(
            "webhooks.give_up_after",
            \.webhooks.giveUpAfter,
            .seconds(60)...(.seconds(7 * 86_400)),
            "When an event that is not taken is given up."
        ),
    ]

    private static let limits: [Setting] = [
        .bytes("limits.push_bytes_max", \.limits.pushBytesMax, 1024...(64 << 20), "The body of a push."),
        .integer("limits.targets_max", \.limits.targetsMax, 1...100_000, "Targets of a push."),
        .integer("limits.excludes_max", \.limits.excludesMax, 0...10_000, "Excluded keys of a push."),
        .integer("limits.json_depth_max", \.limits.jsonDepthMax, 4...256, "Nesting of JSON."),
        .bytes("limits.event_bytes_max", \.limits.eventBytesMax, 1...4096, "An event's name."),
        .bytes(
            "limits.client_frame_bytes_max",
            \.limits.clientFrameBytesMax,
            1024...(16 << 20),
            "A client's frame."
        ),
        .integer(
            "limits.rooms_per_connection_max",
            \.limits.roomsPerConnectionMax,
            1...10_000,
            "Rooms of a connection."
        ),
        .integer(
            "limits.listed_members_max",
            \.limits.listedMembersMax,
            0...1_000_000,
            "Members of a room that a node lists by name."
        ),
        .integer(
            "limits.pushes_waiting_max",
            \.limits.pushesWaitingMax,
            1...1_000_000,
            "Pushes that wait in logic."
        ),
        .duration(
            "limits.route_ttl",
            \.limits.routeTTL,
            .seconds(1)...day,
            "A mapping's life without renewal."
        ),
        .duration(
            "limits.route_renewal",
            \.limits.routeRenewal,
            .milliseconds(200)...day,
            "How often it is renewed."
        ),
        .duration("limits.lease_ttl", \.limits.leaseTTL, .seconds(1)...(.seconds(600)), "A node's lease."),
        .duration(
            "limits.lease_renewal",
            \.limits.leaseRenewal,
            .milliseconds(200)...(.seconds(600)),
            "How often it is renewed."
        ),
        .duration(
            "limits.connect_deadline",
            \.limits.connectDeadline,
            .milliseconds(100)...(.seconds(600)),
            "For the client's connect."
        ),
        .duration(
            "limits.push_deadline",
            \.limits.pushDeadline,
            .milliseconds(100)...(.seconds(60)),
            "For a push."
        ),
    ]

    private static let http: [Setting] = [
        .bytes("http.header_bytes_max", \.http.headerBytesMax, 1024...(1 << 20), "A request's header."),
        .integer("http.header_fields_max", \.http.headerFieldsMax, 8...1000, "Its fields."),
        .duration(
            "http.request_deadline",
            \.http.requestDeadline,
            .milliseconds(100)...(.seconds(600)),
            "For a request to arrive."
        ),
        .duration(
            "http.idle_timeout",
            \.http.idleTimeout,
            .seconds(1)...(.seconds(3600)),
            "For a connection without a request."
        ),
        .integer("http.connections_max", \.http.connectionsMax, 1...1_000_000, "Connections at once."),
    ]

    private static let sockets: [Setting] = [
        .bytes(
            "sockets.request_head_bytes_max",
            \.sockets.requestHeadBytesMax,
            1024...(1 << 20),
            "A request's head."
        ),
        .duration(
            "sockets.upgrade_deadline",
            \.sockets.upgradeDeadline,
            .milliseconds(100)...(.seconds(600)),
            "For the upgrade request."
        ),
        .bytes(
            "sockets.send_queue_bytes_max",
            \.sockets.sendQueueBytesMax,
            4096...(1 << 30),
            "Unsent bytes of a socket."
        ),
        .bytes(
            "sockets.node_queue_bytes_max",
            \.sockets.nodeQueueBytesMax,
            (1 << 20)...(1 << 40),
            "Unsent bytes of all."
        ),
        .integer(
            "sockets.sockets_max_per_loop",
            \.sockets.socketsMaxPerLoop,
            1...16_000_000,
            "Sockets of a loop."
        ),
        .integer(
            "sockets.retry_after_seconds",
            \.sockets.retryAfterSeconds,
            1...3600,
            "What a refused client is told."
        ),
        .duration(
            "sockets.ping_interval",
            \.sockets.pingInterval,
            .seconds(1)...(.seconds(3600)),
            "Between two pings."
        ),
        .duration(
            "sockets.pong_timeout",
            \.sockets.pongTimeout,
            .milliseconds(500)...(.seconds(600)),
            "For the answer to a ping."
        ),
        .duration(
            "sockets.close_timeout",
            \.sockets.closeTimeout,
            .milliseconds(100)...(.seconds(60)),
            "For closing a socket."
        ),
    ]

    @Sendable private static func nodeID(_ text: String) throws(BadValue) {
        do { _ = try NodeID(text) } catch { throw BadValue(error.rule) }
    }

    @Sendable private static func webhookURL(_ text: String) throws(BadValue) {
        guard !text.isEmpty else { return }
        do { _ = try WebhookURL(text) } catch { throw BadValue("is wrong: \(error)") }
    }

    @Sendable private static func webhookSecret(_ text: String) throws(BadValue) {
        guard !text.isEmpty else { return }
        do { _ = try WebhookSecret(text) } catch { throw BadValue("is too weak: \(error)") }
    }

    @Sendable private static func clientURL(_ text: String) throws(BadValue) {
        guard text.isEmpty || text.hasPrefix("ws://") || text.hasPrefix("wss://") else {
            throw BadValue("must start with ws:// or wss://, and is '\(text)'")
        }
    }
}
