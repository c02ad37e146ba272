public import HeraldCore
import HeraldWire
public import Logging
public import ServiceLifecycle
import Synchronization

/// Takes pushes, finds where their targets are, sends them there and says what became of each target.
///
/// It works in turns. A turn takes everything that waits, asks the table once for all of it, groups what it finds
/// by node and publishes one envelope for each node in one call. So a push that comes alone waits for nobody, and
/// a thousand that come at once share two round trips.
///
/// Turns are looked up one after the other and sent one after the other, and the sending of one overlaps with the
/// look-up of the next. A turn is sent only when the one before it is through, its second try included: so pushes
/// reach a session in the order in which they were accepted. Two lanes of turns would be faster only where
/// Redis's answer takes longer than the work of a turn, and would have to give up that order.
///
/// What each push is told, and when, is decided in `PushQueue`; which nodes get what, in `FanOut`.
public final class PushPipeline<Table: RouteTable, Channel: Bus, Time: Clock>: Service
where Time.Duration == Duration {
    private let table: Table
    private let bus: Channel
    let inbox: (any Inbox)?
    private let sender: String
    private let deadline: Duration
    private let clock: Time
    private let began: Time.Instant
    private let executor: (any TaskExecutor)?
    let logger: Logger
    let queue: Mutex<PushQueue>
    let inboxTrouble = Mutex<InboxError?>(nil)
    private let wakeUps: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation

    /// - Parameters:
    ///   - table: answers each call within a time limit of its own.
    ///   - bus: answers each call within a time limit of its own.
    ///   - inbox: where durable pushes are kept; nil: they are refused.
    ///   - sender: this process's name, as envelopes carry it.
    ///   - limits: how many pushes may wait, and how long.
    ///   - clock: what deadlines and durations are measured with.
    ///   - executor: where its tasks run; nil for Swift's own pool.
    ///   - logger: for what only the operator can mend.
    public convenience init(
        table: Table,
        bus: Channel,
        inbox: (any Inbox)? = nil,
        sender: String,
        limits: Limits = .standard,
        clock: Time,
        executor: (any TaskExecutor)? = nil,
        logger: Logger
    ) {
        let bounds = PushQueue.Bounds(waitingMax: limits.pushesWaitingMax, deadline: limits.pushDeadline)
        self.init(
            table: table,
            bus: bus,
            inbox: inbox,
            sender: sender,
            bounds: bounds,
            clock: clock,
            executor: executor,
            logger: logger
        )
    }

    init(
        table: Table,
        bus: Channel,
        inbox: (any Inbox)? = nil,
        sender: String,
        bounds: PushQueue.Bounds,
        clock: Time,
        executor: (any TaskExecutor)? = nil,
        logger: Logger
    ) {
        self.table = table
        self.bus = bus
        self.inbox = inbox
        self.sender = sender
        self.deadline = bounds.deadline
        self.clock = clock
        self.began = clock.now
        self.executor = executor
        self.logger = logger
        self.queue = Mutex(PushQueue(bounds))
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    // MARK: Pushing

    /// Sends a push and waits for its verdicts.
    ///
    /// - Returns: one verdict for each target, in order.
    /// - Throws: why there are no verdicts; `retryAfter` says whether trying again helps.
    public func push(_ push: Push) async throws(PushRefusal) -> PushAnswer {
        let accepted = Atomic<UInt64>(0)
        let result = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                guard let ticket = submit(push, { continuation.resume(returning: $0) }) else { return }
                accepted.store(ticket.number, ordering: .sequentiallyConsistent)
                // The cancellation may have come before there was a ticket to take back.
                if Task.isCancelled { cancel(ticket) }
            }
        } onCancel: {
            let number = accepted.load(ordering: .sequentiallyConsistent)
            if number > 0 { cancel(PushTicket(number: number)) }
        }
        return try result.get()
    }

    /// Hands in a push and returns at once. What is handed in first is sent first.
    ///
    /// - Parameters:
    ///   - push: what to send.
    ///   - caller: gets the answer, once; before this returns when the push is refused.
    /// - Returns: what `cancel` takes; nil when the push was refused.
    @discardableResult
    func submit(_ push: Push, _ caller: @escaping PushCaller) -> PushTicket? {
        switch queue.withLock({ $0.submit(push, at: now, caller) }) {
        case .accepted(let ticket, let wakes):
            if wakes { wakeUp.yield() }
            return ticket
        case .refused(let refusal):
            caller(.failure(refusal))
            return nil
        }
    }

    /// Takes a push back whose caller went away. If it is being sent already, it goes out all the same.
    func cancel(_ ticket: PushTicket) {
        tell(queue.withLock { $0.cancel(ticket, at: now) }.map { [$0] } ?? [])
    }

    /// What it has done, and how many pushes wait now.
    var counters: (done: PipelineCounters, waiting: Int) {
        queue.withLock { ($0.counters, $0.depth) }
    }

    // MARK: Running

    /// Works until it is told to shut down gracefully and all accepted pushes are answered, or is cancelled:
    /// then those that are left are refused. Once only.
    public func run() async {
        await withGracefulShutdownHandler {
            await withTaskExecutorPreference(executor) {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await self.expireLate() }
                    await self.takeTurns()
                    group.cancelAll()
                }
            }
        } onGracefulShutdown: {
            if self.queue.withLock({ $0.drain() }) { self.wakeUp.yield() }
        }
        tell(queue.withLock { $0.close(at: now) })
    }

    private func takeTurns() async {
        var signals = wakeUps.makeAsyncIterator()
        var lastError: RouteTableError?
        await withTaskGroup(of: Void.self) { sending in
            while let taken = await nextTurn(&signals) {
                guard let turn = await kept(taken) else { continue }
                do throws(RouteTableError) {
                    let found = try await lookUp(turn.pushes)
                    lastError = nil
                    await sending.next()
                    sending.addTask { await self.send(turn, found) }
                } catch {
                    if error != lastError { note(error) }
                    lastError = error
                    fail(turn, error.refusal)
                }
            }
        }
    }

    private func nextTurn(_ signals: inout AsyncStream<Void>.Iterator) async -> PushTurn? {
        while !Task.isCancelled {
            switch queue.withLock({ $0.nextTurn() }) {
            case .turn(let turn): return turn
            case .finished: return nil
            case .park: await signals.next(isolation: #isolation)
            }
        }
        return nil
    }

    private func send(_ turn: PushTurn, _ found: LookupAnswer) async {
        guard case .send(let settled) = queue.withLock({ $0.beginSending(turn.number, kept: turn.kept) })
        else { return }
        let fanOut = FanOut(turn.pushes, found: found)
        do throws(BusError) {
            let missed = try await publish(fanOut.batches, without: settled)
            let answers = fanOut.answers(missed: missed)
            let again = SecondTry(turn.pushes, answers: answers)
            answer(turn, again.isNeeded ? again.complete : answers)
            if again.isNeeded { await send(again, of: turn) }
        } catch {
            logger.debug("a publish failed", metadata: ["reason": "\(error.reason)"])
            fail(turn, .busUnavailable)
        }
    }

    /// A second try that fails leaves the verdicts of the first: they are true, and more cannot be said.
    private func send(_ again: SecondTry, of turn: PushTurn) async {
        guard case .send(let settled) = queue.withLock({ $0.beginSending(turn.number, kept: turn.kept) })
        else { return }
        queue.withLock { $0.counters.retried += again.pushes.count }
        do {
            let fanOut = again.fanOut(try await lookUp(again.pushes))
            let missed = try await publish(fanOut.batches, without: settled)
            answer(turn, again.answers(fanOut.answers(missed: missed)))
        } catch {
            logger.debug("a second try failed", metadata: ["reason": "\(error)"])
            answer(turn, again.unchanged)
        }
    }

    private func lookUp(_ pushes: [Push]) async throws(RouteTableError) -> LookupAnswer {
        let start = now
        let found = try await table.look(up: FanOut.lookup(for: pushes))
        queue.withLock { $0.counters.lookupDuration.add(now - start) }
        return found
    }

    /// - Parameters:
    ///   - batches: what the nodes are to be sent.
    ///   - settled: pushes that are not to be sent any more.
    /// - Returns: the nodes whose channel had no subscriber.
    /// - Throws: when the bus did not confirm; all or nothing may have gone out.
    private func publish(
        _ batches: [NodeBatch],
        without settled: Set<PushID>
    ) async throws(BusError) -> Set<NodeID> {
        var messages: [BusMessage] = []
        messages.reserveCapacity(batches.count)
        for batch in batches {
            var deliveries = batch.deliveries
            if !settled.isEmpty { deliveries.removeAll { settled.contains($0.push) } }
            guard !deliveries.isEmpty else { continue }
            let envelope = Envelope(sender: sender, deliveries: deliveries)
            messages.append(BusMessage(node: batch.node, bytes: envelope.encoded()))
        }
        guard !messages.isEmpty else { return [] }
        let start = now
        let subscribers = try await bus.publish(messages)
        var missed: Set<NodeID> = []
        for (message, count) in zip(messages, subscribers) where count == 0 {
            if case .node(let node) = message.address { missed.insert(node) }
        }
        queue.withLock { queue in
            queue.counters.publishDuration.add(now - start)
            queue.counters.envelopes += messages.count
            queue.counters.envelopesMissed += missed.count
        }
        return missed
    }

    /// Refuses who is late. While nobody is here it looks again after one time limit: a push that comes in
    /// between is late after that at the earliest, so that no push has to wake it.
    private func expireLate() async {
        while !Task.isCancelled {
            let next = queue.withLock { $0.nextDeadline } ?? now + deadline
            try? await clock.sleep(until: began.advanced(by: next), tolerance: nil)
            tell(queue.withLock { $0.expire(at: now) })
        }
    }

    // MARK: Settling

    var now: Duration { began.duration(to: clock.now) }

    private func answer(_ turn: PushTurn, _ answers: [PushAnswer?]) {
        tell(queue.withLock { $0.answer(turn.number, turn.marked(answers), at: now) })
    }

    private func fail(_ turn: PushTurn, _ refusal: PushRefusal) {
        tell(queue.withLock { $0.settle(turn.number, turn.results(of: refusal), at: now) })
    }

    /// Outside the lock: a caller's code runs here.
    func tell(_ settled: [SettledPush]) {
        for push in settled { push.caller(push.result) }
    }

    private func note(_ error: RouteTableError) {
        switch error {
        case .corrupt(let reason):
            logger.error("the route table holds what it should not", metadata: ["reason": "\(reason)"])
        case .unavailable, .nodeHeld:
            logger.debug("a look-up failed", metadata: ["reason": "\(error)"])
        }
    }
}

extension RouteTableError {
    var refusal: PushRefusal {
        switch self {
        case .unavailable, .nodeHeld: .tableUnavailable
        case .corrupt: .tableCorrupt
        }
    }
}
