/// The judgement: from facts to findings, in the order in which they are shown.
extension RedisFacts {
    /// `leaseTTL`: a node's lease, against which latency is judged.
    func findings(leaseTTL: Duration) -> [Finding] {
        [version, role, eviction, memory, buffers, persistence, clients, clock, latency(leaseTTL), scripts]
    }

    /// 6.2 brought what our scripts use safely (`TIME` before writes needs effects replication, the default since 5,
    /// and 7 made it the only mode); sharded pub/sub for Cluster came with 7.0.
    private var version: Finding {
        let text = info["redis_version"] ?? "unknown"
        let parts = text.split(separator: ".").compactMap { Int($0) }
        guard let major = parts.first else {
            return Finding(
                .warn,
                "version",
                "Redis does not tell its version",
                todo: "make sure it is 7.0 or later"
            )
        }
        if major >= 7 { return Finding(.ok, "version", "Redis \(text)") }
        if major == 6, parts.count > 1, parts[1] >= 2 {
            return Finding(
                .warn,
                "version",
                "Redis \(text) works alone, and lacks sharded pub/sub for Cluster",
                todo: "use Redis 7.0 or later"
            )
        }
        return Finding(
            .fail,
            "version",
            "Redis \(text) is too old: scripts that read TIME and write need 6.2, and 7.0 is what is tested",
            todo: "use Redis 7.0 or later"
        )
    }

    private var role: Finding {
        switch info["role"] {
        case "master": Finding(.ok, "role", "it is a master")
        case let role?:
            Finding(
                .fail,
                "role",
                "it is a \(role): routes cannot be written there",
                todo: "give the address of the master"
            )
        case nil: Finding(.warn, "role", "Redis does not tell whether it is a master")
        }
    }

    private var eviction: Finding {
        guard let policy = info["maxmemory_policy"] ?? config?["maxmemory-policy"] else {
            return Finding(
                .warn,
                "eviction",
                "Redis does not tell its policy",
                todo: "make sure it is noeviction"
            )
        }
        if policy == "noeviction" { return Finding(.ok, "eviction", "noeviction") }
        return Finding(
            .fail,
            "eviction",
            "\(policy) throws away routes when memory is short, and users are judged offline who are not",
            todo: "redis-cli CONFIG SET maxmemory-policy noeviction (and in redis.conf)"
        )
    }

    private var memory: Finding {
        let used = info["used_memory"].flatMap(Int.init) ?? 0
        let max = info["maxmemory"].flatMap(Int.init) ?? 0
        let usedText = "\(used / 1_048_576) MiB used"
        guard max > 0 else { return Finding(.ok, "memory", "\(usedText), no maxmemory") }
        let share = Double(used) / Double(max)
        if share < 0.8 { return Finding(.ok, "memory", "\(usedText) of \(max / 1_048_576) MiB") }
        return Finding(
            .warn,
            "memory",
            "\(usedText) of \(max / 1_048_576) MiB: writes will be refused when it is full",
            todo: "raise maxmemory; a route takes about 150 bytes"
        )
    }

    /// Redis cuts a subscriber whose unread output passes the hard limit, or the soft one for so many seconds.
    private var buffers: Finding {
        guard let text = config?["client-output-buffer-limit"] else {
            return Finding(
                .warn,
                "pubsub buffer",
                "Redis does not tell its limit",
                todo: "32 MiB hard, 8 MiB for 60 s or more is right"
            )
        }
        let words = text.split(separator: " ")
        guard let index = words.firstIndex(of: "pubsub"), words.count > index + 3,
            let hard = Int(words[index + 1]),
            let soft = Int(words[index + 2]), let seconds = Int(words[index + 3])
        else { return Finding(.warn, "pubsub buffer", "its limit cannot be read: \(text)") }
        let words3 = "hard \(hard / 1_048_576) MiB, soft \(soft / 1_048_576) MiB for \(seconds) s"
        if hard == 0 {
            return Finding(
                .warn,
                "pubsub buffer",
                "no hard limit: a node that hangs makes Redis grow",
                todo: "redis-cli CONFIG SET client-output-buffer-limit 'pubsub 64mb 32mb 60'"
            )
        }
        if hard < 8 << 20 || (soft > 0 && soft < 2 << 20) {
            return Finding(
                .warn,
                "pubsub buffer",
                "\(words3): a short burst of pushes cuts a node off",
                todo: "redis-cli CONFIG SET client-output-buffer-limit 'pubsub 64mb 32mb 60'"
            )
        }
        return Finding(.ok, "pubsub buffer", words3)
    }

    private var persistence: Finding {
        let isAppending = info["aof_enabled"] == "1"
        if isAppending, info["aof_last_write_status"] == "err" {
            return Finding(
                .fail,
                "persistence",
                "the append-only file cannot be written",
                todo: "see the log of Redis and its disk"
            )
        }
        if info["rdb_last_bgsave_status"] == "err" {
            return Finding(
                .fail,
                "persistence",
                "the last snapshot failed, and Redis may refuse writes",
                todo: "see the log of Redis and its disk"
            )
        }
        if isAppending { return Finding(.ok, "persistence", "append-only file on") }
        return Finding(
            .ok,
            "persistence",
            "append-only file off: routes come back by themselves after a restart"
        )
    }

    private var clients: Finding {
        let connected = info["connected_clients"].flatMap(Int.init) ?? 0
        let max = (info["maxclients"] ?? config?["maxclients"]).flatMap(Int.init) ?? 0
        let text = "\(connected) of \(max) clients"
        guard max > 0, connected * 10 > max * 9 else { return Finding(.ok, "clients", text) }
        return Finding(
            .warn,
            "clients",
            "\(text): new nodes will be refused",
            todo: "raise maxclients; a cloud node takes 3"
        )
    }

    /// Herald judges by Redis's clock only: a wrong local clock spoils logs, not routes.
    private var clock: Finding {
        let ahead = clockAheadMilliseconds.rounded()
        let text = "this machine is \(Int(abs(ahead))) ms \(ahead < 0 ? "behind" : "ahead of") Redis"
        guard abs(ahead) > 1000 else { return Finding(.ok, "clock", text) }
        return Finding(
            .warn,
            "clock",
            text,
            todo: "let both follow NTP; routes do not depend on it, logs and tokens do"
        )
    }

    private func latency(_ leaseTTL: Duration) -> Finding {
        guard !pingMilliseconds.isEmpty else { return Finding(.warn, "latency", "was not measured") }
        let median = pingMilliseconds[pingMilliseconds.count / 2]
        let p99 = pingMilliseconds[min(pingMilliseconds.count - 1, pingMilliseconds.count * 99 / 100)]
        let text = "PING median \(Self.twoDigits(median)) ms, p99 \(Self.twoDigits(p99)) ms"
        if p99 > leaseTTL / .milliseconds(1) / 3 {
            return Finding(
                .fail,
                "latency",
                "\(text): a lease cannot be kept alive",
                todo: "bring Redis nearer, or see redis-cli --latency"
            )
        }
        if p99 > 20 {
            return Finding(
                .warn,
                "latency",
                "\(text): each push pays it twice",
                todo: "bring Redis nearer, or see redis-cli --latency"
            )
        }
        return Finding(.ok, "latency", text)
    }

    private var scripts: Finding {
        guard let scriptError else { return Finding(.ok, "scripts", "load") }
        return Finding(
            .fail,
            "scripts",
            "cannot be loaded: \(scriptError)",
            todo: "allow SCRIPT LOAD and EVALSHA to this user"
        )
    }

    private static func twoDigits(_ value: Double) -> String {
        let hundredths = Int((value * 100).rounded())
        return "\(hundredths / 100).\(hundredths % 100 < 10 ? "0" : "")\(hundredths % 100)"
    }
}
