import HeraldCore

/// The decisions of `PushPipeline`: who waits, what makes a turn, who is late. It does no I/O and reads no clock:
/// every moment comes in as the time since the pipeline began.
///
/// A push is
///
///     waiting ──▶ looking up ──▶ sending ──▶ settled
///
/// and may be settled from each of them: by its deadline, by its caller's cancellation, by a failure of its turn
/// or by the end of the queue. Who is settled while being looked up is not sent any more; who is settled while
/// being sent is told that it may have gone out. A push is settled once: whatever comes later for it is ignored.
///
/// The queue is
///
///     open ──drain──▶ draining ──close──▶ closed
///
/// Open and draining form turns, draining takes no more pushes, closed has none. A turn takes what waits, oldest
/// first, up to a bound; turns follow each other strictly, so that the order of pushes is the order of turns.
///
/// Every push waits for Redis so long at most, so the order of acceptance is the order of deadlines too, and
/// looking for the late ones stops at the first that is not. Those that named a shorter one are in a heap as well.
/// A push that is out and whose verdicts are not known yet leaves the queue: `PushFollow` holds it from then on.
struct PushQueue: ~Copyable {
    /// What this queue has done; read by `/metrics`.
    var counters = PipelineCounters()

    private let bounds: Bounds
    /// Internal, as what follows, for `PushQueue+Alone.swift`.
    var stage: Stage = .open
    var waiting: [Entry] = []
    /// Those of `waiting` that are not settled.
    var waitingCount = 0
    var alone = Alone.nobody
    private var waitingBytes = 0
    private var waitingTargets = 0
    /// Oldest first. The one being sent, the one being looked up; never more than these.
    var turns: [TurnEntries] = []
    /// Whether who calls `nextTurn` was told to wait for a wake-up.
    var isParked = false
    /// Pushes with a deadline shorter than the others', by ticket.
    private var shortDeadlines = MomentHeap()
    private var lastTicket: UInt64 = 0
    private var lastTurn: UInt64 = 0

    enum Stage { case open, draining, closed }

    struct Entry {
        let ticket: PushTicket
        let push: Push
        let accepted: Duration
        /// `push.weightBytes`.
        let bytes: Int
        /// Nil once settled.
        var caller: PushCaller?

        mutating func settle(
            _ result: Result<PushAnswer, PushRefusal>,
            at now: Duration,
            _ counters: inout PipelineCounters
        ) -> SettledPush? {
            guard let caller else { return nil }
            self.caller = nil
            counters.settled(result, after: now - accepted)
            return SettledPush(caller: caller, result: result)
        }
    }

    struct TurnEntries {
        let number: UInt64
        var isSending = false
        var entries: [Entry]
    }

    init(_ bounds: Bounds) { self.bounds = bounds }

    // MARK: Pushes come

    mutating func submit(_ push: Push, at now: Duration, _ caller: @escaping PushCaller) -> Submission {
        guard stage == .open else { return refuse(.stopping) }
        let bytes = push.weightBytes
        guard waitingCount < bounds.waitingMax, waitingBytes + bytes <= bounds.waitingBytesMax else {
            return refuse(.tooManyWaiting)
        }
        if waiting.count >= 2 * bounds.waitingMax { waiting.removeAll { $0.caller == nil } }
        lastTicket += 1
        let ticket = PushTicket(number: lastTicket)
        waiting.append(Entry(ticket: ticket, push: push, accepted: now, bytes: bytes, caller: caller))
        if let deadline = push.deadline, deadline < bounds.deadline {
            shortDeadlines.insert(ticket.number, at: now + deadline)
        }
        waitingCount += 1
        waitingBytes += bytes
        waitingTargets += push.targets.count
        counters.accepted += 1
        defer { isParked = false }
        return .accepted(ticket, wakes: isParked)
    }

    private mutating func refuse(_ refusal: PushRefusal) -> Submission {
        counters.refused[refusal.code, default: 0] += 1
        return .refused(refusal)
    }

    // MARK: Turns go

    /// - Parameter evenEmpty: whether a turn without pushes has something to do, because pushes of earlier turns
    ///   are to be looked up again.
    /// - Returns: a turn, or what to do without one.
    mutating func nextTurn(evenEmpty: Bool = false) -> NextTurn {
        if let next = turnAfterAlone() { return next }
        let entries = takeTurn()
        if !entries.isEmpty {
            lastTurn += 1
            turns.append(TurnEntries(number: lastTurn, entries: entries))
            let turn = PushTurn(
                number: lastTurn,
                pushes: entries.map(\.push),
                accepted: entries.map(\.accepted)
            )
            counters.turns += 1
            counters.turnPushes += entries.count
            return .turn(turn)
        }
        if evenEmpty {
            lastTurn += 1
            return .turn(PushTurn(number: lastTurn, pushes: [], accepted: []))
        }
        guard stage == .open else { return .finished }
        isParked = true
        return .park
    }

    /// Who waits for a turn was woken by something else than a push.
    mutating func unpark() { isParked = false }

    private mutating func takeTurn() -> [Entry] {
        let isOneTurn = waitingTargets <= bounds.turnTargetsMax && waitingBytes <= bounds.turnBytesMax
        if isOneTurn, waitingCount == waiting.count {
            let entries = waiting
            waiting = []
            (waitingCount, waitingBytes, waitingTargets) = (0, 0, 0)
            return entries
        }
        return takePart()
    }

    /// What waits, oldest first, up to the bounds of a turn; those that are settled are let go.
    private mutating func takePart() -> [Entry] {
        var entries: [Entry] = []
        var targets = 0
        var bytes = 0
        var taken = 0
        for entry in waiting {
            if entry.caller != nil {
                targets += entry.push.targets.count
                bytes += entry.bytes
                let isOverfull = targets > bounds.turnTargetsMax || bytes > bounds.turnBytesMax
                if isOverfull, !entries.isEmpty { break }
                entries.append(entry)
            }
            taken += 1
        }
        if taken == waiting.count { waiting = [] } else { waiting.removeFirst(taken) }
        waitingCount -= entries.count
        for entry in entries {
            waitingBytes -= entry.bytes
            waitingTargets -= entry.push.targets.count
        }
        return entries
    }

    /// Asks what of a turn shall be sent. Called before each sending of the turn.
    ///
    /// - Parameters:
    ///   - number: the turn's.
    ///   - kept: those that are in inboxes; they are sent though they are settled.
    /// - Returns: what to send.
    mutating func beginSending(_ number: UInt64, kept: Set<PushID> = []) -> Sending {
        guard let index = turns.firstIndex(where: { $0.number == number }) else { return .nothingLeft }
        let entries = turns[index].entries
        let settled = entries.filter { $0.caller == nil && !kept.contains($0.push.id) }
        guard settled.count < entries.count else {
            turns.remove(at: index)
            return .nothingLeft
        }
        turns[index].isSending = true
        return .send(without: Set(settled.map(\.push.id)))
    }

    // MARK: Pushes are settled

    /// Settles pushes of a turn with their verdicts.
    ///
    /// - Parameters:
    ///   - number: the turn's.
    ///   - answers: one for each push of the turn, in order; nil for one that is not known yet.
    ///   - now: the moment.
    /// - Returns: who has to be told.
    mutating func answer(_ number: UInt64, _ answers: [PushAnswer?], at now: Duration) -> [SettledPush] {
        settle(number, at: now) { index in
            index < answers.count ? answers[index].map(Result.success) : nil
        }
    }

    /// Takes out the pushes of a turn whose verdicts are not known yet, and settles the others.
    ///
    /// - Parameters:
    ///   - number: the turn's.
    ///   - answers: one for each push of the turn, in order; nil for one that leaves unsettled.
    ///   - now: the moment.
    /// - Returns: who has to be told; and for each push that leaves its place in the turn, with its caller.
    mutating func leave(
        _ number: UInt64,
        _ answers: [PushAnswer?],
        at now: Duration
    ) -> (settled: [SettledPush], leaving: [(place: Int, push: HeldPush)]) {
        guard let turn = turns.firstIndex(where: { $0.number == number }) else { return ([], []) }
        var leaving: [(place: Int, push: HeldPush)] = []
        for index in turns[turn].entries.indices where answers[index] == nil {
            let entry = turns[turn].entries[index]
            guard let caller = entry.caller else { continue }
            let push = HeldPush(ticket: entry.ticket, accepted: entry.accepted, caller: caller)
            turns[turn].entries[index].caller = nil
            leaving.append((index, push))
        }
        return (answer(number, answers, at: now), leaving)
    }

    /// Settles those pushes of a turn that have a result; one for each push of the turn, in order.
    mutating func settle(
        _ number: UInt64,
        _ results: [Result<PushAnswer, PushRefusal>?],
        at now: Duration
    ) -> [SettledPush] {
        settle(number, at: now) { $0 < results.count ? results[$0] : nil }
    }

    private mutating func settle(
        _ number: UInt64,
        at now: Duration,
        _ result: (Int) -> Result<PushAnswer, PushRefusal>?
    ) -> [SettledPush] {
        guard let turn = turns.firstIndex(where: { $0.number == number }) else { return [] }
        var settled: [SettledPush] = []
        settled.reserveCapacity(turns[turn].entries.count)
        var isOver = true
        for index in turns[turn].entries.indices {
            guard turns[turn].entries[index].caller != nil else { continue }
            guard let result = result(index) else {
                isOver = false
                continue
            }
            if let one = turns[turn].entries[index].settle(result, at: now, &counters) { settled.append(one) }
        }
        if isOver { turns.remove(at: turn) }
        return settled
    }

    /// When the next push is late; nil when there is none.
    var nextDeadline: Duration? {
        guard let first = nextOrderly else { return nil }
        return shortDeadlines.first.map { min($0.moment, first) } ?? first
    }

    /// The deadline of the oldest push that has the usual one.
    private var nextOrderly: Duration? {
        for turn in turns {
            if let entry = turn.entries.first(where: { $0.caller != nil }) {
                return entry.accepted + bounds.deadline
            }
        }
        return waiting.first { $0.caller != nil }.map { $0.accepted + bounds.deadline }
    }

    /// Settles everybody who is late.
    mutating func expire(at now: Duration) -> [SettledPush] {
        var settled: [SettledPush] = []
        while let number = shortDeadlines.takeDue(at: now) {
            let ticket = PushTicket(number: number)
            if let one = settle(ticket, unsent: .lateUnsent, maybeSent: .lateMaybeSent, at: now) {
                settled.append(one)
            }
        }
        settled += settleAll(unsent: .lateUnsent, maybeSent: .lateMaybeSent, at: now) { [bounds] entry in
            entry.accepted + bounds.deadline <= now
        }
        return settled
    }

    /// Settles a push whose caller went away. One that is being sent goes out all the same.
    mutating func cancel(_ ticket: PushTicket, at now: Duration) -> SettledPush? {
        settle(ticket, unsent: .callerGone, maybeSent: .callerGone, at: now)
    }

    private mutating func settle(
        _ ticket: PushTicket,
        unsent: PushRefusal,
        maybeSent: PushRefusal,
        at now: Duration
    ) -> SettledPush? {
        if let index = Self.find(ticket, in: waiting) { return settleWaiting(index, unsent, at: now) }
        for turn in turns.indices {
            guard let index = Self.find(ticket, in: turns[turn].entries) else { continue }
            let isSafe = !turns[turn].isSending && !turns[turn].entries[index].push.isDurable
            let refusal = isSafe ? unsent : maybeSent
            return turns[turn].entries[index].settle(.failure(refusal), at: now, &counters)
        }
        return nil
    }

    /// Takes no more pushes and goes on until those that are here are settled.
    ///
    /// - Returns: whether who waits for a turn has to be woken.
    mutating func drain() -> Bool {
        if stage == .open { stage = .draining }
        defer { isParked = false }
        return isParked
    }

    /// Takes no more pushes and settles those that are here.
    mutating func close(at now: Duration) -> [SettledPush] {
        stage = .closed
        let settled = settleAll(unsent: .stopping, maybeSent: .stoppedMaybeSent, at: now) { _ in true }
        turns = []
        return settled
    }

    /// Whether no more pushes are taken.
    var isDraining: Bool { stage != .open }

    /// What waits now, in pushes.
    var depth: Int { waitingCount }

    private mutating func settleAll(
        unsent: PushRefusal,
        maybeSent: PushRefusal,
        at now: Duration,
        while isDue: (borrowing Entry) -> Bool
    ) -> [SettledPush] {
        var settled: [SettledPush] = []
        for turn in turns.indices {
            let isSending = turns[turn].isSending
            for index in turns[turn].entries.indices where turns[turn].entries[index].caller != nil {
                guard isDue(turns[turn].entries[index]) else { return settled }
                // What is kept before it is sent may be in an inbox by now.
                let isSafe = !isSending && !turns[turn].entries[index].push.isDurable
                let refusal = isSafe ? unsent : maybeSent
                if let one = turns[turn].entries[index].settle(.failure(refusal), at: now, &counters) {
                    settled.append(one)
                }
            }
        }
        var over = 0
        for index in waiting.indices {
            if waiting[index].caller != nil {
                guard isDue(waiting[index]) else { break }
                if let one = settleWaiting(index, unsent, at: now) { settled.append(one) }
            }
            over += 1
        }
        waiting.removeFirst(over)
        return settled
    }

    private mutating func settleWaiting(
        _ index: Int,
        _ refusal: PushRefusal,
        at now: Duration
    ) -> SettledPush? {
        guard let settled = waiting[index].settle(.failure(refusal), at: now, &counters) else { return nil }
        waitingCount -= 1
        waitingBytes -= waiting[index].bytes
        waitingTargets -= waiting[index].push.targets.count
        return settled
    }

    /// Tickets grow, so that entries are in their order.
    private static func find(_ ticket: PushTicket, in entries: [Entry]) -> Int? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].ticket.number < ticket.number { low = middle + 1 } else { high = middle }
        }
        return low < entries.count && entries[low].ticket == ticket ? low : nil
    }
}
