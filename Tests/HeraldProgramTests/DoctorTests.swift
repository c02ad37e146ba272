import Testing

@testable import herald

@Suite struct DoctorTests {
    static let healthy: RedisFacts = {
        var facts = RedisFacts()
        facts.info = [
            "redis_version": "7.0.15", "role": "master", "maxmemory_policy": "noeviction",
            "used_memory": "1048576",
            "maxmemory": "0", "aof_enabled": "0", "rdb_last_bgsave_status": "ok", "connected_clients": "3",
            "maxclients": "10000",
        ]
        facts.config = [
            "client-output-buffer-limit":
                "normal 0 0 0 slave 268435456 67108864 60 pubsub 67108864 33554432 60"
        ]
        facts.pingMilliseconds = Array(repeating: 0.1, count: 100)
        return facts
    }()

    private func findings(_ change: (inout RedisFacts) -> Void) -> [String: Finding.Level] {
        var facts = Self.healthy
        change(&facts)
        let findings = facts.findings(leaseTTL: .seconds(10))
        // Whatever is not well says what to do.
        for finding in findings where finding.level == .fail { #expect(!finding.todo.isEmpty, "\(finding)") }
        return Dictionary(uniqueKeysWithValues: findings.map { ($0.name, $0.level) })
    }

    @Test func `a healthy Redis has only ok`() {
        #expect(findings { _ in }.values.allSatisfy { $0 == .ok })
    }

    @Test(arguments: [
        ("7.2.4", Finding.Level.ok), ("8.0.0", .ok), ("6.2.14", .warn), ("6.0.9", .fail), ("5.0.1", .fail),
        ("?", .warn),
    ])
    func `the version is judged`(version: String, level: Finding.Level) {
        #expect(findings { $0.info["redis_version"] = version }["version"] == level)
    }

    @Test(arguments: ["allkeys-lru", "volatile-ttl", "allkeys-random", "volatile-lfu"])
    func `an evicting policy is refused`(policy: String) {
        #expect(findings { $0.info["maxmemory_policy"] = policy }["eviction"] == .fail)
    }

    @Test(arguments: [
        ("role", "slave", "role", Finding.Level.fail), ("maxmemory", "1200000", "memory", .warn),
        ("rdb_last_bgsave_status", "err", "persistence", .fail),
        ("connected_clients", "9500", "clients", .warn),
    ])
    func `a fact that is not well is found`(field: String, value: String, name: String, level: Finding.Level)
    {
        #expect(findings { $0.info[field] = value }[name] == level)
    }

    @Test(arguments: [
        ("pubsub 33554432 8388608 60", Finding.Level.ok), ("pubsub 0 0 0", .warn),
        ("pubsub 1048576 0 0", .warn),
        ("normal 0 0 0", .warn),
    ])
    func `the bound of a subscriber is judged`(limit: String, level: Finding.Level) {
        #expect(findings { $0.config = ["client-output-buffer-limit": limit] }["pubsub buffer"] == level)
    }

    @Test func `a Redis that tells no configuration only warns`() {
        let levels = findings {
            $0.config = nil
            $0.info = [:]
        }
        #expect(!levels.values.contains(.fail))
    }

    @Test func `clock, latency and scripts are judged`() {
        #expect(findings { $0.clockAheadMilliseconds = -1500 }["clock"] == .warn)
        #expect(findings { $0.pingMilliseconds = Array(repeating: 30, count: 100) }["latency"] == .warn)
        #expect(findings { $0.pingMilliseconds = Array(repeating: 4000, count: 100) }["latency"] == .fail)
        #expect(findings { $0.scriptError = "NOPERM" }["scripts"] == .fail)
    }
}
