import HeraldCore
import HeraldWire
import NIOCore
import NIOWebSocket

/// Turns WebSocket frames into events for `ConnectionStateMachine` and does what it answers.
///
/// One per connection, on the connection's event loop; nothing else is kept for a connection, so that a process
/// can hold thousands. Back-pressure: when `eventsWaitingMax` events wait for their reader the handler stops
/// asking for reads, and the node's send queue for this socket fills.
final class ConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias OutboundIn = Never
    typealias OutboundOut = WebSocketFrame
    typealias Producer = NIOAsyncSequenceProducer<
        ConnectionEvent, NIOAsyncSequenceProducerBackPressureStrategies.HighLowWatermark, EventsDelegate
    >

    private var machine: ConnectionStateMachine<EventLoopPromise<Void>>
    private let configuration: ConnectionConfiguration
    private let ready: EventLoopPromise<ConnectionIdentity>
    private var source: Producer.Source?
    private var context: ChannelHandlerContext?
    private var isPaused = false
    private var readIsWaiting = false
    private var breakReason = "the other side closed it without a close frame"
    private var silence: Scheduled<Void>?
    private var lastHeard = NIODeadline.now()

    init(configuration: ConnectionConfiguration, ready: EventLoopPromise<ConnectionIdentity>) {
        self.configuration = configuration
        self.ready = ready
        machine = ConnectionStateMachine(rooms: configuration.rooms)
    }

    /// Where the events go; set once, before the handler is in its pipeline.
    func attach(_ source: Producer.Source) { self.source = source }

    /// The upgrade is done: from here on what is written goes out, and not before.
    func begin() {
        guard let context, context.channel.isActive else { return ended() }
        if let frame = configuration.firstFrame { send(frame) }
    }

    // MARK: the channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        lastHeard = .now()
        watchSilence(after: configuration.limits.silenceMax)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        silence?.cancel()
        self.context = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lastHeard = .now()
        let frame = unwrapInboundIn(data)
        switch frame.opcode {
        case .text: messageReceived(Array(buffer: frame.unmaskedData))
        case .binary: violated("a binary message came on the JSON protocol")
        case .ping: write(.pong, frame.unmaskedData)
        case .connectionClose: closeReceived(frame.unmaskedData)
        default: break
        }
    }

    func read(context: ChannelHandlerContext) {
        if isPaused { readIsWaiting = true } else { context.read() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        ended()
        context.fireChannelInactive()
    }

    private func ended() {
        silence?.cancel()
        switch machine.disconnected(breakReason) {
        case .neverReady(let error): ready.fail(error)
        case .over(let end, let waiters, let error):
            fail(waiters, error)
            ready.fail(error)
            _ = source?.yield(.closed(end))
        case .nothing: break
        }
        source?.finish()
        source = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if error is NIOWebSocketError || error is NIOWebSocketFrameAggregator.Error {
            violated("\(error)")
        } else {
            breakReason = "\(error)"
            context.close(promise: nil)
        }
    }

    // MARK: what the node says

    private func messageReceived(_ bytes: [UInt8]) {
        let frame: ServerFrame?
        do { frame = try ServerFrame.decode(bytes) } catch {
            return violated("a frame cannot be read: \(error)")
        }
        switch machine.frameReceived(frame) {
        case .ready(let identity): ready.succeed(identity)
        case .deliver(let event): deliver(event)
        case .answer(let waiter, nil): waiter.succeed()
        case .answer(let waiter, let error?): waiter.fail(error)
        case .ignore: break
        case .refused(let error):
            ready.fail(error)
            close(.closedHere(.normal))
        case .violation(let waiters, let error):
            fail(waiters, error)
            sendClose(CloseCode(number: 1002))
        }
    }

    private func deliver(_ event: ConnectionEvent) {
        if case .stopProducing = source?.yield(event) { isPaused = true }
    }

    private func closeReceived(_ payload: ByteBuffer) {
        let number = payload.getInteger(at: payload.readerIndex, as: UInt16.self) ?? 1005
        perform(machine.closeReceived(CloseCode(number: number)), thenClose: true)
    }

    private func violated(_ reason: String) { close(.violation(reason)) }

    // MARK: what the caller asks; on the event loop

    func request(_ body: ClientFrame.Body, answer: EventLoopPromise<Void>) {
        switch machine.requested(body, answer, max: configuration.limits.requestsWaitingMax) {
        case .refuse(let waiter, let error): waiter.fail(error)
        case .send(let frame, let id):
            send(frame)
            let timeout = configuration.limits.requestTimeout
            let timer = context?.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(timeout)) {
                self.machine.requestTimedOut(id)?
                    .fail(ClientError(.timedOut, "the node did not answer within \(timeout)", mayRetry: true))
            }
            answer.futureResult.whenComplete { _ in timer?.cancel() }
        }
    }

    /// Says something that nobody answers.
    func tell(_ body: ClientFrame.Body) {
        if let frame = machine.told(body) { send(frame) }
    }

    func close(_ cause: ConnectionEnd.Cause) {
        perform(machine.closeAsked(cause), thenClose: false)
    }

    /// The reader took what waited.
    func resumeReading() {
        isPaused = false
        guard readIsWaiting else { return }
        readIsWaiting = false
        context?.read()
    }

    // MARK: doing it

    private func perform(_ closing: ConnectionStateMachine<EventLoopPromise<Void>>.Closing, thenClose: Bool) {
        switch closing {
        case .nothing:
            // The other side's half of our own close handshake.
            if thenClose { context?.close(promise: nil) }
        case .send(let code, let waiters, let error):
            fail(waiters, error)
            ready.fail(error)
            sendClose(code)
            if thenClose { context?.close(promise: nil) }
        }
    }

    private func fail(_ waiters: [EventLoopPromise<Void>], _ error: ClientError) {
        for waiter in waiters { waiter.fail(error) }
    }

    private func sendClose(_ code: CloseCode) {
        guard let context else { return }
        var payload = context.channel.allocator.buffer(capacity: 2)
        // 1005 and 1006 stand for "none came" and never travel (RFC 6455 §7.4.1).
        if code.number != 1005, code.number != 1006 { payload.writeInteger(code.number) }
        write(.connectionClose, payload)
        resumeReading()
        let channel = context.channel
        context.eventLoop.scheduleTask(in: TimeAmount(configuration.limits.closeTimeout)) {
            channel.close(promise: nil)
        }
    }

    private func send(_ frame: ClientFrame) {
        write(.text, ByteBuffer(bytes: frame.encoded()))
    }

    private func write(_ opcode: WebSocketOpcode, _ payload: ByteBuffer) {
        guard let context else { return }
        let frame = WebSocketFrame(fin: true, opcode: opcode, maskKey: .random(), data: payload)
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
    }

    /// One timer that is set again only when it fires, not with every frame.
    private func watchSilence(after pause: Duration) {
        silence = context?.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(pause)) {
            let quiet = NIODeadline.now() - self.lastHeard
            let max = TimeAmount(self.configuration.limits.silenceMax)
            // A reader that is slow makes a silence of its own.
            if quiet >= max, !self.isPaused {
                self.close(.silent)
            } else {
                self.watchSilence(after: .nanoseconds((self.isPaused ? max : max - quiet).nanoseconds))
            }
        }
    }
}

/// Hears from the reader's side of the events: on any thread.
struct EventsDelegate: NIOAsyncSequenceProducerDelegate {
    let handler: NIOLoopBound<ConnectionHandler>

    func produceMore() {
        handler.eventLoop.execute { handler.value.resumeReading() }
    }

    func didTerminate() {
        handler.eventLoop.execute { handler.value.close(.closedHere(.normal)) }
    }
}
