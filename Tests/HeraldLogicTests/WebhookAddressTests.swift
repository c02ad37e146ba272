import Testing

@testable import HeraldLogic

struct WebhookAddressTests {
    @Test(
        arguments: [
            ([8, 8, 8, 8], nil), ([0, 0, 0, 0], "unspecified"), ([10, 255, 0, 1], "private"),
            ([11, 0, 0, 1], nil), ([100, 63, 255, 255], nil), ([100, 64, 0, 0], "private"),
            ([100, 127, 255, 255], "private"), ([100, 128, 0, 0], nil), ([127, 9, 9, 9], "loopback"),
            ([169, 254, 169, 254], "link-local"), ([169, 253, 0, 1], nil), ([172, 15, 255, 255], nil),
            ([172, 16, 0, 0], "private"), ([172, 31, 255, 255], "private"), ([172, 32, 0, 0], nil),
            ([192, 168, 1, 1], "private"), ([192, 169, 0, 1], nil), ([198, 19, 255, 255], "private"),
            ([198, 20, 0, 0], nil), ([224, 0, 0, 1], "multicast"), ([239, 255, 255, 255], "multicast"),
            ([240, 0, 0, 1], "reserved"), ([255, 255, 255, 255], "broadcast"), ([223, 255, 255, 255], nil),
        ] as [([UInt8], String?)]
    )
    func `IPv4 addresses that are not of the internet have a name`(bytes: [UInt8], name: String?) throws {
        let address = try #require(IPAddress(bytes))
        #expect(address.reservation == name)
        // The forms of IPv6 that carry it are judged alike.
        let mapped = [UInt8](repeating: 0, count: 10) + [0xFF, 0xFF] + bytes
        let translated = [0, 0x64, 0xFF, 0x9B] + [UInt8](repeating: 0, count: 8) + bytes
        let tunnelled = [0x20, 0x02] + bytes + [UInt8](repeating: 0, count: 10)
        for form in [mapped, translated, tunnelled] {
            #expect(try #require(IPAddress(form)).reservation == name, "\(form)")
        }
    }

    @Test(arguments: [
        ("2001:4860:4860:0:0:0:0:8888", nil), ("2a00:1450:0:0:0:0:0:1", nil),
        ("0:0:0:0:0:0:0:0", "unspecified"), ("0:0:0:0:0:0:0:1", "loopback"),
        ("0:0:0:0:0:0:7f00:1", "reserved"), ("fe80:0:0:0:0:0:0:1", "link-local"),
        ("febf:ffff:0:0:0:0:0:1", "link-local"), ("fc00:0:0:0:0:0:0:1", "unique-local"),
        ("fdff:1:0:0:0:0:0:1", "unique-local"), ("fec0:0:0:0:0:0:0:1", "reserved"),
        ("ff02:0:0:0:0:0:0:1", "multicast"), ("64:ff9b:1:0:0:0:a00:1", "reserved"),
        ("2001:0:0:0:0:0:0:1", "reserved"), ("2001:db8:0:0:0:0:0:1", "reserved"),
        ("100:0:0:0:0:0:0:1", "reserved"), ("4000:0:0:0:0:0:0:1", "reserved"),
    ])
    func `IPv6 addresses that are not of the internet have a name`(text: String, name: String?) throws {
        let words = text.split(separator: ":").map { UInt16($0, radix: 16) ?? 0 }
        let address = try #require(IPAddress(words.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }))
        #expect(address.description == text)
        #expect(address.reservation == name)
    }

    @Test func `other lengths are no addresses`() {
        for count in [0, 3, 5, 15, 17] { #expect(IPAddress([UInt8](repeating: 1, count: count)) == nil) }
    }

    @Test(arguments: [
        ("http://example.org", "example.org", 80, "/", "example.org"),
        ("https://example.org/a/b?c=d", "example.org", 443, "/a/b?c=d", "example.org"),
        ("HTTPS://example.org:8443?x", "example.org", 8443, "/?x", "example.org:8443"),
        ("http://[2001:db8::1]:81/", "2001:db8::1", 81, "/", "[2001:db8::1]:81"),
    ])
    func `an address is read`(text: String, host: String, port: Int, target: String, authority: String) throws
    {
        let url = try WebhookURL(text)
        #expect(url.host == host && url.port == port && url.target == target && url.authority == authority)
        #expect(url.isSecure == text.lowercased().hasPrefix("https"))
    }

    @Test(arguments: [
        "", "example.org", "ftp://example.org/", "http://", "http:///path", "http://user@example.org/",
        "http://user:password@example.org/", "http://example.org:0/", "http://example.org:65536/",
        "http://example.org:/", "http://example.org:8o/", "http://exa mple.org/", "http://example.org/a b",
        "http://example.org/#top", "http://[::1", "http://[1.2.3.4]/", "http://[fe80::1%25eth0]/",
        "http://a:b:c/", "http://example.org/é", "http://example.org\r\nX: y/",
    ])
    func `what cannot be an address is refused`(text: String) {
        #expect(throws: WebhookError.self) { try WebhookURL(text) }
    }

    @Test func `an address does not show its query`() throws {
        #expect(try WebhookURL("http://a.example/x?token=1").description == "http://a.example/x")
    }
}
