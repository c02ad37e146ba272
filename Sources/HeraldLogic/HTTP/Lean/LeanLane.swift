import HeraldCore
import NIOCore

/// The first handler of a connection: answers pushes itself, and leaves everything else to Hummingbird behind it.
///
/// A push over HTTP costs Hummingbird 22 µs (tasks, streams of parts, a string for each field) before anything of
/// it is looked at, the same as three writes to a socket. Here a request is read where it lies, its push is
/// handed to the pipeline without a task, and the answers of one turn of the loop leave in one write.
///
/// Considered and left: serving all of HTTP here. Two servers would have to agree on everything; so only requests
/// whose meaning is beyond doubt are taken (`LeanReader`), and the other path has the last word on all others. What
/// this handler does when is decided in `LeanLaneStateMachine`.
///
/// It also ends connections that are idle: Hummingbird does not see the requests that are answered here.
final class LeanLane: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = IOData
    typealias OutboundOut = ByteBuffer

    private let desk: (any LeanDesk)?
    private let reader: LeanReader
    private let turn: LeanTurn
    private let guardian: ConnectionGuard
    private let timing: Timing

    private var machine: LeanLaneStateMachine<LeanAnswer, LeanWork>
    private var context: ChannelHandlerContext?
    /// What was read and is not taken or passed on.
    private var buffer = ByteBuffer()
    private var memory = LeanAccessMemory()
    private var lastActive = NIODeadline.now()
    private var idleCheck: Scheduled<Void>?
    /// Runs while a request of the lane is there in part, of so many bytes.
    private var deadline: (timer: Scheduled<Void>, bytes: Int)?
    /// How many bytes the request that is there in part has; 0 when there is none.
    private var awaited = 0
    /// Reads that brought no whole head.
    private var partialReads = 0
    /// Requests that were lent to the ordinary path.
    private var lent = 0
    /// The end of the connection, for the ordinary path once it has the connection.
    private var endings: [Any] = []
    private var isWorking = false
    private var isStalled = false
    private var isReadHeld = false
    private var isTurnPlanned = false

    struct Timing {
        /// How long a request may take to arrive.
        var request: TimeAmount
        /// How long a connection may be without one.
        var idle: TimeAmount
    }

    /// Requests of one connection that may be owed an answer. 256 answers of 150 bytes are 38 KiB.
    private static let owedMax = 256
    /// A head that is not whole after so many reads is not read again and again.
    private static let partialReadsMax = 8

    /// - Parameters:
    ///   - desk: takes the requests; nil: the ordinary path has them all.
    ///   - reader: reads their heads.
    ///   - turn: of the same loop.
    ///   - guardian: of the same connection; knows what the ordinary path is doing.
    ///   - timing: when to give up.
    init(
        desk: (any LeanDesk)?,
        reader: LeanReader,
        turn: LeanTurn,
        guardian: ConnectionGuard,
        timing: Timing
    ) {
        self.desk = desk
        self.reader = reader
        self.turn = turn
        self.guardian = guardian
        self.timing = timing
        machine = LeanLaneStateMachine(owedMax: Self.owedMax, isGiven: desk == nil)
    }

    // MARK: In

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        checkIdle(context, in: timing.idle)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        stopTimers()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if machine.isGiven, buffer.readableBytes == 0 { return context.fireChannelRead(data) }
        var bytes = unwrapInboundIn(data)
        if buffer.readableBytes == 0 {
            buffer = bytes
        } else {
            buffer.discardReadBytes()
            buffer.writeBuffer(&bytes)
        }
        work(context)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if machine.isGiven { return context.fireChannelReadComplete() }
        if awaited > 0, deadline == nil { startDeadline(context) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        let isEnding = event is ChannelShouldQuiesceEvent || event as? ChannelEvent == .inputClosed
        guard isEnding, !machine.isGiven else { return context.fireUserInboundEventTriggered(event) }
        endings.append(event)
        machine.give()
        work(context)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { goOn(context) }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        stopTimers()
        for work in machine.closed() { desk?.cancel(work) }
        buffer = ByteBuffer()
        context.fireChannelInactive()
    }

    // MARK: Out

    func read(context: ChannelHandlerContext) {
        if isStalled { isReadHeld = true } else { context.read() }
    }

    func flush(context: ChannelHandlerContext) {
        context.flush()
        if machine.isLent { goOn(context) }
    }

    // MARK: Working

    /// Does what can be done with the bytes that are there.
    private func work(_ context: ChannelHandlerContext) {
        guard !isWorking else { return }
        isWorking = true
        defer { isWorking = false }
        var hasPassed = false
        awaited = 0
        working: while true {
            let step = machine.step(available: buffer.readableBytes, mayTake: context.channel.isWritable) {
                let reading = buffer.withUnsafeReadableBytes(reader.read)
                if reading == .old { guardian.endsWithAnswer = true }
                return reading
            }
            isStalled = step == .hold
            switch step {
            case .take(let request, let number): take(request, number)
            case .pass(let bytes):
                hasPassed = true
                pass(bytes, context)
            case .await(let bytes):
                awaited = bytes
                break working
            case .wait, .hold:
                if machine.isLent, guardian.rests(after: lent), machine.returned() { continue }
                guard step == .wait, givesUpPartial() else { break working }
            }
        }
        settle(context, hasPassed: hasPassed)
    }

    private func take(_ request: LeanRequest, _ number: UInt64) {
        partialReads = 0
        stopDeadline()
        let place = LeanPlace(lane: NIOLoopBound(self, eventLoop: turn.loop), loop: turn.loop, number: number)
        let work = buffer.withUnsafeReadableBytes { bytes in
            desk?.take(request, bytes, &memory, place) ?? .elsewhere
        }
        switch work {
        case .elsewhere: return machine.untake(request)
        case .nothing: break
        case .pushes: machine.works(number, work)
        }
        buffer.moveReaderIndex(forwardBy: request.bytes)
    }

    private func pass(_ bytes: Int, _ context: ChannelHandlerContext) {
        guard let slice = buffer.readSlice(length: bytes) else { return }
        partialReads = 0
        stopDeadline()
        if machine.isLent { lent += 1 }
        context.fireChannelRead(wrapInboundOut(slice))
    }

    private func settle(_ context: ChannelHandlerContext, hasPassed: Bool) {
        if buffer.readableBytes == 0 { buffer = ByteBuffer() }
        if awaited == 0 { stopDeadline() }
        if hasPassed { context.fireChannelReadComplete() }
        if machine.isGiven, !endings.isEmpty {
            let events = endings
            endings = []
            for event in events { context.fireUserInboundEventTriggered(event) }
        }
    }

    /// Whether bytes are there that have made no whole head for too long: then they are the ordinary path's.
    private func givesUpPartial() -> Bool {
        guard buffer.readableBytes > 0, !machine.isGiven else { return false }
        partialReads += 1
        guard partialReads > Self.partialReadsMax else { return false }
        machine.give()
        return true
    }

    /// Something changed for bytes that waited.
    private func goOn(_ context: ChannelHandlerContext) {
        work(context)
        if awaited > 0, deadline == nil { startDeadline(context) }
        guard isReadHeld, !isStalled else { return }
        isReadHeld = false
        context.read()
    }

    // MARK: Answers

    /// The answer to a request; it leaves when this turn of the loop is over, if it may.
    func answered(_ number: UInt64, _ answer: LeanAnswer) {
        guard machine.answered(number, answer), !isTurnPlanned else { return }
        isTurnPlanned = true
        turn.plan(self)
    }

    /// The turn of the loop is over.
    func turnEnded() {
        isTurnPlanned = false
        guard let context else { return }
        let answers = machine.leave()
        guard !answers.isEmpty else { return }
        lastActive = .now()
        var bytes = context.channel.allocator.buffer(
            capacity: answers.reduce(0) { $0 + LeanAnswer.headBytes + $1.body.count }
        )
        for answer in answers { answer.write(to: &bytes, date: turn.date(at: lastActive)) }
        context.writeAndFlush(wrapOutboundOut(bytes), promise: nil)
        goOn(context)
    }

    // MARK: Time

    private func startDeadline(_ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((lane: self, context: context), eventLoop: context.eventLoop)
        let bytes = awaited
        let timer = context.eventLoop.scheduleTask(in: timing.request) {
            bound.value.lane.requestIsLate(bytes, bound.value.context)
        }
        deadline = (timer, bytes)
    }

    /// The ordinary path gets what is there, and is told how long that took.
    private func requestIsLate(_ bytes: Int, _ context: ChannelHandlerContext) {
        deadline = nil
        guardian.waited = timing.request
        machine.late(bytes: bytes)
        work(context)
    }

    private func stopDeadline() {
        deadline?.timer.cancel()
        deadline = nil
    }

    private func checkIdle(_ context: ChannelHandlerContext, in time: TimeAmount) {
        let bound = NIOLoopBound((lane: self, context: context), eventLoop: context.eventLoop)
        idleCheck = context.eventLoop.scheduleTask(in: time) {
            bound.value.lane.judgeIdle(bound.value.context)
        }
    }

    /// Half a head is no activity: a connection that trickles one is as idle as one that says nothing.
    private func judgeIdle(_ context: ChannelHandlerContext) {
        let isBusy = machine.owes || guardian.isAnswering
        let rest = max(lastActive, guardian.lastActive) + timing.idle - .now()
        guard !isBusy, rest <= .zero else {
            return checkIdle(context, in: isBusy ? timing.idle : rest)
        }
        context.close(promise: nil)
    }

    private func stopTimers() {
        stopDeadline()
        idleCheck?.cancel()
        idleCheck = nil
    }
}
