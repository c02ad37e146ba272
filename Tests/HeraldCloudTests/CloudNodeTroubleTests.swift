import HeraldCore
import HeraldTesting
import HeraldWire
import Logging
import ServiceLifecycle
import Testing

@testable import HeraldCloud

/// Redis away, data lost, the node stopped.
@Suite(.timeLimit(.minutes(3)))
struct CloudNodeTroubleTests {
    @Test func `while Redis is away sockets stay and new clients are told to come back`() async throws {
        try await withNodes(configure: { $0.bindPatience = .milliseconds(300) }) { nodes in
            let node = nodes[0]
            let client = try await RawClient.connected(port: node.port, "/ws?user=alice&key=phone")
            node.routes.isUnavailable = true
            let early = try await RawClient.open(port: node.port, "/ws?user=bob&key=phone")
            #expect(try await early.closeCode() == CloseCode.routeUnavailable.number)
            #expect(try await node.ready().contains("route table unavailable"))
            #expect(try await client.isQuiet())
            try await node.push("p", to: [.user(UserID(fixed: "alice"))])
            #expect(try await client.push() == "p")
            node.routes.isUnavailable = false
            try await eventually("it is ready again") { try await node.ready() == "ready\n" }
            let late = try await RawClient.connected(port: node.port, "/ws?user=bob&key=phone")
            #expect(try await late.isQuiet())
        }
    }

    @Test func `a client that came while Redis was away for a moment is connected after it`() async throws {
        try await withNodes { nodes in
            nodes[0].routes.isUnavailable = true
            let client = try await RawClient.open(port: nodes[0].port, "/ws?user=bob&key=phone&room=news")
            try await eventually("it was tried") { nodes[0].node.keeperCounts.callsFailed > 0 }
            nodes[0].routes.isUnavailable = false
            guard case .connected = try await client.frame() else { throw RawClient.Unexpected(event: .end) }
        }
    }

    @Test func `when Redis has lost everything all is written again and nobody is disconnected`() async throws
    {
        try await withNodes(configure: { $0.limits.leaseRenewal = .milliseconds(50) }) { nodes in
            let node = nodes[0]
            var clients: [RawClient] = []
            for number in 0..<50 {
                let target = "/ws?user=u\(number)&key=k&room=r\(number % 3)"
                clients.append(try await RawClient.connected(port: node.port, target))
            }
            let before = try #require(try await node.route("u7/k"))
            node.routes.forget()
            let keys = (0..<50).map { UserKey(fixed: "u\($0)/k") }
            let rooms = (0..<3).map { RoomID(fixed: "r\($0)") }
            try await eventually("every route and share is back") {
                let found = try await node.routes.look(up: Lookup(keys: keys, rooms: rooms))
                return found.keys.allSatisfy { $0 != nil } && found.rooms.allSatisfy { $0.count == 1 }
            }
            let after = try #require(try await node.route("u7/k"))
            #expect(after.session.counter == before.session.counter)
            #expect(after.session.incarnation > before.session.incarnation)
            #expect(after.epoch == before.epoch)
            for client in clients { #expect(try await client.isQuiet()) }
            try await eventually("it is ready again") { try await node.ready() == "ready\n" }
        }
    }

    @Test func `a session whose user came back elsewhere is closed when the node comes to itself`()
        async throws
    {
        try await withNodes(
            ["cloud-1", "cloud-2"],
            configure: { $0.limits.leaseRenewal = .milliseconds(50) }
        ) { nodes in
            let ghost = try await RawClient.connected(port: nodes[0].port, "/ws?user=alice&key=phone")
            let other = try await RawClient.connected(port: nodes[0].port, "/ws?user=bob&key=phone")
            // The other node cannot tell this one, as if it were frozen.
            nodes[0].bus.isUnavailable = true
            let real = try await RawClient.connected(port: nodes[1].port, "/ws?user=alice&key=phone")
            nodes[0].bus.isUnavailable = false
            let lease = try #require(nodes[0].node.currentLease)
            try await nodes[0].routes.leave(lease)
            #expect(try await ghost.closeCode() == CloseCode.replaced.number)
            #expect(try await real.isQuiet())
            #expect(try await other.isQuiet())
            #expect(try await nodes[0].route("alice/phone")?.session.node == nodes[1].id)
        }
    }

    @Test func `a lost subscription makes the node unready until it is back`() async throws {
        try await withNodes { nodes in
            nodes[0].bus.cut(nodes[0].id)
            let cut = try await nodes[0].ready()
            #expect(cut.contains("not subscribed"))
            nodes[0].bus.restore(nodes[0].id)
            let restored = try await nodes[0].ready()
            #expect(restored == "ready\n")
        }
    }

    @Test func `a stopping node says come back, and leaves nothing in Redis`() async throws {
        let routes = MemoryRouteTable()
        try await withNodes(routes: routes, configure: { $0.loops = 2 }) { nodes in
            var clients: [RawClient] = []
            for number in 0..<30 {
                let target = "/ws?user=u\(number)&key=k&room=news"
                clients.append(try await RawClient.connected(port: nodes[0].port, target))
            }
            await nodes[0].stop()
            for client in clients {
                let code = try await client.closeCode()
                #expect(CloseCode(number: code) == .goingAway)
                #expect(CloseCode(number: code).invitesBack)
            }
        }
        let left = try await routes.look(
            up: Lookup(keys: (0..<30).map { UserKey(fixed: "u\($0)/k") }, rooms: [RoomID(fixed: "news")])
        )
        #expect(left.keys.allSatisfy { $0 == nil })
        #expect(left.rooms == [[]])
        #expect(try await routes.nodes().isEmpty)
    }

    @Test func `a node id in use is refused by its holder's name`() async throws {
        let routes = MemoryRouteTable()
        try await withNodes(
            routes: routes,
            configure: { configuration in
                configuration.publicURL = "ws://first"
                configuration.limits.leaseRenewal = .milliseconds(200)
            }
        ) { nodes in
            var configuration = CloudConfiguration(node: nodes[0].id)
            configuration.port = 0
            configuration.limits.leaseTTL = .seconds(10)
            let second = CloudNode(
                configuration: configuration,
                routes: routes,
                leaseRoutes: routes,
                bus: MemoryBus(),
                messages: MemoryInbox(),
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
            )
            let ended = Counter()
            let error = try await withThrowingTaskGroup(of: CloudNodeError?.self) { group in
                group.addTask {
                    defer { ended.add() }
                    do { try await second.run() } catch let error as CloudNodeError { return error }
                    return nil
                }
                try await eventually("the holder's renewal is seen", every: .milliseconds(50)) {
                    routes.advance(by: .milliseconds(50))
                    return ended.value > 0
                }
                return try await group.next() ?? nil
            }
            #expect(error?.isNodeHeld == true)
            #expect(error?.description.contains("ws://first") == true)
        }
    }

    @Test func `a node asked to stop before Redis ever answered stops`() async throws {
        let routes = MemoryRouteTable()
        routes.isUnavailable = true
        let node = CloudNode(
            configuration: CloudConfiguration(node: NodeID(fixed: "cloud-1")),
            routes: routes,
            leaseRoutes: routes,
            bus: MemoryBus(),
            messages: MemoryInbox(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        )
        let group = ServiceGroup(services: [node], logger: Logger(label: "test"))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}
