import HeraldCore
import HeraldLogic
import HeraldTesting
import HeraldWire
import Logging

/// A push through logic's pipeline: queued, looked up, written as an envelope, published, answered; alone in one step,
/// with others grouped by node.
///
/// Routes are in memory, time stands still, and all tasks run on one thread.
enum RoutePush {
    /// One after the other, each in a turn of its own.
    static func alone(_ count: Int) throws {
        try withPipeline { pipeline in
            for number in 0..<count { try await send(number % users, pipeline) }
        }
    }

    /// 64 at once, to as many users, which share a turn; that is one operation.
    static func together(_ count: Int) throws {
        try withPipeline { pipeline in
            for number in 0..<count {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for member in 0..<64 {
                        group.addTask { try await send((number * 64 + member) % users, pipeline) }
                    }
                    try await group.waitForAll()
                }
            }
        }
    }

    private typealias Pipeline = PushPipeline<MemoryRouteTable, LocalBus, ManualClock>

    private static let users = 256

    private static func send(_ user: Int, _ pipeline: Pipeline) async throws {
        let push = Push(
            id: try PushID("4h1k9q2v00000123"),
            targets: [.user(try UserID("user-\(user)"))],
            message: Sample.message()
        )
        let answer = try await pipeline.push(push)
        guard answer.verdicts.first?.verdict == .routed else {
            throw CostsError("a push to user-\(user) was told \(answer.verdicts)")
        }
    }

    private static func withPipeline(_ work: @escaping @Sendable (Pipeline) async throws -> Void) throws {
        let thread = OneThread()
        // The process ends with the measurement, and this with it.
        Task(executorPreference: thread) {
            do {
                try await prepared(thread, work)
                thread.finish(.success(()))
            } catch {
                thread.finish(.failure(error))
            }
        }
        try thread.serve()
    }

    private static func prepared(
        _ thread: OneThread,
        _ work: @escaping @Sendable (Pipeline) async throws -> Void
    ) async throws {
        let (table, bus) = (MemoryRouteTable(), LocalBus())
        let lease = try await table.register(
            NodeProfile(id: try NodeID("cloud-1"), url: "ws://127.0.0.1:9001/ws"),
            lease: .seconds(3600)
        )
        for number in 0..<users {
            let name = try UserKey("user-\(number)/phone")
            let session = SessionID(
                node: lease.node,
                incarnation: lease.incarnation,
                counter: UInt64(number + 1)
            )
            _ = try await table.bind([Bind(name: name, session: session)], for: .seconds(3600))
        }
        let pipeline = Pipeline(
            table: table,
            bus: bus,
            direct: LocalDirectBus(table: table, bus: bus),
            sender: "logic-1",
            clock: ManualClock(),
            executor: thread,
            logger: Logger(label: "costs") { _ in SwiftLogNoOpLogHandler() }
        )
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try? await bus.listen(to: .node(lease.node)) { _ in } }
            group.addTask { await pipeline.run() }
            // The bus and the pipeline's own ear.
            while bus.listenerCount < 2 { await Task.yield() }
            try await work(pipeline)
            group.cancelAll()
        }
    }
}
