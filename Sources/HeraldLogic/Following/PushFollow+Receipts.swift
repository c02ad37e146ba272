import HeraldCore

/// What comes back of pushes that are out, and the second look at those that missed somebody.
extension PushFollow {
    // MARK: Replies

    /// One push to one target: a few nodes with a few words each. More than that is somebody's mistake.
    private static let earlyMax = 256

    /// A node tells what became of deliveries.
    ///
    /// - Returns: who has to be told.
    mutating func received(_ reply: Reply, at now: Duration) -> [SettledFollow] {
        var touched: [UInt64] = []
        for receipt in reply.receipts {
            counters.receipts += 1
            guard let number = apply(receipt, from: reply.node, at: now) else {
                counters.receiptsStrange += 1
                continue
            }
            if touched.last != number { touched.append(number) }
        }
        return touched.compactMap { judge($0, at: now) }
    }

    /// The next push is published in the same step that finds its nodes: what they answer may be here before it is
    /// known who they are. Such receipts wait for `takeEarly`.
    mutating func expectEarly() { early = (nextNumber, []) }

    /// The push is known now, or was not sent after all.
    ///
    /// - Returns: who has to be told.
    mutating func takeEarly(at now: Duration) -> [SettledFollow] {
        guard let waiting = early.take(), !waiting.receipts.isEmpty else { return [] }
        var isTouched = false
        for (receipt, node) in waiting.receipts {
            if apply(receipt, from: node, at: now) == nil {
                counters.receiptsStrange += 1
            } else {
                isTouched = true
            }
        }
        return isTouched ? [judge(waiting.number, at: now)].compactMap { $0 } : []
    }

    /// - Returns: the push it was about; nil when nothing can be made of it.
    private mutating func apply(_ receipt: Receipt, from node: NodeID, at now: Duration) -> UInt64? {
        let number = receipt.ticket / 64
        if number == early?.number, early.map({ $0.receipts.count < Self.earlyMax }) == true {
            early?.receipts.append((receipt, node))
            return number
        }
        if pursuits[number] == nil, receipt.reach == nil { pursue(number, at: now) }
        guard
            let isNews = pursuits[number]?.received(
                receipt,
                from: node,
                round: Int(receipt.ticket % 64),
                at: now
            ), isNews
        else { return nil }
        if receipt.reach == nil { counters.receiptsNotHere += 1 }
        if ring[number]?.answered != nil { counters.receiptsLate += 1 }
        return number
    }

    /// Follows a push whose caller was told `routed` already: a route of it was stale.
    private mutating func pursue(_ number: UInt64, at now: Duration) {
        guard let record = ring[number], record.refusal == nil else { return }
        let deadline = record.accepted + (record.push.deadline ?? bounds.deadline)
        guard now < deadline else { return }
        pursuits[number] = Pursuit(
            record.push,
            accepted: record.accepted,
            deadline: deadline,
            searchEnd: min(now + bounds.search, deadline),
            found: record.answer.verdicts.map { verdict in verdict.nodes.map { Stop(node: $0) } },
            sent: record.sent
        )
    }

    // MARK: The second look

    /// Pushes are looked up again.
    mutating func secondLook(_ numbers: [UInt64], at now: Duration) -> SecondLook {
        var look = SecondLook()
        for number in numbers {
            pursuits[number]?.searchBegan(at: now)
            guard let pursuit = pursuits[number] else { continue }
            look.add(number, pursuit.strays, of: pursuit.push)
            counters.searches += 1
        }
        return look
    }

    /// The second look-up could not be answered.
    mutating func secondLookFailed(_ look: SecondLook, at now: Duration) -> [SettledFollow] {
        look.items.compactMap { judge($0.number, at: now) }
    }

    /// Where they are: what is sent there, and whose channels are tried.
    mutating func found(_ look: SecondLook, _ answer: LookupAnswer, at now: Duration) -> SecondSending {
        var sending = SecondSending(numbers: look.items.map(\.number))
        for item in look.items {
            let stops = item.targets.map { ($0.index, answer.stops($0.place)) }
            let onward = pursuits[item.number]?.foundAgain(stops, at: now) ?? []
            guard let pursuit = pursuits[item.number] else { continue }
            for leg in onward {
                let targets = leg.targets.map { pursuit.push.targets[$0] }
                let positions = pursuit.push.positions
                let delivery = Delivery(
                    push: pursuit.push.id,
                    message: pursuit.push.message,
                    targets: targets,
                    positions: positions.isEmpty ? [] : targets.map { positions[$0] },
                    exclude: Array(pursuit.push.exclude),
                    queuePolicy: pursuit.push.queuePolicy,
                    query: query(
                        item.number,
                        round: leg.round,
                        pursuit.push,
                        accepted: pursuit.accepted,
                        at: now
                    )
                )
                sending.add(delivery, to: leg.stop.node)
                counters.sentOnward += leg.targets.count
            }
            for node in pursuit.unheardNodes { sending.add(nil, to: node) }
        }
        return sending
    }

    /// The second sending is through.
    ///
    /// - Parameters:
    ///   - sending: what it was.
    ///   - missed: the nodes whose channels had no subscriber; nil when the bus did not confirm.
    ///   - now: the moment.
    /// - Returns: who has to be told.
    mutating func sentAgain(
        _ sending: SecondSending,
        missed: Set<NodeID>?,
        at now: Duration
    ) -> [SettledFollow] {
        let nodes = Set(sending.batches.map(\.node))
        return sending.numbers.compactMap { number in
            if let missed {
                pursuits[number]?.publishedAgain(listening: nodes.subtracting(missed), missed: missed)
            } else if sending.onward.contains(pursuits[number]?.push.id) {
                pursuits[number]?.unconfirmed()
            }
            return judge(number, at: now)
        }
    }
}

/// What a second look comes to.
struct SecondSending {
    /// The pushes it is about, oldest first.
    var numbers: [UInt64]
    /// What goes to each node; without deliveries where only a listener is looked for.
    private(set) var batches: [NodeBatch] = []
    /// The pushes of which something is sent.
    private(set) var onward: Set<PushID?> = []

    init(numbers: [UInt64] = []) { self.numbers = numbers }

    fileprivate mutating func add(_ delivery: Delivery?, to node: NodeID) {
        let place = batches.firstIndex { $0.node == node } ?? batches.count
        if place == batches.count { batches.append(NodeBatch(node: node, deliveries: [])) }
        guard let delivery else { return }
        batches[place].deliveries.append(delivery)
        onward.insert(delivery.push)
    }

    /// These batches in front of those of a turn: what was accepted earlier goes out earlier.
    func before(_ turn: [NodeBatch]) -> [NodeBatch] {
        var all = batches
        for batch in turn {
            if let place = batches.firstIndex(where: { $0.node == batch.node }) {
                all[place].deliveries += batch.deliveries
            } else {
                all.append(batch)
            }
        }
        return all
    }
}

/// A caller that waits for a push to be followed.
struct HeldPush: Sendable {
    let ticket: PushTicket
    let accepted: Duration
    let caller: PushCaller
}

/// A held push that is answered, and who has to be told.
struct SettledFollow: Sendable {
    let push: HeldPush
    let answer: PushAnswer
}

/// Whom pushes may come to, as far as names tell.
struct Audience {
    private var users: Set<UserID> = []
    /// A room may hold any user, and everyone is every user.
    private var isWide = false
    private var isEmpty = true

    init(_ pushes: [Push]) {
        for push in pushes {
            isEmpty = false
            for target in push.targets {
                if let user = target.user { users.insert(user) } else { isWide = true }
            }
        }
    }

    /// Whether a push may come to one of them.
    func overlaps(_ push: Push) -> Bool {
        guard !isEmpty else { return false }
        if isWide { return true }
        return push.targets.contains { target in target.user.map(users.contains) ?? true }
    }
}

extension Target {
    /// Whose connections it names; nil for a room and everyone.
    fileprivate var user: UserID? {
        switch self {
        case .user(let user): user
        case .key(let key): key.user
        case .room, .everyone: nil
        }
    }
}

/// What became of pushes that were out.
struct FollowCounters: Sendable, Equatable {
    /// Receipts that came, and those of them that said "not here", that came after the answer, and that belong to
    /// no push that is known.
    var receipts = 0
    var receiptsNotHere = 0
    var receiptsLate = 0
    var receiptsStrange = 0
    /// Look-ups of single pushes because a node did not listen or did not have the target.
    var searches = 0
    /// Targets that were sent on to where they had moved.
    var sentOnward = 0
    /// Pushes that were not looked up again because too many were.
    var searchesRefused = 0
    /// Pushes whose callers wait for receipts now.
    var held = 0
}
