public import HeraldCore
import HeraldWire
public import NIOCore
public import NIOPosix

/// One live connection to a cloud node.
///
/// ```swift
/// let connection = try await HeraldConnection.connect(
///     ConnectionConfiguration(url: "ws://127.0.0.1:9001/ws", user: "alice", key: "phone"))
/// for await event in connection.events { … }
/// ```
///
/// It costs one channel and one handler, and no task. It closes when `close` is called, when the loop over
/// `events` is left or cancelled, or when nobody holds the connection any more.
public struct HeraldConnection: Sendable {
    /// Who the node says this is: what was asked for, or what the node chose.
    public let identity: ConnectionIdentity
    /// What arrives, in order; `closed` is the last. For one loop only.
    ///
    /// While `ClientLimits.eventsWaitingMax` events wait, the socket is not read: answers to `join`, `leave` and
    /// `ping` wait too.
    public let events: Events

    private let handler: NIOLoopBound<ConnectionHandler>
    private let channel: any Channel

    public struct Events: AsyncSequence, Sendable {
        public typealias Element = ConnectionEvent
        public typealias Failure = Never
        fileprivate let producer: ConnectionHandler.Producer

        public struct AsyncIterator: AsyncIteratorProtocol {
            fileprivate let iterator: ConnectionHandler.Producer.AsyncIterator

            public func next() async -> ConnectionEvent? { await iterator.next() }
        }

        public func makeAsyncIterator() -> AsyncIterator {
            AsyncIterator(iterator: producer.makeAsyncIterator())
        }
    }

    /// Connects and waits until the node says `connected`: from then on pushes find this connection.
    ///
    /// - Parameters:
    ///   - configuration: where, and as whom.
    ///   - group: the event loops to share; by default those of the process.
    /// - Returns: the live connection.
    /// - Throws: `ClientError`; `mayRetry` and `retryAfter` say whether and when to try again.
    public static func connect(
        _ configuration: ConnectionConfiguration,
        on group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup
    ) async throws(ClientError) -> HeraldConnection {
        let eventLoop = group.any()
        let ready = eventLoop.makePromise(of: ConnectionIdentity.self)
        let timeout = configuration.limits.connectTimeout
        let deadline = eventLoop.scheduleTask(in: TimeAmount(timeout)) {
            ready.fail(ClientError(.timedOut, "not connected within \(timeout)", mayRetry: true))
        }
        defer { deadline.cancel() }
        let opening = Opening(configuration: configuration, ready: ready).open(on: eventLoop)
        opening.cascadeFailure(to: ready)
        do {
            let identity = try await withTaskCancellationHandler {
                try await ready.futureResult.get()
            } onCancel: {
                ready.fail(ClientError(.closed, "connecting was cancelled"))
            }
            return HeraldConnection(identity: identity, open: try await opening.get())
        } catch {
            throw ClientError(connecting: configuration.address, error)
        }
    }

    private init(identity: ConnectionIdentity, open: OpenChannel) {
        self.identity = identity
        events = Events(producer: open.producer)
        handler = open.handler
        channel = open.channel
    }

    /// Joins a room; returns when the node has done it.
    public func join(_ room: RoomID) async throws(ClientError) { try await request(.join(room)) }

    /// Leaves a room; returns when the node has done it.
    public func leave(_ room: RoomID) async throws(ClientError) { try await request(.leave(room)) }

    /// Tells the backend that this client has a push, where `ReceivedPush.wantsAck` says that it waits for that.
    ///
    /// Nothing is waited for: when the connection breaks meanwhile, the backend hears nothing and says so.
    public func acknowledge(_ push: PushID) {
        let handler = handler
        channel.eventLoop.execute { handler.value.tell(.ack(push)) }
    }

    /// Asks the node for a sign of life.
    ///
    /// - Returns: how long the answer took.
    @discardableResult
    public func ping() async throws(ClientError) -> Duration {
        let start = ContinuousClock.now
        try await request(.ping)
        return ContinuousClock.now - start
    }

    /// Closes and waits until it is closed, `ClientLimits.closeTimeout` at most.
    public func close(_ code: CloseCode = .normal) async {
        channel.eventLoop.execute { handler.value.close(.closedHere(code)) }
        _ = await channel.closeFuture.result()
    }

    private func request(_ body: ClientFrame.Body) async throws(ClientError) {
        let answer = channel.eventLoop.makePromise(of: Void.self)
        channel.eventLoop.execute { handler.value.request(body, answer: answer) }
        do { try await answer.futureResult.get() } catch {
            throw (error as? ClientError) ?? ClientError(.unreachable, "\(error)", mayRetry: true)
        }
    }
}

extension EventLoopFuture where Value: Sendable {
    fileprivate func result() async -> Result<Value, any Error> {
        do { return .success(try await get()) } catch { return .failure(error) }
    }
}
