import HeraldCore
import HeraldTesting
import Logging
import ServiceLifecycle

@testable import HeraldLogic

extension Fleet {
    /// Runs a whole logic process on this fleet and a free port while the body runs, and stops it gracefully.
    func serving(
        apiKey: APIKey? = nil,
        limits: Limits = .standard,
        http: HTTPLimits = HTTPLimits(),
        clock: ManualClock = ManualClock(),
        once: (any OnceTable)? = nil,
        isLean: Bool = true,
        _ body: @Sendable (_ port: Int) async throws -> Void
    ) async throws {
        let (ports, signal) = AsyncStream<Int>.makeStream()
        var configuration = LogicConfiguration(port: 0, limits: limits, http: http, apiKey: apiKey)
        configuration.isLean = isLean
        let logic = try Logic(
            configuration: configuration,
            routes: table,
            bus: bus,
            inbox: messages,
            clock: clock,
            once: once,
            logger: .silent
        ) { port in signal.yield(port) }
        let group = ServiceGroup(services: [logic], logger: .silent)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { signal.finish() }
                try await group.run()
            }
            for await port in ports {
                do {
                    // The first probe of the table is over once the watch sleeps, and so does the pipeline.
                    await clock.waitUntilSleeping(2)
                    try await body(port)
                } catch {
                    await group.triggerGracefulShutdown()
                    throw error
                }
                await group.triggerGracefulShutdown()
            }
            try await tasks.waitForAll()
        }
    }
}
