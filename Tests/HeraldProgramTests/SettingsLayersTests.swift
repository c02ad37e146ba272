import HeraldCore
import Testing

@testable import herald

@Suite struct SettingsLayersTests {
    struct NoFile: Error {}

    private func settings(
        file: String = "",
        environment: [String: String] = [:],
        set: [String] = [],
        flags: [SettingsLayers.Entry] = []
    ) throws -> HeraldSettings {
        var layers = SettingsLayers { path in
            guard path == "/run/secret" else { throw NoFile() }
            return "hunter2\n"
        }
        try layers.apply(SettingsFile.entries(in: file, path: "h.yaml"))
        try layers.apply(environment: environment, others: ["HERALD_CONFIG"])
        try layers.apply(set: set)
        try layers.apply(flags)
        return layers.settings
    }

    @Test func `the later layer wins`() throws {
        let file = "logic:\n  port: 1\ncloud:\n  port: 1\nlimits:\n  route_ttl: 10s\n  targets_max: 5\n"
        let settings = try settings(
            file: file,
            environment: [
                "HERALD_LOGIC_PORT": "2", "HERALD_CLOUD_PORT": "2", "HERALD_LIMITS_ROUTE_TTL": "20s",
                "HERALD_TEST_X": "1",
                "PATH": "x",
            ],
            set: ["logic.port=3", "cloud.port=3"],
            flags: [.init(name: "logic.port", value: "4", place: "--port")]
        )
        #expect(settings.logic.port == 4)
        #expect(settings.cloud.port == 3)
        #expect(settings.limits.routeTTL == .seconds(20))
        #expect(settings.limits.targetsMax == 5)
        #expect(settings.limits.leaseTTL == HeraldSettings().limits.leaseTTL)
    }

    @Test(arguments: ["", "# nothing\n", "---\n", "null\n", "~\n"])
    func `a file that says nothing is fine`(file: String) throws {
        #expect(try settings(file: file).logic.port == 8080)
    }

    @Test func `a secret comes from the first line of a file, named in any layer`() throws {
        #expect(try settings(file: "redis:\n  password_file: /run/secret\n").redis.password == "hunter2")
        #expect(
            try settings(environment: ["HERALD_REDIS_PASSWORD_FILE": "/run/secret"]).redis.password
                == "hunter2"
        )
        #expect(try settings(set: ["logic.api_key_file=/run/secret"]).logic.apiKey == "hunter2")
    }

    @Test func `a list is a sequence in the file and parted by commas elsewhere`() throws {
        let wanted = ["https://a.example", "https://b.example"]
        let file = "cloud:\n  allowed_origins: [https://a.example, https://b.example]\n"
        #expect(try settings(file: file).cloud.allowedOrigins == wanted)
        let variable = ["HERALD_CLOUD_ALLOWED_ORIGINS": "https://a.example, https://b.example"]
        #expect(try settings(environment: variable).cloud.allowedOrigins == wanted)
    }

    struct Wrong: Sendable, CustomTestStringConvertible {
        var file = ""
        var environment: [String: String] = [:]
        var set: [String] = []
        var error: String

        var testDescription: String { error }
    }

    static let wrong: [Wrong] = [
        Wrong(
            file: "logic:\n  prot: 1\n",
            error: "h.yaml:2: 'logic.prot' is not a setting; did you mean logic.port?"
        ),
        Wrong(file: "lgoic:\n  port: 1\n", error: "h.yaml:1: 'lgoic' is not a section; did you mean logic?"),
        Wrong(
            file: "\n\nlogic:\n  port: many\n",
            error: "h.yaml:4: logic.port must be a whole number, and is 'many'"
        ),
        Wrong(
            file: "logic:\n  port: 70000\n",
            error: "h.yaml:2: logic.port must be from 0 to 65535, and is 70000"
        ),
        Wrong(file: "logic:\n  port: [1]\n", error: "h.yaml:2: logic.port must be one value and is a list"),
        Wrong(file: "- 1\n", error: "h.yaml: must hold sections such as 'redis:' with settings in them"),
        Wrong(
            file: "limits:\n  route_ttl: 90\n",
            error: "h.yaml:2: limits.route_ttl must be a time such as 500ms, 3s, 2m or 1h, and is '90'"
        ),
        Wrong(
            file: "limits:\n  route_ttl: 900h\n",
            error: "h.yaml:2: limits.route_ttl must be from 1s to 24h, and is 900h"
        ),
        Wrong(
            file: "limits:\n  push_bytes_max: 1KB\n",
            error: "h.yaml:2: limits.push_bytes_max must be bytes such as 65536, 64KiB or 1MiB, and is '1KB'"
        ),
        Wrong(
            file: "redis:\n  url: http://x\n",
            error:
                "h.yaml:2: redis.url is wrong: the address of Redis cannot be read: its scheme is none of redis, rediss and unix"
        ),
        Wrong(
            file: "redis:\n  tls_verifies: maybe\n",
            error: "h.yaml:2: redis.tls_verifies must be true or false, and is 'maybe'"
        ),
        Wrong(file: "redis:\n  password_file: /no\n", error: "h.yaml:2: /no cannot be read: NoFile()"),
        Wrong(
            file: "cloud:\n  auth: magic\n",
            error: "h.yaml:2: cloud.auth must be one of none, and is 'magic'"
        ),
        Wrong(file: "cloud:\n  id: Cloud\n", error: "h.yaml:2: cloud.id may only have a to z, 0 to 9 and -"),
        Wrong(
            environment: ["HERALD_LOGIC_PROT": "1"],
            error: "HERALD_LOGIC_PROT: is not a setting; did you mean HERALD_LOGIC_PORT?"
        ),
        Wrong(environment: ["HERALD_XYZZY": "1"], error: "HERALD_XYZZY: is not a setting"),
        Wrong(
            environment: ["HERALD_LOGIC_PORT": ""],
            error: "HERALD_LOGIC_PORT: logic.port must be a whole number, and is ''"
        ),
        Wrong(
            environment: ["HERALD_LOGIC_NAME_FILE": "/run/secret"],
            error: "HERALD_LOGIC_NAME_FILE: is not a setting"
        ),
        Wrong(set: ["logic.port"], error: "--set logic.port: must be written NAME=VALUE"),
        Wrong(set: ["logic.port=x"], error: "--set: logic.port must be a whole number, and is 'x'"),
    ]

    @Test(arguments: wrong) func `what is wrong is named, with its place`(wrong: Wrong) {
        #expect {
            _ = try settings(file: wrong.file, environment: wrong.environment, set: wrong.set)
        } throws: { error in
            let description = "\(error)"
            let hint = "; did you mean "
            // A hint that the case does not spell out may be there or not.
            return description == wrong.error
                || !wrong.error.contains(hint) && description.hasPrefix(wrong.error + hint)
        }
    }

    @Test(arguments: ["logic:\n\tport: 1\n", "logic: {port: 1", "logic:\n  port: 1\n  port: 2\n"])
    func `what is not YAML is refused with the file's name`(file: String) {
        #expect { _ = try settings(file: file) } throws: { "\($0)".hasPrefix("h.yaml") }
    }

    @Test func `a name is close when few letters differ`() {
        #expect(Nearest.distance("kitten", "sitting") == 3)
        #expect(Nearest.distance("", "abc") == 3)
        #expect(Nearest.distance("same", "same") == 0)
        #expect(Nearest.name(to: "prot", among: ["port", "host"]) == "port")
        #expect(Nearest.name(to: "entirely", among: ["port", "host"]) == nil)
    }

    @Test(arguments: [
        ("0s", Duration.zero), ("1ms", .milliseconds(1)), ("1500ms", .milliseconds(1500)),
        ("3s", .seconds(3)),
        ("120s", .seconds(120)), ("10m", .seconds(600)), ("24h", .seconds(86_400)),
    ])
    func `times are written as they are read`(text: String, value: Duration) throws {
        #expect(try SettingValue.duration(text, in: .zero ... .seconds(1_000_000)) == value)
        #expect(SettingValue.duration(value) == text)
    }

    @Test(arguments: [("0", 0), ("1000", 1000), ("1KiB", 1024), ("3MiB", 3 << 20), ("2GiB", 2 << 30)])
    func `bytes are written as they are read`(text: String, value: Int) throws {
        #expect(try SettingValue.bytes(text, in: 0...Int.max) == value)
        #expect(SettingValue.bytes(value) == text)
    }

    @Test(arguments: ["", "-1", "1.5MiB", "KiB", "-3KiB", "9999999999999GiB", "1 MiB"])
    func `what is no number of bytes is refused`(text: String) {
        #expect(throws: BadValue.self) { try SettingValue.bytes(text, in: 0...Int.max) }
    }

    @Test(arguments: ["", "s", "-1s", "1.5s", "1 s", "1d", "99999999999h"])
    func `what is no time is refused`(text: String) {
        #expect(throws: BadValue.self) { try SettingValue.duration(text, in: .zero ... .seconds(1_000_000)) }
    }
}
