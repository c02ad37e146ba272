import HeraldCore

/// The decisions about pushes that are out: what is kept of each, who still waits for receipts, which have to be
/// looked up again. It does no I/O and reads no clock: every moment comes in as the time since the pipeline began.
///
/// A push that was handed to the bus is
///
///     sending ──▶ answered                       routed, every node listened
///        │            │
///        │            └─"not here"─▶ searching ──▶ answered     its verdicts are corrected, nobody waits
///        └──▶ held ──▶ answered                  waits for receipts, or for a node that did not listen
///
/// A held push is answered when nothing more can be learned, or at its deadline. Whatever is heard later corrects
/// what `GET /v1/pushes/{id}` says and is counted.
///
/// Order. What was accepted later must not overtake what is looked up again. So nothing waits for a dead node, and
/// whoever sends asks `secondLook` first: strays that a push of this turn could overtake (the same user, or a room
/// or everyone on either side) are looked up again before it goes out, after its own look-up, and are sent in front
/// of it. Whatever the push's look-up saw, the stray's saw the same or newer; so when both reach the new session,
/// they do so in order. A route that turns out to be stale only after a later push went to the new place is the one
/// exception: the first push follows behind it.
struct PushFollow: ~Copyable {
    /// What this has done; added to the pipeline's counters by whoever reads them.
    var counters = FollowCounters()

    let bounds: Bounds
    var ring: PushRing
    var pursuits: [UInt64: Pursuit] = [:]
    private var held: [UInt64: HeldPush] = [:]
    private var heldBytes = 0
    /// Pushes with strays, oldest first.
    private var searching: [UInt64] = []
    private var moments = MomentHeap()
    /// Nil while replies arrive.
    private var deafSince: Duration? = .zero
    /// What came back of the push with this number before anything else was known of it.
    var early: (number: UInt64, receipts: [(receipt: Receipt, node: NodeID)])?
    private var heardAgain: Duration = .zero

    struct Bounds: Sendable {
        /// Pushes that may be held at once, and their payloads: as many as may wait.
        var heldMax = 10_000
        var heldBytesMax = 64 * 1024 * 1024
        /// Pushes that may be searched for at once: each turn may look all of them up, 4,000 in 5 ms of Redis.
        var searchingMax = 4000
        /// What is remembered.
        var rememberedMax = Limits.standard.pushesRememberedMax
        var rememberedBytesMax = Limits.standard.pushesRememberedBytesMax
        /// How long a push without a deadline of its own is followed.
        var deadline = Limits.standard.pushDeadline
        /// How long a push that asks for `routed` only is looked up again.
        var search = Limits.standard.routedSearchMax
    }

    /// - Parameters:
    ///   - bounds: of what is kept.
    ///   - random: where this process's tickets begin.
    init(_ bounds: Bounds, random: UInt64) {
        self.bounds = bounds
        // Above a ticket's number are the six bits of its round, and room to count.
        ring = PushRing(
            first: 1 + random >> 8,
            countMax: bounds.rememberedMax,
            bytesMax: bounds.rememberedBytesMax
        )
    }

    // MARK: Sending

    /// What the deliveries of the next pushes ask for: the first of them has this number, and so on.
    var nextNumber: UInt64 { ring.nextNumber }

    /// What one delivery asks its node.
    ///
    /// The node's last word has to come before the deadline, and its clock ticks in 50 ms: so it gets an eighth of
    /// a second less, or half of what is left where that is little.
    func query(
        _ number: UInt64,
        round: Int = 0,
        _ push: Push,
        accepted: Duration,
        at now: Duration
    ) -> ReceiptQuery {
        let left = accepted + (push.deadline ?? bounds.deadline) - now
        let patience =
            left >= .milliseconds(250) ? left - .milliseconds(125) : max(left / 2, .milliseconds(1))
        return ReceiptQuery(ticket: number &* 64 &+ UInt64(round), confirm: push.confirm, patience: patience)
    }

    /// The pushes of a turn are handed to the bus. They get the numbers from `nextNumber` on.
    ///
    /// - Parameters:
    ///   - turn: the pushes.
    ///   - settled: those of them that are not sent any more.
    ///   - answers: what they will be told if every node listens, in the same order, all of them.
    ///   - found: the answer to the look-up of all of them.
    ///   - lookedUp: when it came.
    ///   - now: the moment.
    mutating func sending(
        _ turn: PushTurn,
        without settled: Set<PushID>,
        answers: [PushAnswer],
        found: LookupAnswer,
        lookedUp: Duration,
        at now: Duration
    ) {
        var cursor = StopCursor(found)
        ring.dropPayloads(before: now - bounds.deadline, at: now)
        for (index, push) in turn.pushes.enumerated() {
            guard settled.isEmpty || !settled.contains(push.id) else {
                cursor.skip(push)
                ring.append(nil)
                continue
            }
            let number = ring.nextNumber
            if push.confirm == .routed {
                cursor.skip(push)
            } else {
                let stops = push.targets.map { cursor.next($0) }
                pursuits[number] = pursuit(push, accepted: turn.accepted[index], found: stops, sent: now)
            }
            ring.append(
                PushRecord(
                    push: push,
                    accepted: turn.accepted[index],
                    lookedUp: lookedUp,
                    sent: now,
                    answer: answers[index]
                )
            )
        }
        forgetEvicted()
    }

    /// The bus took the pushes of a turn, or some of their nodes did not listen.
    ///
    /// - Parameters:
    ///   - first: the number of the turn's first push.
    ///   - turn: the turn.
    ///   - answers: what its pushes are told if nobody was missed.
    ///   - found: the answer to its look-up.
    ///   - missed: the nodes whose channels had no subscriber.
    ///   - now: the moment.
    /// - Returns: for each push of the turn the answer that stands; nil: it is to be held.
    mutating func sent(
        _ first: UInt64,
        _ turn: PushTurn,
        answers: [PushAnswer],
        found: LookupAnswer,
        missed: Set<NodeID>,
        at now: Duration
    ) -> [PushAnswer?] {
        var cursor = StopCursor(found)
        var standing: [PushAnswer?] = answers
        for (index, push) in turn.pushes.enumerated() {
            let number = first + UInt64(index)
            let isMissed =
                !missed.isEmpty
                && answers[index].verdicts.contains { $0.nodes.contains(where: missed.contains) }
            if isMissed, pursuits[number] == nil, ring.holds(number) {
                let stops = push.targets.map { cursor.next($0) }
                pursuits[number] = pursuit(push, accepted: turn.accepted[index], found: stops, sent: now)
            } else {
                cursor.skip(push)
            }
            guard pursuits[number] != nil else {
                noteAnswered(number, at: now)
                continue
            }
            if isMissed { pursuits[number]?.published(missed: missed) }
            standing[index] = nil
        }
        return standing
    }

    /// The bus did not confirm a turn: its pushes are told so, and not followed.
    ///
    /// - Parameters:
    ///   - first: the number of the turn's first push.
    ///   - results: what each push of the turn is told, in order.
    ///   - now: the moment.
    mutating func failed(
        _ first: UInt64,
        _ results: [Result<PushAnswer, PushRefusal>?],
        at now: Duration
    ) {
        for (index, result) in results.enumerated() {
            let number = first + UInt64(index)
            forget(number)
            guard ring.holds(number) else { continue }
            ring[number]?.answered = now
            switch result {
            case .success(let answer): ring[number]?.answer = answer
            case .failure(let refusal): ring[number]?.refusal = refusal
            case nil: break
            }
        }
    }

    /// A caller waits for a push that `sent` did not answer; or nobody does any more.
    ///
    /// - Returns: who has to be told, if all is known already.
    mutating func hold(_ number: UInt64, _ push: HeldPush?, at now: Duration) -> SettledFollow? {
        guard let push, let pursuit = pursuits[number] else { return judge(number, at: now) }
        held[number] = push
        heldBytes += pursuit.push.weightBytes
        counters.held += 1
        if held.count > bounds.heldMax || heldBytes > bounds.heldBytesMax {
            return settle(
                number,
                at: now,
                because: "too many pushes wait for receipts; this one is not followed"
            )
        }
        moments.insert(number, at: pursuit.deadline)
        return judge(number, at: now)
    }

    // MARK: Time

    /// When something has to be done without being asked: settle somebody, or look somebody up again.
    mutating func nextMoment() -> Duration? {
        while let first = moments.first {
            if let pursuit = pursuits[first.number] {
                let isDeadline = held[first.number] != nil && pursuit.deadline == first.moment
                if isDeadline || pursuit.nextTry == first.moment { return first.moment }
            }
            moments.removeFirst()
        }
        return nil
    }

    /// Settles who is late, and lets those go that were searched for long enough.
    mutating func expire(at now: Duration) -> [SettledFollow] {
        var settled: [SettledFollow] = []
        while let number = moments.takeDue(at: now) {
            guard let pursuit = pursuits[number], pursuit.deadline <= now, held[number] != nil else {
                continue
            }
            if let one = settle(number, at: now) { settled.append(one) }
        }
        return settled
    }

    /// Whether strays have to be looked up now.
    func hasDueSearch(at now: Duration) -> Bool {
        searching.contains { number in (pursuits[number]?.nextTry).map { $0 <= now } ?? false }
    }

    /// Whether nothing is to be looked up again, now or later.
    var hasNoSearch: Bool { searching.isEmpty }

    /// Whether nobody waits and nothing is searched for.
    var isIdle: Bool { held.isEmpty && searching.isEmpty }

    // MARK: Settling

    /// Settles a held push if nothing more can be learned; plans its next look-up if there are strays.
    mutating func judge(_ number: UInt64, at now: Duration) -> SettledFollow? {
        guard pursuits[number] != nil else { return nil }
        pursuits[number]?.schedule(at: now)
        if let next = pursuits[number]?.nextTry {
            if beginSearch(number) {
                moments.insert(number, at: next)
            } else {
                pursuits[number]?.giveUp()
                counters.searchesRefused += 1
            }
        } else {
            searching.removeAll { $0 == number }
        }
        guard pursuits[number]?.isComplete == true else { return nil }
        return settle(number, at: now)
    }

    /// - Returns: false when too many are searched for.
    private mutating func beginSearch(_ number: UInt64) -> Bool {
        var place = searching.count
        while place > 0, searching[place - 1] > number { place -= 1 }
        if place > 0, searching[place - 1] == number { return true }
        guard searching.count < bounds.searchingMax else { return false }
        searching.insert(number, at: place)
        return true
    }

    /// Answers a push as things stand.
    private mutating func settle(
        _ number: UInt64,
        at now: Duration,
        because reason: String? = nil
    ) -> SettledFollow? {
        guard let pursuit = pursuits[number] else { return nil }
        var answer = pursuit.answer(isDeaf: isDeaf(since: pursuit.legs.first?.sent ?? now))
        if let reason {
            for index in answer.verdicts.indices where answer.verdicts[index].verdict == .unreachable {
                answer.verdicts[index].reason = reason
            }
        }
        searching.removeAll { $0 == number }
        if ring.holds(number) {
            if ring[number]?.answered == nil {
                ring[number]?.answer = answer
                ring[number]?.answered = now
            }
        } else {
            pursuits[number] = nil
        }
        guard let push = held.removeValue(forKey: number) else { return nil }
        pursuits[number]?.giveUp()
        heldBytes -= pursuit.push.weightBytes
        counters.held -= 1
        return SettledFollow(push: push, answer: answer)
    }

    /// A caller went away. What is out stays out.
    ///
    /// - Returns: those of its pushes that were held, in the order in which they were accepted.
    mutating func cancel(_ tickets: Set<PushTicket>, at now: Duration) -> [HeldPush] {
        let gone = held.filter { tickets.contains($0.value.ticket) }.sorted { $0.key < $1.key }
        for (number, _) in gone { _ = settle(number, at: now) }
        return gone.map(\.value)
    }

    /// Answers everybody as things stand.
    mutating func close(at now: Duration) -> [SettledFollow] {
        held.keys.sorted().compactMap { settle($0, at: now) }
    }

    // MARK: Replies

    /// Replies arrive, or do not.
    mutating func hearing(_ isHearing: Bool, at now: Duration) {
        if isHearing {
            if deafSince != nil { heardAgain = now }
            deafSince = nil
        } else if deafSince == nil {
            deafSince = now
        }
    }

    /// Whether replies arrive now.
    var isHearing: Bool { deafSince == nil }

    func isDeaf(since moment: Duration) -> Bool { deafSince != nil || heardAgain > moment }

    // MARK: Searching

    /// Pushes whose strays are looked up now, oldest first.
    func toSearch(besides pushes: [Push], at now: Duration) -> [UInt64] {
        guard !searching.isEmpty else { return [] }
        let reach = Audience(pushes)
        return searching.filter { number in
            guard let pursuit = pursuits[number], let next = pursuit.nextTry else { return false }
            return next <= now || reach.overlaps(pursuit.push)
        }
    }

    private func pursuit(_ push: Push, accepted: Duration, found: [[Stop]], sent: Duration) -> Pursuit {
        let deadline = accepted + (push.deadline ?? bounds.deadline)
        let search = push.confirm == .routed && push.deadline == nil ? sent + bounds.search : deadline
        return Pursuit(
            push,
            accepted: accepted,
            deadline: deadline,
            searchEnd: min(search, deadline),
            found: found,
            sent: sent
        )
    }

    private mutating func noteAnswered(_ number: UInt64, at now: Duration) {
        if ring.holds(number) { ring[number]?.answered = now }
    }

    private mutating func forgetEvicted() {
        let evicted = ring.takeEvicted()
        guard !pursuits.isEmpty else { return }
        for number in evicted where held[number] == nil { forget(number) }
    }

    /// Follows it no more; nobody waits for it.
    private mutating func forget(_ number: UInt64) {
        guard pursuits.removeValue(forKey: number) != nil else { return }
        searching.removeAll { $0 == number }
    }
}
