public import HeraldCore
public import NIOCore
public import NIOPosix

/// A connection that comes back: after every end that invites back it pauses (`BackOff`) and connects again, in
/// the rooms in which it was, and drops pushes that it has seen before. A push whose sender waits for it is
/// acknowledged once `receive` has returned from it; a repeat of it again, without being shown.
///
/// ```swift
/// try await PersistentConnection(configuration).run { event in
///     if case .push(let push) = event { … }
/// }
/// ```
public struct PersistentConnection: Sendable {
    public enum Event: Sendable {
        /// Live, for the first time or again. The connection is there to join, leave and ping.
        case connected(HeraldConnection)
        /// Each push id once.
        case push(ReceivedPush)
        /// Messages of the user's inbox are lost to this client: it should load its state anew.
        case reset(InboxPosition)
        case error(code: String, message: String)
        /// Not live; the next try comes after the pause.
        case away(reason: String, pause: Duration)
    }

    private let configuration: ConnectionConfiguration
    private let backOff: BackOff
    private let group: any EventLoopGroup
    private let sleep: @Sendable (Duration) async throws -> Void

    public init(
        _ configuration: ConnectionConfiguration,
        backOff: BackOff = .standard,
        on group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup
    ) {
        self.init(configuration, backOff: backOff, on: group) { try await Task.sleep(for: $0) }
    }

    /// `sleep`: how to pause; a test moves its time by hand.
    init(
        _ configuration: ConnectionConfiguration,
        backOff: BackOff,
        on group: any EventLoopGroup,
        sleep: @escaping @Sendable (Duration) async throws -> Void
    ) {
        self.configuration = configuration
        self.backOff = backOff
        self.group = group
        self.sleep = sleep
    }

    /// Stays connected until an end that does not invite back, until `receive` throws, or until cancelled.
    ///
    /// - Parameter receive: called for each event in order; while it works, nothing is read. A push that it throws
    ///   on is not acknowledged.
    /// - Returns: the end that did not invite back.
    /// - Throws: what `receive` throws; a `ClientError` that says not to try again; `CancellationError`.
    public func run(_ receive: (Event) async throws -> Void) async throws -> ConnectionEnd {
        var backOff = backOff
        var configuration = configuration
        var recent = RecentPushes(max: configuration.limits.recentPushesMax)
        while true {
            let why: (reason: String, lived: Duration?, asked: Duration?)
            // Not one `do` with what follows: what `receive` throws is the application's, whatever it is.
            switch try await attempt(configuration) {
            case .success(let connection):
                let start = ContinuousClock.now
                // The node chose what was left open: coming back means as the same.
                configuration.user = connection.identity.user
                configuration.key = connection.identity.key
                if let inbox = connection.identity.inbox { configuration.resume = .after(inbox.position) }
                let end = try await live(connection, &recent, &configuration.resume, receive)
                guard end.invitesBack else { return end }
                configuration.rooms = end.rooms
                why = (end.description, ContinuousClock.now - start, nil)
            case .failure(let error): why = (error.message, nil, error.retryAfter)
            }
            try Task.checkCancellation()
            let pause = backOff.pause(after: why.lived, asked: why.asked, random: .random(in: 0...1))
            try await receive(.away(reason: why.reason, pause: pause))
            try await sleep(pause)
        }
    }

    /// - Returns: a connection, or why trying again may help.
    private func attempt(
        _ configuration: ConnectionConfiguration
    ) async throws(ClientError) -> Result<HeraldConnection, ClientError> {
        do {
            return .success(try await HeraldConnection.connect(configuration, on: group))
        } catch {
            guard error.mayRetry else { throw error }
            return .failure(error)
        }
    }

    private func live(
        _ connection: HeraldConnection,
        _ recent: inout RecentPushes,
        _ resume: inout ResumeRequest?,
        _ receive: (Event) async throws -> Void
    ) async throws -> ConnectionEnd {
        do {
            try await receive(.connected(connection))
            for await event in connection.events {
                switch event {
                case .push(let push):
                    if recent.remember(push.id) { try await receive(.push(push)) }
                    if push.wantsAck { connection.acknowledge(push.id) }
                    // What `receive` threw at comes again.
                    if resume != nil, push.room == nil, let position = push.position {
                        resume = .after(position)
                    }
                case .reset(let position):
                    resume = .after(position)
                    try await receive(.reset(position))
                case .error(let code, let message): try await receive(.error(code: code, message: message))
                case .closed(let end): return end
                }
            }
        } catch {
            await connection.close()
            throw error
        }
        // The events end without `closed` only when this task was cancelled.
        await connection.close()
        throw CancellationError()
    }
}
