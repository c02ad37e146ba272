import HeraldCore

/// The durable pushes of a turn on their way through the inboxes: what is to be stored, and what comes of it. Pure.
///
/// A push goes on only when every one of its inboxes has it: then each target's delivery carries its place. Otherwise
/// it is refused and nobody is sent anything; where it was stored, it is shown when the inbox is next read, and a
/// retry that says that it is one finds it there.
struct InboxStage {
    /// In the order in which the pushes were accepted, which so becomes the order of their offsets.
    private(set) var appends: [InboxAppend] = []
    private let turn: PushTurn
    /// For each of `appends`: the push in the turn, and its target.
    private var places: [(push: Int, target: Target)] = []

    /// Nil when no push of the turn is durable.
    init?(_ turn: PushTurn) {
        guard turn.pushes.contains(where: \.isDurable) else { return nil }
        self.turn = turn
        for (index, push) in turn.pushes.enumerated() where push.isDurable {
            for target in push.targets {
                guard let owner = target.inboxOwner else { continue }
                appends.append(
                    InboxAppend(
                        owner: owner,
                        push: push.id,
                        message: push.message,
                        isRepeat: push.isRepeat
                    )
                )
                places.append((index, target))
            }
        }
    }

    /// - Parameter stored: what became of each of `appends`, or why nobody knows.
    /// - Returns: the turn, whose pushes say where they are kept; and the refusals, one for each push of the turn, nil
    ///   for one that goes on.
    func outcome(
        _ stored: Result<[Result<InboxPlace, InboxError>], InboxError>
    ) -> (turn: PushTurn, refusals: [PushRefusal?]) {
        var pushes = turn.pushes
        var refusals = [PushRefusal?](repeating: nil, count: pushes.count)
        for (index, place) in places.enumerated() {
            let result = stored.flatMap { results in
                index < results.count ? results[index] : .failure(.corrupt("an inbox did not answer"))
            }
            switch result {
            case .success(let found): pushes[place.push].positions[place.target] = found.position
            case .failure(let error): refusals[place.push] = error.refusal
            }
        }
        for index in pushes.indices where refusals[index] != nil { pushes[index].positions = [:] }
        return (PushTurn(number: turn.number, pushes: pushes, accepted: turn.accepted), refusals)
    }
}

extension Target {
    /// Whose inbox keeps what is aimed at it; nil: it has none.
    var inboxOwner: InboxOwner? {
        switch self {
        case .user(let user): .user(user)
        case .room(let room): .room(room)
        case .key, .everyone: nil
        }
    }
}

extension InboxError {
    var refusal: PushRefusal {
        switch self {
        case .unavailable: .inboxUnavailable
        case .full: .inboxFull
        case .corrupt: .inboxCorrupt
        }
    }
}

extension PushRefusal {
    static let inboxUnavailable = Self(
        code: .redisUnavailable,
        detail: "Redis did not confirm that the push is kept; nothing was sent, but it may be kept",
        retryAfter: .seconds(1)
    )
    static let inboxFull = Self(
        code: .inboxFull,
        detail: "Redis has no memory left to keep the push; nothing was sent",
        retryAfter: .seconds(5)
    )
    static let inboxCorrupt = Self(
        code: .internalError,
        detail:
            "an inbox answered what it should not, and nothing was sent; the log of this process says more",
        retryAfter: nil
    )
}

// MARK: What callers are told

extension Push {
    /// The answer with the places of what is kept. Who would be `offline` is `stored` then.
    func marked(_ answer: PushAnswer) -> PushAnswer {
        guard !positions.isEmpty else { return answer }
        var answer = answer
        for index in answer.verdicts.indices {
            guard let position = positions[answer.verdicts[index].target] else { continue }
            answer.verdicts[index].position = position
            if answer.verdicts[index].verdict == .offline { answer.verdicts[index].verdict = .stored }
        }
        return answer
    }
}

extension PushTurn {
    /// The pushes that are in their inboxes. They are sent although their callers have gone: who is connected would
    /// else be shown them only when a node next looks into the inbox.
    var kept: Set<PushID> { Set(pushes.lazy.filter { !$0.positions.isEmpty }.map(\.id)) }

    /// The answers with the places of what is kept. Who would be `offline` is `stored` then.
    func marked(_ answers: [PushAnswer]) -> [PushAnswer] {
        guard pushes.contains(where: { !$0.positions.isEmpty }) else { return answers }
        return zip(pushes, answers).map { push, answer in push.marked(answer) }
    }

    /// The same; nil stays nil.
    func marked(_ answers: [PushAnswer?]) -> [PushAnswer?] {
        guard pushes.contains(where: { !$0.positions.isEmpty }) else { return answers }
        return zip(pushes, answers).map { push, answer in answer.map(push.marked) }
    }

    /// What a turn comes to that failed after its durable pushes were kept: these are `stored`, whatever became of
    /// the rest of their way.
    func results(of refusal: PushRefusal) -> [Result<PushAnswer, PushRefusal>?] {
        pushes.map { push in
            guard !push.positions.isEmpty else { return .failure(refusal) }
            let verdicts = push.targets.map { target in
                TargetVerdict(
                    target: target,
                    verdict: .stored,
                    position: push.positions[target],
                    reason:
                        "kept, and shown when the inbox is read; now nobody was told for sure: \(refusal.code)"
                )
            }
            return .success(PushAnswer(id: push.id, verdicts: verdicts))
        }
    }
}
