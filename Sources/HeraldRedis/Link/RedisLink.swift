// A link for commands: one connection that many tasks share.
//
// A caller packs its commands on its own thread, puts the batch into the link's outbox and waits on one
// continuation, however many commands the batch has. The first batch of a turn wakes the link's event loop; the
// loop takes everything that is in the outbox by then and writes it in one piece. So the cost of a wake-up and
// of a `write` is shared by all who ask at the same time, and the more there is to do the cheaper each command
// becomes.
//
// Considered and left: an actor on the event loop (valkey-swift's shape), which costs one hop a call where the
// outbox costs one a turn; a connection pool, which Redis, being one thread itself, does not reward, and which
// loses the order of commands.

public import NIOCore
public import ServiceLifecycle
import Synchronization

/// One pipelined connection to Redis, kept up for as long as `run()` runs.
///
/// While there is no connection commands wait for a moment (`outageGrace`, 1 s) and are refused after that.
/// Commands are never sent twice, except a script call that Redis answered with `NOSCRIPT`.
public final class RedisLink: Service {
    let core: RedisLinkCore
    private let connector: RedisConnector

    /// - Parameters:
    ///   - address: the Redis to connect to.
    ///   - options: limits, TLS, scripts, logger.
    ///   - loop: lives at least as long as the link. Links may share it.
    /// - Throws: `badConfiguration` when the certificates cannot be used.
    public init(
        to address: RedisAddress,
        options: RedisLinkOptions = RedisLinkOptions(),
        on loop: any EventLoop
    ) throws(RedisError) {
        connector = try RedisConnector(address: address, options: options, loop: loop)
        core = RedisLinkCore(address: address, options: options, loop: loop)
    }

    /// Connects, and again whenever the connection is lost, until the service is shut down or the task is
    /// cancelled. Shut down gracefully, the link lets commands in flight end. May be called once.
    ///
    /// - Throws: `refused` when Redis refused the first login of all. Later refusals are tried again, since
    ///   passwords change.
    public func run() async throws {
        let core = core
        defer { core.abort() }
        try await withTaskCancellationHandler {
            try await cancelWhenGracefulShutdown { [connector] in
                try await connector.keepConnected(core, cancelled: { core.stop() })
            }
        } onCancel: {
            core.abort()
        }
    }

    /// Sends one command and waits for its reply.
    ///
    /// - Parameters:
    ///   - command: what to send.
    ///   - timeout: instead of the link's `commandTimeout`.
    /// - Returns: the reply, which is no error.
    /// - Throws: `replied` when Redis answers with an error; else as `send(_:timeout:)` for many.
    @discardableResult
    public nonisolated(nonsending) func send(
        _ command: RedisCommand,
        timeout: Duration? = nil
    ) async throws(RedisError) -> RedisValue {
        let values = try await send([command], timeout: timeout)
        guard let value = values.first else {
            throw RedisError(.protocolViolated, "\(command.name) was not answered")
        }
        if case .error(let error) = value {
            throw RedisError(.replied, "Redis refuses \(command.name)", cause: error)
        }
        return value
    }

    /// Sends commands in order, one right after the other, and waits for all replies.
    ///
    /// A script that Redis does not know is loaded and only its calls are sent again, so that they come after
    /// the rest of their batch.
    ///
    /// - Parameters:
    ///   - commands: what to send; none is no turn at all.
    ///   - timeout: instead of the link's `commandTimeout`.
    ///   - connection: `connections` of the status when the commands were made, for commands that make no sense to
    ///     another Redis: they go over that connection, or not at all, and do not wait for one.
    /// - Returns: one reply for each command, in order. Error replies are values here.
    /// - Throws: `unavailable`, `overloaded`, `stopped`: nothing was sent. `timedOut`, `lost`, `cancelled`: all,
    ///   some or none may have been carried out.
    public nonisolated(nonsending) func send(
        _ commands: [RedisCommand],
        timeout: Duration? = nil,
        on connection: Int? = nil
    ) async throws(RedisError) -> [RedisValue] {
        guard !commands.isEmpty else { return [] }
        var values = try await core.request(commands, timeout: timeout, on: connection)
        let unknown = commands.indices.filter { index in
            commands[index].script != nil && values[index].failure?.code == "NOSCRIPT"
        }
        guard !unknown.isEmpty else { return values }
        var scripts: [RedisScript] = []
        for case let script? in unknown.map({ commands[$0].script })
        where !scripts.contains(where: { $0 === script }) {
            scripts.append(script)
        }
        let again = scripts.map(\.load) + unknown.map { commands[$0] }
        let answers: [RedisValue]
        do throws(RedisError) {
            answers = try await core.request(again, timeout: timeout, on: connection)
        } catch {
            guard unknown.count < commands.count else { throw error }
            throw RedisError(.lost, "of a batch all was carried out but its scripts", cause: error)
        }
        for (index, answer) in zip(unknown, answers.dropFirst(scripts.count)) { values[index] = answer }
        return values
    }

    /// Sends one command and tells a function of its reply, on the link's loop; or at once, on this thread, when
    /// the command is refused.
    ///
    /// `done`: gets the reply, an error reply too; errors as `send(_:timeout:)` for many.
    func send(_ command: RedisCommand, _ done: @escaping @Sendable (Result<RedisValue, RedisError>) -> Void) {
        core.request(command) { [self] result in
            if command.script != nil, case .success(let values) = result,
                values.first?.failure?.code == "NOSCRIPT"
            {
                // Rare, and several steps.
                Task { done(await loadedAndSent(command)) }
                return
            }
            done(result.map { $0.first ?? .null })
        }
    }

    private func loadedAndSent(_ command: RedisCommand) async -> Result<RedisValue, RedisError> {
        do throws(RedisError) { return .success(try await send([command]).first ?? .null) } catch {
            return .failure(error)
        }
    }

    /// How the link is doing now. May be called from anywhere, often.
    public var status: RedisLinkStatus { core.board.status }

    /// The status now and after each change of phase, and after each reconnect; a slow reader gets the newest.
    /// A larger `connections` than before means: connected again.
    public func statusChanges() -> AsyncStream<RedisLinkStatus> { core.board.changes() }

    /// Returns once the link is ready.
    ///
    /// - Throws: `stopped` when it never will be, `cancelled`.
    public func ready() async throws(RedisError) {
        for await status in statusChanges() {
            switch status.phase {
            case .ready: return
            case .stopped: throw RedisError(.stopped, "the link to Redis was stopped")
            case .down: continue
            }
        }
        throw RedisError(.cancelled, "the caller was cancelled while it waited for Redis")
    }
}
