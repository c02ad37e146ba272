import HeraldCore
import HeraldTesting
import HeraldWire
import Logging
import ServiceLifecycle

@testable import HeraldLogic

/// A table and a bus in memory, and nodes that listen and keep what they get.
struct Fleet: Sendable {
    let table = MemoryRouteTable()
    let bus = MemoryBus()
    let messages = MemoryInbox()
    private let inboxes = Mutexed<[NodeID: [Envelope]]>([:])

    /// Registers a node that does not listen.
    @discardableResult
    func register(_ name: String) async throws -> Lease {
        try await table.register(
            NodeProfile(id: NodeID(name), url: "ws://127.0.0.1/\(name)"),
            lease: .seconds(10)
        )
    }

    /// Binds a connection to a node, as a session of it would.
    @discardableResult
    func bind(_ name: String, on lease: Lease, counter: UInt64 = 1) async throws -> Route {
        let session = SessionID(node: lease.node, incarnation: lease.incarnation, counter: counter)
        let outcome = try await table.bind([Bind(name: UserKey(name), session: session)], for: .seconds(120))
        guard case .bound(let route, _, _) = outcome[0] else { throw Unbound() }
        return route
    }

    struct Unbound: Error {}

    /// What a node got, oldest first.
    func inbox(_ node: String) throws -> [Envelope] { inboxes.value[try NodeID(node)] ?? [] }

    /// The pushes a node got, by event, oldest first.
    func events(_ node: String) throws -> [String] {
        try inbox(node).flatMap(\.deliveries).map { $0.message.event ?? "" }
    }

    /// Listens for nodes while the body runs.
    func listening<Result: Sendable>(
        _ nodes: [String],
        _ body: @Sendable () async throws -> Result
    ) async throws -> Result {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for name in nodes {
                let node = try NodeID(name)
                let (subscribed, signal) = AsyncStream<Void>.makeStream()
                group.addTask { [bus, inboxes] in
                    try? await bus.listen(to: .node(node)) { event in
                        switch event {
                        case .subscribed: signal.finish()
                        case .lost, .gap: break
                        case .messages(let messages):
                            let envelopes = messages.compactMap { try? Envelope(wire: $0) }
                            inboxes.change { $0[node, default: []] += envelopes }
                        }
                    }
                }
                for await _ in subscribed {}
            }
            let result = try await body()
            group.cancelAll()
            return result
        }
    }

    /// Runs a pipeline on this fleet while the body runs.
    func pushing(
        bounds: PushQueue.Bounds = PushQueue.Bounds(waitingMax: 1000, deadline: .seconds(3)),
        following: PushFollow.Bounds = .once,
        clock: ManualClock = ManualClock(),
        direct: MemoryDirectBus? = nil,
        _ body: @Sendable (MemoryPipeline) async throws -> Void
    ) async throws {
        let pipeline = MemoryPipeline(
            table: table,
            bus: bus,
            inbox: messages,
            direct: direct,
            sender: "logic-test",
            bounds: bounds,
            following: following,
            clock: clock,
            logger: .silent
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await pipeline.run() }
            try await body(pipeline)
            group.cancelAll()
        }
    }
}

extension PushFollow.Bounds {
    /// A node that does not listen is asked once more at once: a clock that stands still comes no further.
    static var once: Self {
        var bounds = Self()
        bounds.search = .zero
        return bounds
    }
}

typealias MemoryPipeline = PushPipeline<MemoryRouteTable, MemoryBus, ManualClock>

extension PushPipeline {
    /// Sends a push that is named by its event, and tells the verdicts as text.
    func summary(_ event: String, to targets: Target...) async throws -> [String] {
        let push = Push(id: try PushID(event), targets: targets, message: Message(event: event))
        return try await self.push(push).summary
    }
}

extension Logger {
    static let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
}

/// A push named by its event.
func push(_ event: String, to targets: Target..., payload: [UInt8]? = nil) throws -> Push {
    Push(
        id: try PushID(event),
        targets: targets,
        message: Message(event: event, payload: payload.map(Payload.json))
    )
}

extension Target {
    static func user(_ text: String) throws -> Self { .user(try UserID(text)) }
    static func key(_ text: String) throws -> Self { .key(try UserKey(text)) }
    static func room(_ text: String) throws -> Self { .room(try RoomID(text)) }
}

extension PushAnswer {
    /// Verdicts as text: `routed cloud-1,cloud-2`, `unreachable cloud-1 not cloud-2`, `offline`.
    var summary: [String] {
        verdicts.map { verdict in
            var text = verdict.verdict.description
            if !verdict.nodes.isEmpty {
                text += " " + verdict.nodes.map(\.description).joined(separator: ",")
            }
            if !verdict.missed.isEmpty {
                text += " not " + verdict.missed.map(\.description).joined(separator: ",")
            }
            return text
        }
    }
}
