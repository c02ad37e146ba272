import HeraldCore
import HeraldTesting
import HeraldWire
import Logging
import ServiceLifecycle
import Synchronization
import Testing

@testable import HeraldCloud

/// A cloud node that runs for the length of a test, on memory parts that the test may share between nodes.
struct RunningNode: Sendable {
    let id: NodeID
    let node: CloudNode<MemoryRouteTable, MemoryRouteTable, MemoryBus>
    let routes: MemoryRouteTable
    let bus: MemoryBus
    let inbox: MemoryInbox
    let group: ServiceGroup

    var port: Int { node.port }

    /// Pushes as logic would: the same for all nodes that hold a target.
    ///
    /// - Returns: the push's id.
    @discardableResult
    func push(_ id: String, to targets: [Target], exclude: [UserKey] = []) async throws -> PushID {
        let id = try PushID(id)
        let message = Message(event: "test", payload: .json(Array("{\"n\":1}".utf8)))
        let delivery = Delivery(push: id, message: message, targets: targets, exclude: exclude)
        try await publish(Envelope(sender: "logic-1", deliveries: [delivery]))
        return id
    }

    func publish(_ envelope: Envelope) async throws {
        _ = try await bus.publish([BusMessage(node: id, bytes: envelope.encoded())])
    }

    /// What `/readyz` says.
    func ready() async throws -> String {
        let client = try RawClient(port: port, target: "/readyz", isUpgrade: false)
        guard case .answer(_, let body) = try await client.next() else {
            throw RawClient.Unexpected(event: .end)
        }
        return body
    }

    func route(_ name: String) async throws -> Route? {
        try await routes.look(up: Lookup(keys: [UserKey(name)])).keys[0]
    }

    func stop() async { await group.triggerGracefulShutdown() }
}

/// Runs nodes over one table and one bus, and stops them when the test's body is done.
func withNodes(
    _ names: [String] = ["cloud-1"],
    routes: MemoryRouteTable = MemoryRouteTable(),
    bus: MemoryBus = MemoryBus(),
    inbox: MemoryInbox = MemoryInbox(),
    configure: (inout CloudConfiguration) -> Void = { _ in },
    _ body: @escaping @Sendable ([RunningNode]) async throws -> Void
) async throws {
    var nodes: [RunningNode] = []
    for name in names {
        var configuration = CloudConfiguration(node: try NodeID(name))
        configuration.port = 0
        configure(&configuration)
        var logger = Logger(label: "test")
        logger.logLevel = .error
        let node = CloudNode(
            configuration: configuration,
            routes: routes,
            leaseRoutes: routes,
            bus: bus,
            messages: inbox,
            logger: logger
        )
        let group = ServiceGroup(services: [node], logger: logger)
        nodes.append(
            RunningNode(
                id: configuration.node,
                node: node,
                routes: routes,
                bus: bus,
                inbox: inbox,
                group: group
            )
        )
    }
    let running = nodes
    try await withThrowingTaskGroup(of: Void.self) { group in
        for node in running { group.addTask { try await node.group.run() } }
        try await eventually("the nodes listen", within: .seconds(60)) { running.allSatisfy { $0.port != 0 } }
        do {
            try await body(running)
        } catch {
            group.cancelAll()
            throw error
        }
        for node in running { await node.stop() }
        try await group.waitForAll()
    }
}

/// Counts across tasks.
final class Counter: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }
    func add() { count.withLock { $0 += 1 } }
}
