import HeraldCore
import Testing

@testable import HeraldLogic

struct PathTemplateTests {
    @Test(
        arguments: [
            ("/v1/nodes", "/v1/nodes", []), ("/v1/nodes", "/v1/nodes/", nil), ("/v1/nodes", "/v1/node", nil),
            ("/v1/nodes", "v1/nodes", nil), ("/v1/users/{user}", "/v1/users/a%2Fb", ["a%2Fb"]),
            ("/v1/users/{user}", "/v1/users/", [""]), ("/v1/users/{user}", "/v1/users", nil),
            ("/v1/users/{user}/connections/{key}", "/v1/users/a/connections/b", ["a", "b"]),
            ("/v1/users/{user}/connections/{key}", "/v1/users/a/connection/b", nil),
        ] as [(String, String, [Substring]?)]
    )
    func `a path is compared byte by byte`(template: String, path: String, parameters: [Substring]?) {
        #expect(PathTemplate(template).match(path) == parameters)
    }
}

struct AccessRuleTests {
    private let key: APIKey

    init() throws { key = try APIKey("a-key-of-some-length") }

    @Test(
        arguments: [
            (nil, nil, nil), (nil, "localhost", nil), (nil, "LOCALHOST:8080", nil),
            (nil, "127.0.0.1:8080", nil),
            (nil, "[::1]:8080", nil), (nil, "10.1.2.3", nil), (nil, "evil.example", "strange_host"),
            (nil, "127.0.0.1.evil.example", "strange_host"),
            (nil, "localhost.evil.example:80", "strange_host"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080", nil),
            ("http://127.0.0.1:9999", "127.0.0.1:8080", "strange_origin"),
            ("http://evil.example", "127.0.0.1:8080", "strange_origin"),
            ("null", "127.0.0.1:8080", "strange_origin"), ("http://evil.example", nil, "strange_origin"),
        ] as [(String?, String?, String?)]
    )
    func `without a key, web pages are kept out`(origin: String?, host: String?, code: String?) {
        let objection = AccessRule(key: nil).objection(
            to: AccessRule.Credentials(authorization: nil, origin: origin, host: host)
        )
        #expect(objection?.code == code)
    }

    @Test(
        arguments: [
            ("Bearer a-key-of-some-length", nil), ("bearer a-key-of-some-length", nil), (nil, "unauthorized"),
            ("", "unauthorized"), ("Bearer", "unauthorized"), ("Bearer ", "unauthorized"),
            ("Bearer a-key-of-some-lengtH", "unauthorized"), ("Bearer a-key-of-some-length-", "unauthorized"),
            ("Bearer a-key-of-some", "unauthorized"), ("a-key-of-some-length", "unauthorized"),
            ("Bearer  a-key-of-some-length", "unauthorized"),
        ] as [(String?, String?)]
    )
    func `with a key, only who shows it gets in`(authorization: String?, code: String?) {
        let objection = AccessRule(key: key).objection(
            to: AccessRule.Credentials(authorization: authorization, origin: "http://a", host: "b")
        )
        #expect(objection?.code == code)
    }
}

struct LogicConfigurationTests {
    @Test(arguments: [("localhost", true), ("127.0.0.1", true), ("127.9.9.9", true), ("::1", true)])
    func `loopback needs no key`(host: String, isLoopback: Bool) {
        #expect(LogicConfiguration.isLoopback(host) == isLoopback)
    }

    @Test(arguments: ["0.0.0.0", "::", "10.0.0.1", "127.0.0", "127.0.0.256", "127.0.0.1.evil.example", ""])
    func `any other address needs one`(host: String) {
        let fleet = Fleet()
        #expect(throws: LogicError.keyMissing(host: host)) {
            _ = try Logic(
                configuration: LogicConfiguration(host: host),
                routes: fleet.table,
                bus: fleet.bus,
                logger: .silent
            )
        }
    }

    @Test func `a key is never printed, and a weak one is refused`() throws {
        let key = try APIKey("0123456789abcdef")
        #expect(!"\(key)".contains("0123"))
        #expect(!String(reflecting: key).contains("0123"))
        for weak in [
            "", "short", "has a space in the middle", "0123456789abcdé!", String(repeating: "x", count: 257),
        ] {
            #expect(throws: LogicError.weakKey) { _ = try APIKey(weak) }
        }
    }

    @Test func `a port that is taken is an error that says so`() async throws {
        let fleet = Fleet()
        try await fleet.serving { port in
            let second = try Logic(
                configuration: LogicConfiguration(port: port),
                routes: fleet.table,
                bus: fleet.bus,
                logger: .silent
            )
            let error = await #expect(throws: LogicError.self) { try await second.run() }
            #expect(error?.description.hasPrefix("cannot listen on 127.0.0.1:\(port)") == true)
        }
    }
}

struct TableHealthTests {
    @Test func `a table is ready from its first answer on`() {
        var health = TableHealth()
        #expect(health.obstacles(at: .zero) == ["Redis has not answered yet"])
        let isNews = health.answered(at: .seconds(1))
        let isNewsAgain = health.answered(at: .seconds(2))
        #expect(isNews && !isNewsAgain)
        #expect(health.obstacles(at: .seconds(2)) == [])
    }

    @Test func `an error makes it unready at once, an answer ready again`() {
        var health = TableHealth()
        _ = health.answered(at: .zero)
        let isNews = health.failed()
        let isNewsAgain = health.failed()
        #expect(isNews && !isNewsAgain)
        #expect(health.obstacles(at: .zero) == ["Redis does not answer"])
        let isRecovery = health.answered(at: .seconds(1))
        #expect(isRecovery)
        #expect(health.obstacles(at: .seconds(1)) == [])
    }

    @Test func `silence makes it unready after two and a half intervals`() {
        var health = TableHealth()
        _ = health.answered(at: .seconds(10))
        #expect(health.obstacles(at: .milliseconds(12_500)) == [])
        #expect(health.obstacles(at: .milliseconds(12_501)) == ["Redis has not answered for 2501 ms"])
    }
}

struct DurationHistogramTests {
    @Test func `each duration falls into the first class that holds it`() {
        var histogram = DurationHistogram()
        for microseconds in [0, 500, 501, 3_000_000, 3_000_001] { histogram.add(.microseconds(microseconds)) }
        #expect(histogram.counts.first == 2)
        #expect(histogram.counts[1] == 1)
        #expect(histogram.counts.suffix(2) == [1, 1])
        #expect(histogram.count == 5)
        #expect(histogram.sumMicroseconds == 6_001_002)
    }
}
