import Testing

@testable import HeraldClient

@Suite struct ServerAddressTests {
    @Test(arguments: [
        ("ws://127.0.0.1:9001/ws", "127.0.0.1", 9001, "/ws"), ("ws://host", "host", 80, "/"),
        ("ws://host/", "host", 80, "/"), ("ws://[::1]:9/a/b", "::1", 9, "/a/b"),
        ("ws://[::1]", "::1", 80, "/"),
    ])
    func `an address is read`(text: String, host: String, port: Int, path: String) throws {
        let address = try ServerAddress(text, scheme: .ws)
        #expect(address.host == host)
        #expect(address.port == port)
        #expect(address.path == path)
        #expect(try ServerAddress(address.description, scheme: .ws) == address)
    }

    @Test(arguments: [
        "", "ws://", "http://h", "wss://h", "ws://:1", "ws://h:", "ws://h:0", "ws://h:65536", "ws://h:x",
        "ws://h?a=b",
        "ws://u@h", "ws://h#f", "ws://[::1", "ws://[::1]x", "ws://a b",
    ])
    func `what is no address is refused`(text: String) {
        #expect {
            try ServerAddress(text, scheme: .ws)
        } throws: {
            ($0 as? ClientError)?.code == .badAddress
        }
    }

    @Test func `a query keeps every byte`() {
        #expect(
            Query.text([("user", "a b&c=d/é"), ("key", "p-1_.~")]) == "user=a%20b%26c%3Dd%2F%C3%A9&key=p-1_.~"
        )
    }

    @Test func `who connects stands in the address, or in the first frame`() throws {
        var configuration = try ConnectionConfiguration(
            url: "ws://h/ws",
            user: "alice",
            key: "phone",
            rooms: ["a", "b"]
        )
        #expect(configuration.requestTarget == "/ws?user=alice&key=phone&room=a&room=b")
        #expect(configuration.firstFrame == nil)
        configuration.introduction = .firstFrame
        #expect(configuration.requestTarget == "/ws")
        #expect(configuration.firstFrame != nil)
        // Nothing to say in the address: the node waits for the frame.
        let nobody = try ConnectionConfiguration(url: "ws://h/ws")
        #expect(nobody.requestTarget == "/ws")
        #expect(nobody.firstFrame != nil)
    }
}
