import HeraldRedis
import Testing

@Suite struct RedisAddressTests {
    @Test func `addresses are read`() throws {
        let plain = try RedisAddress("redis://localhost")
        #expect(plain == RedisAddress(place: .tcp(host: "localhost", port: 6379, tls: false)))
        let full = try RedisAddress("rediss://app:p%40ss%3A%2F@db.example:6380/3")
        #expect(full.place == .tcp(host: "db.example", port: 6380, tls: true))
        #expect(full.user == "app" && full.password == "p@ss:/" && full.database == 3)
        let old = try RedisAddress("redis://:secret@10.0.0.1:7000/")
        #expect(old.user == nil && old.password == "secret" && old.database == 0)
        let six = try RedisAddress("redis://[::1]:7000/1")
        #expect(six.place == .tcp(host: "::1", port: 7000, tls: false) && six.database == 1)
        #expect(try RedisAddress("redis://[::1]").place == .tcp(host: "::1", port: 6379, tls: false))
        let unix = try RedisAddress("unix:///run/redis.sock?db=2")
        #expect(unix.place == .unix(path: "/run/redis.sock") && unix.database == 2)
        #expect(try RedisAddress("redis://a:b@c@host").password == "b@c")
    }

    @Test(arguments: [
        ("localhost:6379", "begin with"),
        ("http://host", "scheme"),
        ("redis://", "host is empty"),
        ("redis://user:secret@", "host is empty"),
        ("redis://user@host", "no password"),
        ("redis://host:", "port"),
        ("redis://host:0", "port"),
        ("redis://host:65536", "port"),
        ("redis://host:+80", "port"),
        ("redis://host/x", "database"),
        ("redis://host/-1", "database"),
        ("redis://host/1/2", "database"),
        ("redis://host?db=1", "query"),
        ("redis://::1:6379", "[ ]"),
        ("redis://[::1", "]"),
        ("redis://[::1]6379", "colon"),
        ("redis://ho st", "space"),
        ("redis://:secret%zz@host", "percent"),
        ("redis://:secret%ff@host", "UTF-8"),
        ("unix://relative", "absolute"),
        ("unix:///", "absolute"),
        ("unix:///a?x=1", "db=n"),
        ("unix:///a?db=secret", "database"),
        ("unix:///" + String(repeating: "x", count: 120), "107"),
    ])
    func `bad addresses are refused by the part that is wrong`(_ text: String, _ words: String) {
        let error = #expect(throws: RedisError.self) { try RedisAddress(text) }
        #expect(error?.code == .badAddress)
        #expect(error?.mayRetry == false)
        #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
        #expect(error?.description.contains("secret") == false)
    }

    @Test func `a password is never printed`() throws {
        let address = try RedisAddress("redis://admin:hunter2@[::1]:1/4")
        var dumped = ""
        dump(address, to: &dumped)
        for text in ["\(address)", String(reflecting: address), dumped, "\([address])"] {
            #expect(!text.contains("hunter2") && !text.contains("admin"), "\(text)")
            #expect(text.contains("redis://[::1]:1/4"))
        }
    }
}
