import HeraldCore
import HeraldTesting
import HeraldWire
import Logging
import Testing

@testable import HeraldCloud

/// What a node refuses, and with which words.
@Suite(.timeLimit(.minutes(3)))
struct CloudNodeRefusalTests {
    @Test(arguments: [
        ("/ws?user=a%20b", "user id contains a space"), ("/ws?user=alice&key=a/b", "key id contains a slash"),
        ("/ws?user=alice&room=%7B", "room id contains a brace"), ("/ws?user=", "user id is empty"),
        ("/ws?user=alice&colour=red", "unknown parameter \"colour\""), ("/ws?key=phone", "user is missing"),
        ("/ws?user=alice&user=bob", "user is given twice"), ("/ws?user=%zz", "not well encoded"),
    ])
    func `a bad query is answered before the upgrade`(target: String, words: String) async throws {
        try await withNodes { nodes in
            let client = try RawClient(port: nodes[0].port, target: target)
            guard case .answer(let status, let body) = try await client.next() else {
                throw RawClient.Unexpected(event: .end)
            }
            #expect(status == 400)
            #expect(body.contains(words))
        }
    }

    @Test(arguments: [
        ("https://evil.example", 403), ("null", 403), ("http://localhost.evil.example", 403),
        ("http://127.0.0.1.evil.example", 403), ("http://localhost:3000", 101), ("http://127.0.0.1", 101),
        ("https://app.example", 101), ("http://localhost:", 403), ("http://localhost:80@evil", 403),
    ])
    func `pages of other origins may not connect`(origin: String, status: Int) async throws {
        try await withNodes(configure: { $0.allowedOrigins = ["https://app.example"] }) { nodes in
            let client = try RawClient(
                port: nodes[0].port,
                target: "/ws?user=alice",
                headers: ["Origin: \(origin)"]
            )
            guard case .answer(let answered, _) = try await client.next() else {
                throw RawClient.Unexpected(event: .end)
            }
            #expect(answered == status)
        }
    }

    @Test(arguments: [("/ws", 426), ("/", 404), ("/ws/", 404), ("/healthz", 200), ("/readyz", 200)])
    func `plain requests get plain answers`(path: String, status: Int) async throws {
        try await withNodes { nodes in
            let client = try RawClient(port: nodes[0].port, target: path, isUpgrade: false)
            guard case .answer(let answered, _) = try await client.next() else {
                throw RawClient.Unexpected(event: .end)
            }
            #expect(answered == status)
        }
    }

    @Test func `bad frames are answered, and end only their own connection`() async throws {
        try await withNodes { nodes in
            let good = try await RawClient.connected(port: nodes[0].port, "/ws?user=bob&key=phone")
            let bad = try await RawClient.connected(port: nodes[0].port, "/ws?user=alice&key=phone")
            bad.send(text: Array("{\"id\":1,\"join\":{\"room\":\"a b\"}}".utf8))
            guard case .error(_, "bad_id", _) = try await bad.frame() else {
                throw RawClient.Unexpected(event: .end)
            }
            bad.send(text: Array("{\"id\":1,".utf8))
            guard case .error(_, "bad_json", _) = try await bad.frame() else {
                throw RawClient.Unexpected(event: .end)
            }
            #expect(try await bad.closeCode() == CloseCode.badFrame.number)
            #expect(try await good.isQuiet())
        }
    }

    @Test func `who does not connect in time is closed`() async throws {
        try await withNodes(configure: { $0.limits.connectDeadline = .milliseconds(50) }) { nodes in
            let client = try await RawClient.open(port: nodes[0].port, "/ws")
            #expect(try await client.closeCode() == CloseCode.connectTimeout.number)
        }
    }

    @Test func `auth none is refused on an address that others reach`() async throws {
        for host in ["0.0.0.0", "192.0.2.1", "::", "127.0.0.1.example"] {
            var configuration = CloudConfiguration(node: NodeID(fixed: "cloud-1"))
            configuration.host = host
            let table = MemoryRouteTable()
            let node = CloudNode(
                configuration: configuration,
                routes: table,
                leaseRoutes: table,
                bus: MemoryBus(),
                messages: MemoryInbox(),
                logger: Logger(label: "test")
            )
            let error = await #expect(throws: CloudNodeError.self) { try await node.run() }
            #expect(error?.isConfiguration == true)
            #expect(error?.description.contains("auth none") == true)
        }
    }

    @Test func `envelopes that cannot be read are skipped and counted`() async throws {
        try await withNodes { nodes in
            let client = try await RawClient.connected(port: nodes[0].port, "/ws?user=alice&key=phone")
            _ = try await nodes[0].bus.publish([BusMessage(node: nodes[0].id, bytes: [1, 2, 3, 255])])
            try await nodes[0].push("p", to: [.user(UserID(fixed: "alice"))])
            #expect(try await client.push() == "p")
            #expect(nodes[0].node.inboxCounts.bad == 1)
            let page = try RawClient(port: nodes[0].port, target: "/metrics", isUpgrade: false)
            guard case .answer(200, let body) = try await page.next() else {
                throw RawClient.Unexpected(event: .end)
            }
            for line in [
                "herald_inbox_bad_envelopes_total 1", "herald_sessions_live 1", "herald_routes_binds_total 1",
                "herald_lease_held 1", "herald_hub_frames_total 1", "herald_bus_subscribed 1",
            ] {
                #expect(body.contains(line + "\n"))
            }
        }
    }
}
