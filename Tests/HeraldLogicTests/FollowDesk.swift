import HeraldCore

@testable import HeraldLogic

/// A `PushFollow` and a book of what callers were told. Does with its answers what the pipeline does.
final class FollowDesk {
    private(set) var follow: PushFollow
    private var lastTicket: UInt64 = 0
    private var tickets: [String: PushTicket] = [:]
    /// `a written cloud-1`, in the order in which callers were told.
    private(set) var told: [String] = []
    private(set) var answers: [String: PushAnswer] = [:]
    private var turn: UInt64 = 0

    init(_ bounds: PushFollow.Bounds = PushFollow.Bounds(), random: UInt64 = 0) {
        follow = PushFollow(bounds, random: random)
        follow.hearing(true, at: .zero)
    }

    /// Sends one push, found at these places (`cloud-1#7`) for each of its targets.
    ///
    /// - Returns: its number.
    @discardableResult
    func send(
        _ push: Push,
        found places: [[String]],
        missed: Set<String> = [],
        accepted: Duration? = nil,
        at now: Duration = .zero,
        before: (UInt64) throws -> Void = { _ in }
    ) throws -> UInt64 {
        turn += 1
        let found = try answer(push.targets, places)
        let first = follow.nextNumber
        let turn = PushTurn(number: turn, pushes: [push], accepted: [accepted ?? now])
        let answers = FanOut([push], found: found).answers(missed: [])
        follow.sending(turn, without: [], answers: answers, found: found, lookedUp: now, at: now)
        try before(first)
        let nodes = Set(try missed.map { try NodeID($0) })
        let standing = follow.sent(first, turn, answers: answers, found: found, missed: nodes, at: now)
        if let answer = standing[0] {
            note(push.id, answer)
        } else if let settled = follow.hold(first, held(push.id), at: now) {
            tell([settled])
        }
        return first
    }

    /// Sends one push, which the bus does not confirm; something may happen before that is known.
    func fail(_ push: Push, found places: [[String]], before: (UInt64) throws -> Void = { _ in }) throws {
        let found = try answer(push.targets, places)
        let turn = PushTurn(number: 1, pushes: [push], accepted: [.zero])
        let answers = FanOut([push], found: found).answers(missed: [])
        let first = follow.nextNumber
        follow.sending(turn, without: [], answers: answers, found: found, lookedUp: .zero, at: .zero)
        try before(first)
        follow.failed(first, turn.results(of: .busUnavailable), at: .zero)
    }

    /// A node's receipts: for each target its reach, and whether it is the last word.
    func receive(
        _ node: String,
        _ number: UInt64,
        _ reach: Reach?...,
        round: UInt64 = 0,
        isFinal: Bool = true,
        at now: Duration = .zero
    ) throws {
        let receipts = reach.enumerated().map { index, reach in
            Receipt(ticket: number * 64 + round, target: index, reach: reach, isFinal: isFinal)
        }
        tell(follow.received(Reply(node: try NodeID(node), receipts: receipts), at: now))
    }

    func receiveOne(_ receipt: Receipt, from node: NodeID, at now: Duration) {
        tell(follow.received(Reply(node: node, receipts: [receipt]), at: now))
    }

    /// Looks strays up that are due, or that these pushes could overtake, and sends them on. `places`: where each
    /// stray is found, in the order of the look-up's targets. Tells what was sent where: `cloud-2: a`, and
    /// `cloud-1:` where only a listener was looked for.
    func search(
        besides pushes: [Push] = [],
        found places: [[String]],
        missed: Set<String> = [],
        confirmed: Bool = true,
        at now: Duration
    ) throws -> [String] {
        let numbers = follow.toSearch(besides: pushes, at: now)
        let look = follow.secondLook(numbers, at: now)
        var targets = look.lookup.users.map(Target.user) + look.lookup.keys.map(Target.key)
        targets += look.lookup.rooms.map(Target.room)
        if look.lookup.everyone { targets.append(.everyone) }
        let sending = follow.found(look, try answer(targets, places), at: now)
        let nodes = Set(try missed.map { try NodeID($0) })
        tell(follow.sentAgain(sending, missed: confirmed ? nodes : nil, at: now))
        return sending.batches.map { batch in
            (["\(batch.node):"] + batch.deliveries.map { "\($0.push)" }).joined(separator: " ")
        }
    }

    func expire(at now: Duration) { tell(follow.expire(at: now)) }
    func close(at now: Duration) { tell(follow.close(at: now)) }
    func nextMoment() -> Duration? { follow.nextMoment() }
    func hearing(_ isHearing: Bool, at now: Duration) { follow.hearing(isHearing, at: now) }

    func cancel(_ name: String, at now: Duration) -> Bool {
        tickets[name].map { !follow.cancel([$0], at: now).isEmpty } ?? false
    }

    func toSearch(besides pushes: [Push], at now: Duration) -> [UInt64] {
        follow.toSearch(besides: pushes, at: now)
    }

    func story(_ name: String, at now: Duration = .zero) throws -> PushStory? {
        follow.story(of: try PushID(name), process: "logic-test", at: now)
    }

    var counters: FollowCounters { follow.counters }
    var isIdle: Bool { follow.isIdle }

    func patience(_ push: Push, at now: Duration) -> Duration {
        follow.query(1, push, accepted: .zero, at: now).patience
    }

    private func held(_ id: PushID) -> HeldPush {
        lastTicket += 1
        let ticket = PushTicket(number: lastTicket)
        tickets[id.description] = ticket
        return HeldPush(ticket: ticket, accepted: .zero) { _ in }
    }

    private func tell(_ settled: [SettledFollow]) {
        for one in settled { note(one.answer.id, one.answer) }
    }

    private func note(_ id: PushID, _ answer: PushAnswer) {
        answers[id.description] = answer
        told.append(([id.description] + answer.summary).joined(separator: " "))
    }

    /// The answer to a look-up of these targets.
    private func answer(_ targets: [Target], _ places: [[String]]) throws -> LookupAnswer {
        var answer = LookupAnswer()
        for (target, places) in zip(targets, places) {
            let sessions = places.compactMap { SessionID($0 + ".1") }
            switch target {
            case .user(let user):
                answer.users.append(try sessions.map { try route(UserKey("\(user)/k"), $0) })
            case .key(let key): answer.keys.append(sessions.first.map { route(key, $0) })
            case .room:
                answer.rooms.append(
                    sessions.map { RoomShare(node: $0.node, incarnation: $0.incarnation, members: 1) }
                )
            case .everyone: answer.nodes = sessions.map(\.node)
            }
        }
        return answer
    }

    private func route(_ name: UserKey, _ session: SessionID) -> Route {
        Route(name: name, session: session, epoch: Epoch(1), expires: RedisTime(milliseconds: 1))
    }
}
