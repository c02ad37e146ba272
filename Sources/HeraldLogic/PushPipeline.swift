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
/// look-up of the next. A turn is sent only when the one before it is through: so pushes reach a session in the
/// order in which they were accepted. A push that comes alone while nothing is being sent goes out in the very step
/// that looks it up, where table and bus can do that (`PushPipeline+Direct.swift`). Two lanes of turns would be faster
/// only where Redis's answer takes longer than the work of a turn, and would have to give up that order. So would be
/// cheaper, and slower, turns that wait for company: with 300 µs between them 5,000 pushes a second cost 120 µs of CPU
/// each in all processes and not 165, and take 0.9 ms and not 0.24.
///
/// Who waits for its turn, and what a push is told that gets no verdicts, is decided in `PushQueue`; which nodes get
/// what, in `FanOut`; what became of it, and whom it has to follow, in `PushFollow`.
public final class PushPipeline<Table: RouteTable, Channel: Bus, Time: Clock>: Service
where Time.Duration == Duration {
    let table: Table
    let bus: Channel
    let inbox: (any Inbox)?
    let direct: (any DirectBus)?
    /// This process among all that send, so that replies find it.
    let sender: String
    let clock: Time
    let logger: Logger
    let queue: Mutex<PushQueue>
    let follow: Mutex<PushFollow>
    let inboxTrouble = Mutex<InboxError?>(nil)
    /// Whether a turn is being sent beside the one that is looked up.
    let isSending = Atomic(false)
    private let deadline: Duration
    private let began: Time.Instant
    private let executor: (any WorkExecutor)?
    private let wakeUps: AsyncStream<Void>
    let wakeUp: AsyncStream<Void>.Continuation
    private let alarm: Alarm<Time>

    /// - Parameters:
    ///   - table: answers each call within a time limit of its own.
    ///   - bus: answers each call within a time limit of its own.
    ///   - inbox: where durable pushes are kept; nil: they are refused.
    ///   - direct: takes a push that comes alone in one step; nil: look-up and publish are always two.
    ///   - sender: this process's name. In envelopes it has a random end, so that two processes of one name do not
    ///     get each other's replies.
    ///   - limits: how many pushes may wait, and how long; what is remembered of them.
    ///   - clock: what deadlines and durations are measured with.
    ///   - executor: where its tasks run; nil for Swift's own pool.
    ///   - logger: for what only the operator can mend.
    public convenience init(
        table: Table,
        bus: Channel,
        inbox: (any Inbox)? = nil,
        direct: (any DirectBus)? = nil,
        sender: String,
        limits: Limits = .standard,
        clock: Time,
        executor: (any WorkExecutor)? = nil,
        logger: Logger
    ) {
        var following = PushFollow.Bounds()
        following.heldMax = limits.pushesWaitingMax
        following.rememberedMax = limits.pushesRememberedMax
        following.rememberedBytesMax = limits.pushesRememberedBytesMax
        following.deadline = limits.pushDeadline
        following.search = limits.routedSearchMax
        self.init(
            table: table,
            bus: bus,
            inbox: inbox,
            direct: direct,
            sender: "\(sender)-\(String(UInt32.random(in: 0...(.max)), radix: 36))",
            bounds: PushQueue.Bounds(waitingMax: limits.pushesWaitingMax, deadline: limits.pushDeadline),
            following: following,
            clock: clock,
            executor: executor,
            logger: logger
        )
    }

    init(
        table: Table,
        bus: Channel,
        inbox: (any Inbox)? = nil,
        direct: (any DirectBus)? = nil,
        sender: String,
        bounds: PushQueue.Bounds,
        following: PushFollow.Bounds = PushFollow.Bounds(),
        random: UInt64 = .random(in: 0...(.max)),
        clock: Time,
        executor: (any WorkExecutor)? = nil,
        logger: Logger
    ) {
        self.table = table
        self.bus = bus
        self.inbox = inbox
        self.direct = direct
        self.sender = sender
        self.deadline = bounds.deadline
        self.clock = clock
        self.began = clock.now
        self.executor = executor
        self.logger = logger
        self.queue = Mutex(PushQueue(bounds))
        self.follow = Mutex(PushFollow(following, random: random))
        self.alarm = Alarm(clock)
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
            if wakes { soon { self.pushesWait() } }
            if let deadline = push.deadline { alarm.move(to: began.advanced(by: now + deadline)) }
            return ticket
        case .refused(let refusal):
            caller(.failure(refusal))
            return nil
        }
    }

    /// Takes a push back whose caller went away. If it is being sent already, it goes out all the same.
    func cancel(_ ticket: PushTicket) { cancel([ticket]) }

    /// The same for many, which looks through those that are held once.
    func cancel(_ tickets: [PushTicket]) {
        var elsewhere: Set<PushTicket> = []
        let settled = queue.withLock { queue in
            var settled: [SettledPush] = []
            for ticket in tickets {
                if let one = queue.cancel(ticket, at: now) {
                    settled.append(one)
                } else {
                    elsewhere.insert(ticket)
                }
            }
            return settled
        }
        tell(settled)
        guard !elsewhere.isEmpty else { return }
        let held = follow.withLock { $0.cancel(elsewhere, at: now) }
        guard !held.isEmpty else { return }
        queue.withLock { queue in
            for push in held { queue.refused(push, .callerGone, at: now) }
        }
        for push in held { push.caller(.failure(.callerGone)) }
        wake()
    }

    /// What it has done, and how many pushes wait now.
    var counters: (done: PipelineCounters, waiting: Int) {
        let followed = follow.withLock { $0.counters }
        var (done, waiting) = queue.withLock { ($0.counters, $0.depth) }
        done.follow = followed
        return (done, waiting)
    }

    /// What became of a push that this process sent; nil when it does not know, or not any more.
    func story(of id: PushID) -> PushStory? {
        follow.withLock { $0.story(of: id, process: sender, at: now) }
    }

    // MARK: Running

    /// Works until it is told to shut down gracefully and all accepted pushes are answered, or is cancelled:
    /// then those that are left are refused. Once only.
    public func run() async {
        await withGracefulShutdownHandler {
            await withTaskExecutorPreference(executor) {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { await self.keepTime() }
                    group.addTask { await self.hearReplies() }
                    await self.takeTurns()
                    group.cancelAll()
                }
            }
        } onGracefulShutdown: {
            if self.queue.withLock({ $0.drain() }) { self.wakeUp.yield() }
        }
        tell(queue.withLock { $0.close(at: now) })
        tell(follow.withLock { $0.close(at: now) })
    }

    private func takeTurns() async {
        var signals = wakeUps.makeAsyncIterator()
        var lastError: RouteTableError?
        await withTaskGroup(of: Void.self) { sending in
            while let taken = await nextTurn(&signals) {
                guard let turn = await kept(taken) else { continue }
                do throws(RouteTableError) {
                    let found = turn.pushes.isEmpty ? LookupAnswer() : try await lookUp(turn.pushes)
                    lastError = nil
                    let lookedUp = now
                    await sending.next()
                    isSending.store(true, ordering: .relaxed)
                    sending.addTask {
                        await self.send(turn, found, lookedUp)
                        self.isSending.store(false, ordering: .relaxed)
                    }
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
            if sendAlone() { continue }
            let (hasSearch, isIdle) = follow.withLock { ($0.hasDueSearch(at: now), $0.isIdle) }
            switch queue.withLock({ $0.nextTurn(evenEmpty: hasSearch) }) {
            case .turn(let turn): return turn
            case .finished where isIdle: return nil
            // Those that are held are answered by their receipts or by their deadlines.
            case .finished, .park: await signals.next(isolation: #isolation)
            }
        }
        return nil
    }

    private func lookUp(_ pushes: [Push]) async throws(RouteTableError) -> LookupAnswer {
        try await lookUp(FanOut.lookup(for: pushes))
    }

    func lookUp(_ lookup: Lookup) async throws(RouteTableError) -> LookupAnswer {
        let start = now
        let found = try await table.look(up: lookup)
        queue.withLock { $0.counters.lookupDuration.add(now - start) }
        return found
    }

    /// Refuses who is late, answers those whose receipts did not come, and starts the look-ups that are due. While
    /// nobody is here it looks again after one time limit: a push that comes in between is late after that at the
    /// earliest, so that no push has to wake it unless its deadline is shorter.
    private func keepTime() async {
        while !Task.isCancelled {
            let moments = [queue.withLock { $0.nextDeadline }, follow.withLock { $0.nextMoment() }]
            let next = moments.compactMap { $0 }.min() ?? now + deadline
            await alarm.sleep(until: began.advanced(by: next))
            tell(queue.withLock { $0.expire(at: now) })
            tell(follow.withLock { $0.expire(at: now) })
            followed()
        }
    }

    /// Listens on this process's own channel. What is pushed while that does not work is told truthfully.
    private func hearReplies() async {
        while !Task.isCancelled {
            do {
                try await bus.listen(to: .sender(sender)) { [weak self] event in self?.heard(event) }
            } catch is CancellationError {
                return
            } catch {
                logger.error("replies of nodes cannot be heard", metadata: ["reason": "\(error)"])
            }
            follow.withLock { $0.hearing(false, at: now) }
            try? await clock.sleep(until: clock.now.advanced(by: deadline), tolerance: nil)
        }
    }

    /// On a thread of the bus: a reply is a few receipts, and what they decide is handed over.
    private func heard(_ event: BusEvent) {
        switch event {
        case .subscribed: follow.withLock { $0.hearing(true, at: now) }
        case .lost(let reason):
            follow.withLock { $0.hearing(false, at: now) }
            logger.warning("replies of nodes do not arrive", metadata: ["reason": "\(reason)"])
        case .gap: break
        case .messages(let messages):
            for message in messages {
                guard let reply = try? Reply(wire: message) else {
                    follow.withLock { $0.counters.receiptsStrange += 1 }
                    continue
                }
                tell(follow.withLock { $0.received(reply, at: now) })
            }
        }
        followed()
    }

    // MARK: Settling

    var now: Duration { began.duration(to: clock.now) }

    /// Something became due, or somebody was let go: whoever forms turns or keeps the time looks again.
    func followed() {
        let (moment, hasSearch, isIdle) = follow.withLock {
            ($0.nextMoment(), $0.hasDueSearch(at: now), $0.isIdle)
        }
        if let moment { alarm.move(to: began.advanced(by: moment)) }
        if hasSearch || (isIdle && queue.withLock { $0.isDraining }) { wake() }
    }

    /// What else this moment brings comes first, so that it shares a turn.
    private func soon(_ work: @escaping @Sendable () -> Void) {
        if let executor { executor.run(work) } else { work() }
    }

    private func wake() {
        queue.withLock { $0.unpark() }
        wakeUp.yield()
    }

    func answer(_ turn: PushTurn, _ answers: [PushAnswer?]) {
        tell(queue.withLock { $0.answer(turn.number, turn.marked(answers), at: now) })
    }

    func fail(_ turn: PushTurn, _ refusal: PushRefusal) {
        tell(queue.withLock { $0.settle(turn.number, turn.results(of: refusal), at: now) })
    }

    /// Outside the lock: a caller's code runs here.
    func tell(_ settled: [SettledPush]) {
        for push in settled { push.caller(push.result) }
    }

    func tell(_ settled: [SettledFollow]) {
        guard !settled.isEmpty else { return }
        queue.withLock { queue in
            for one in settled { queue.answered(one, at: now) }
        }
        for one in settled { one.push.caller(.success(one.answer)) }
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
