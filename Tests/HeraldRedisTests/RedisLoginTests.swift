import HeraldRedis
import HeraldTesting
import Testing

@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisLoginTests {
    /// Never gets in, and says why.
    private func expectNever(_ url: String, _ words: String) async throws {
        let options = quickOptions { $0.limits.outageGrace = .milliseconds(20) }
        try await withLink(to: url, options, waits: false) { link async throws in
            while link.status.lastError == nil { await Task.yield() }
            #expect(link.status.lastError?.contains(words) == true, "\(link.status.lastError ?? "")")
            let error = await #expect(throws: RedisError.self) { try await link.send(RedisCommand("PING")) }
            #expect(error?.code == .unavailable)
        }
    }

    /// A login that is wrong from the start ends the link's run.
    private func expectRefused(_ url: String, _ words: String) async throws {
        let link = try RedisLink(to: RedisAddress(url), options: quickOptions(), on: nextLoop())
        let error = await #expect(throws: RedisError.self) { try await link.run() }
        #expect(error?.code == .refused && error?.fault == .operator && error?.mayRetry == false)
        #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        #expect(error?.description.contains("wrong-secret") == false)
        let stopped = await #expect(throws: RedisError.self) { try await link.ready() }
        #expect(stopped?.code == .stopped)
    }

    @Test func `a password lets in`() async throws {
        try await OwnRedis.with(["--requirepass", "secret"]) { redis async throws in
            try await withLink(to: "redis://:secret@127.0.0.1:\(redis.port)") { link async throws in
                #expect(try await link.send(RedisCommand("PING")) == .status("PONG"))
            }
            try await expectRefused("redis://:wrong-secret@127.0.0.1:\(redis.port)", "WRONGPASS")
            try await expectRefused(redis.url, "NOAUTH")
        }
    }

    @Test func `a user of the access list comes in by his own password`() async throws {
        try await OwnRedis.with(["--user", "app", "on", ">p@ss", "~herald:*", "+@all", "-client", "-script"])
        { redis async throws in
            // He may neither name himself nor load scripts, and can work all the same.
            try await withLink(to: "redis://app:p%40ss@127.0.0.1:\(redis.port)") { link async throws in
                #expect(try await link.send(RedisCommand("ACL", "WHOAMI")).text == "app")
                let replies = try await link.send([RedisCommand("GET", "herald:a"), RedisCommand("GET", "b")])
                #expect(replies[0] == .null && replies[1].failure?.code == "NOPERM")
            }
            try await expectRefused("redis://app:wrong-secret@127.0.0.1:\(redis.port)", "WRONGPASS")
        }
    }

    @Test func `a database is selected on every connection and named in CLIENT LIST`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url + "/3") { link async throws in
                try await link.send(RedisCommand("SET", "here", 1))
                try await withLink(to: redis.url) { zero async throws in
                    #expect(try await zero.send(RedisCommand("GET", "here")) == .null)
                    let list = try await zero.send(RedisCommand("CLIENT", "LIST")).text ?? ""
                    #expect(
                        list.split(separator: "\n").contains {
                            $0.contains("name=test ") && $0.contains("db=3 ")
                        }
                    )
                    try await zero.send(RedisCommand("CLIENT", "KILL", "TYPE", "normal"))
                }
                await untilConnected(link, times: 2)
                #expect(try await link.send(RedisCommand("GET", "here")).number == 1)
            }
            try await expectRefused(redis.url + "/99", "SELECT")
        }
    }

    @Test func `a unix socket is as good as TCP`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: "unix://\(redis.socketPath)?db=2") { link async throws in
                #expect(try await link.send(RedisCommand("PING")) == .status("PONG"))
            }
            try await expectNever("unix://\(redis.folder)/nobody", "unavailable")
        }
    }

    @Test func `TLS is verified`() async throws {
        let redis = try await OwnRedis.start(tls: certificates)
        defer { redis.stop() }
        let trusting = quickOptions { $0.tls.authorityFile = redis.folder + "/cert.pem" }
        for host in ["localhost", "127.0.0.1"] {
            try await withLink(to: "rediss://\(host):\(redis.tlsPort)", trusting) { link async throws in
                #expect(try await link.send(RedisCommand("PING")) == .status("PONG"))
                let value = [UInt8](repeating: 5, count: 1 << 20)
                #expect(try await link.send(RedisCommand("ECHO", .bytes(value))) == .string(value))
            }
        }
        try await expectNever("rediss://127.0.0.1:\(redis.tlsPort)", "connection to Redis failed")
        let careless = quickOptions { $0.tls.verifies = false }
        try await withLink(to: "rediss://127.0.0.1:\(redis.tlsPort)", careless) { link async throws in
            #expect(try await link.send(RedisCommand("PING")) == .status("PONG"))
        }
        let missing = quickOptions { $0.tls.certificateFile = "/nowhere.pem" }
        let error = #expect(throws: RedisError.self) {
            try RedisLink(to: RedisAddress("rediss://localhost:1"), options: missing, on: nextLoop())
        }
        #expect(error?.code == .badConfiguration && error?.fault == .operator)
    }

    private func certificates(in folder: String) throws -> [String] {
        let status = try OwnRedis.run([
            "/usr/bin/openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", folder + "/key.pem", "-out", folder + "/cert.pem",
        ])
        #expect(status == 0)
        return [
            "--tls-cert-file", folder + "/cert.pem", "--tls-key-file", folder + "/key.pem",
            "--tls-auth-clients", "no",
        ]
    }
}
