// What is promised of pushes, as a judgement of what was written down (DeliveryRecorder.swift). Pure.
//
// A push that was answered with a place in its user's inbox is promised to every client that follows the inbox: it is
// shown the push, once and in order, or told that something is missing there (`recovered: false`, `reset`). What a
// client is told of reaches from the last that it was shown to the place where it goes on; a push behind that place
// is promised as before. A push without a place is promised when it was answered `written` or `acked`: to one client.

import HeraldCore

/// What is wrong with a history, and how much of it was right.
struct DeliveryJudgement {
    enum Kind: String, CaseIterable {
        /// Promised, not shown, and the client was told of nothing missing there: silent loss.
        case lost
        /// Between two pushes that were shown others are missing, and nothing was said: silent loss of what nobody
        /// was promised, or not yet.
        case gap
        /// Shown twice.
        case duplicate
        /// Shown, or given a place, before what came first.
        case order
        /// An answer that is not true.
        case verdict
        /// Shown, and not sent, or not to this user.
        case stranger
    }

    struct Wrong: CustomStringConvertible {
        var kind: Kind
        var what: String
        /// The push that is shown where it should not be; nil where it is not one push's doing.
        var label: String?

        var description: String { "\(kind.rawValue): \(what)" }
    }

    private(set) var wrongs: [Wrong] = []
    /// Answers with each verdict, or without one.
    private(set) var answers: [String: Int] = [:]
    /// How often a push was shown.
    private(set) var shown = 0
    /// How often a promised push was not shown, and its client told of it.
    private(set) var told = 0
    /// How often a client that was connected before was told that something is missing.
    private(set) var tellings = 0
    /// How often a client went on where it had been.
    private(set) var recoveries = 0
    /// Pushes that were answered `routed`, not kept, and shown to nobody: promised as long as no node and no client
    /// goes.
    private(set) var unseen = 0
    /// Pushes that were answered `written`, not kept, and whose client left.
    private(set) var parted = 0
    /// Pushes that were answered `offline` while a client was connected all along: true only of a node whose lease is
    /// over.
    private(set) var misjudged = 0

    init(_ history: DeliveryHistory) {
        var pushes: [String: DeliveryHistory.Sent] = [:]
        for push in history.pushes where pushes.updateValue(push, forKey: push.label) != nil {
            preconditionFailure("two pushes have the label \(push.label)")
        }
        let owed = Dictionary(grouping: history.pushes.filter { $0.place != nil }, by: \.user)
        var seen: [String: DeliveryHistory.Moment] = [:]
        for client in history.clients {
            let walk = walk(client, pushes)
            seen.merge(walk.shown) { min($0, $1) }
            judgeOwed(client, owed[client.user] ?? [], walk)
        }
        let clients = Dictionary(grouping: history.clients, by: \.user)
        for push in history.pushes {
            judgeAnswer(push, seen: seen[push.label])
            weighAnswer(push, isSeen: seen[push.label] != nil, clients[push.user] ?? [], pushes)
        }
        for (_, pushes) in owed { judgePlaces(pushes) }
    }

    /// How many wrongs there are of each kind.
    var counts: [Kind: Int] { Dictionary(wrongs.map { ($0.kind, 1) }, uniquingKeysWith: +) }

    /// One line for the figures of a run.
    var summary: String {
        let count = counts
        let kinds = Kind.allCases.map { "\($0.rawValue) \(count[$0] ?? 0)" }.joined(separator: ", ")
        let verdicts = answers.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }
        return """
            answers \(verdicts.joined(separator: ", ")); shown \(shown), \(kinds); recovered \(recoveries), \
            clients told of a loss \(tellings) times, of \(told) promised pushes; not kept and not shown: \(unseen) routed, \
            \(parted) written to who left; \(misjudged) called offline who was there
            """
    }

    private mutating func add(_ kind: Kind, _ what: String, label: String? = nil) {
        wrongs.append(Wrong(kind: kind, what: what, label: label))
    }

    // MARK: a client

    /// What one client was shown and told of.
    private struct Walk {
        var shown: [String: DeliveryHistory.Moment] = [:]
        /// The client heard that it may miss what is after the one and up to the other.
        var missing: [(after: InboxPosition, upTo: InboxPosition)] = []
        var last: InboxPosition?
        /// When the latest push of each publisher that was shown was sent.
        var latest: [String: (moment: DeliveryHistory.Moment, label: String)] = [:]

        mutating func goOn(from place: InboxPosition) {
            missing.append((last ?? InboxPosition(epoch: 0, offset: 0), place))
            last = place
        }

        func wasTold(of place: InboxPosition) -> Bool {
            missing.contains { $0.after.isBefore(place) && !$0.upTo.isBefore(place) }
        }
    }

    private mutating func walk(
        _ client: DeliveryHistory.Client,
        _ pushes: [String: DeliveryHistory.Sent]
    ) -> Walk {
        var walk = Walk()
        for sight in client.sights {
            switch sight.what {
            case .connected(let start?):
                guard !start.isRecovered else {
                    recoveries += 1
                    // Where it stands shows with what comes next.
                    continue
                }
                if walk.last != nil { tellings += 1 }
                walk.goOn(from: start.position)
            case .reset(let place):
                tellings += 1
                walk.goOn(from: place)
            case .shown(let label, let id, let place):
                shown += 1
                let isFirst = walk.shown[label] == nil
                if isFirst {
                    walk.shown[label] = sight.moment
                } else {
                    add(.duplicate, "\(client.name) was shown \(label) again")
                }
                if let place { judgeStep(client, label, to: place, &walk, isFirst: isFirst) }
                guard let push = pushes[label] else {
                    add(.stranger, "\(client.name) was shown \(label), which nobody sent")
                    continue
                }
                judgeShown(client, push, id: id, place: place)
                if isFirst { judgeOrder(client, push, &walk) }
            case .connected(nil), .left: break
            }
        }
        return walk
    }

    /// A step from the last place to this one: to the next, or behind a told gap.
    private mutating func judgeStep(
        _ client: DeliveryHistory.Client,
        _ label: String,
        to place: InboxPosition,
        _ walk: inout Walk,
        isFirst: Bool
    ) {
        guard let last = walk.last else {
            walk.last = place
            return
        }
        guard last.isBefore(place) else {
            // A repeat stands where it stood: that is one wrong, not two.
            if isFirst { add(.order, "\(client.name) was shown \(label) at \(place) after \(last)") }
            return
        }
        if place.epoch != last.epoch || place.offset != last.offset + 1 {
            add(.gap, "\(client.name) was shown \(label) at \(place) right after \(last), and told nothing")
        }
        walk.last = place
    }

    private mutating func judgeShown(
        _ client: DeliveryHistory.Client,
        _ push: DeliveryHistory.Sent,
        id: String,
        place: InboxPosition?
    ) {
        if push.user != client.user {
            add(.stranger, "\(client.name) was shown \(push.label), which is for \(push.user)")
        }
        guard case .verdict(_, let answeredID, let answeredPlace) = push.answer else { return }
        if id != answeredID {
            add(.verdict, "\(push.label) was answered as \(answeredID), and shown as \(id)")
        }
        if place != answeredPlace {
            add(
                .verdict,
                "\(push.label) was answered as kept at \(answeredPlace.name), and shown at \(place.name)"
            )
        }
    }

    /// Of one publisher's pushes, what was answered before another was sent is shown before it.
    private mutating func judgeOrder(
        _ client: DeliveryHistory.Client,
        _ push: DeliveryHistory.Sent,
        _ walk: inout Walk
    ) {
        let latest = walk.latest[push.publisher]
        if let latest, let answered = push.settled, answered < latest.moment {
            let what = "\(client.name) was shown \(push.label) after \(latest.label), which was sent later"
            add(.order, what, label: push.label)
        }
        if push.moment > latest?.moment ?? 0 {
            walk.latest[push.publisher] = (push.moment, push.label)
        }
    }

    private mutating func judgeOwed(
        _ client: DeliveryHistory.Client,
        _ owed: [DeliveryHistory.Sent],
        _ walk: Walk
    ) {
        // Who never followed the inbox is owed nothing of it.
        guard walk.last != nil else { return }
        for push in owed where walk.shown[push.label] == nil {
            guard let place = push.place else { continue }
            guard !walk.wasTold(of: place) else {
                told += 1
                continue
            }
            let end = walk.last.name
            add(
                .lost,
                "\(client.name) came to \(end) and never saw \(push.label), \(push.verdict) at \(place)"
            )
        }
    }

    // MARK: an answer

    /// `seen`: when the first client was shown it.
    private mutating func judgeAnswer(_ push: DeliveryHistory.Sent, seen: DeliveryHistory.Moment?) {
        answers[push.verdict, default: 0] += 1
        switch push.answer {
        case .unknown: break
        case .refused:
            if seen != nil { add(.verdict, "\(push.label) was refused as not sent, and shown") }
        case .verdict(let verdict, _, let place):
            if place == nil, push.isDurable || verdict == "stored" {
                add(.verdict, "\(push.label) was \(verdict), and has no place where it is kept")
            }
            switch verdict {
            case "offline":
                if seen != nil { add(.verdict, "\(push.label) was offline, and shown") }
            case "acked":
                if seen ?? .max > push.answered ?? .max {
                    add(.verdict, "\(push.label) was acked before any client had it")
                }
            default: break
            }
        }
    }

    /// What hangs on whether the clients were there.
    private mutating func weighAnswer(
        _ push: DeliveryHistory.Sent,
        isSeen: Bool,
        _ clients: [DeliveryHistory.Client],
        _ pushes: [String: DeliveryHistory.Sent]
    ) {
        switch push.verdict {
        case "written" where push.place == nil && !isSeen:
            guard clients.contains(where: { $0.left(unread: push, pushes) }) else {
                return add(.lost, "\(push.label) was written, not kept, and shown to nobody")
            }
            parted += 1
        case "routed" where push.place == nil && !isSeen: unseen += 1
        case "offline": if clients.contains(where: { $0.stayed(during: push) }) { misjudged += 1 }
        default: break
        }
    }

    /// Places of one user: each is one push's, and what was kept earlier has an earlier one, whoever sent it.
    private mutating func judgePlaces(_ pushes: [DeliveryHistory.Sent]) {
        var latest: (moment: DeliveryHistory.Moment, label: String)?
        var last: InboxPosition?
        for push in pushes.sorted(by: { ($0.place ?? .none).isBefore($1.place ?? .none) }) {
            if let latest, push.place == last {
                add(.verdict, "\(push.label) and \(latest.label) have the one place \(last.name)")
            } else if let latest, let answered = push.settled, answered < latest.moment {
                add(.order, "\(push.label) has a later place than \(latest.label), which was sent after it")
            }
            last = push.place
            if push.moment > latest?.moment ?? 0 { latest = (push.moment, push.label) }
        }
    }
}

extension DeliveryHistory.Sent {
    /// Where the answer says that it is kept.
    var place: InboxPosition? {
        if case .verdict(_, _, let place) = answer { place } else { nil }
    }

    /// When it was answered for good; nil: it may be accepted later.
    fileprivate var settled: DeliveryHistory.Moment? {
        if case .verdict = answer { answered } else { nil }
    }

    fileprivate var verdict: String {
        switch answer {
        case .verdict(let verdict, _, _): verdict
        case .refused: "refused"
        case .unknown: "unknown"
        }
    }
}

extension DeliveryHistory.Client {
    /// Whether it left before it was shown anything that was sent after the answer to a push: before it had read all
    /// that was written to it by then.
    fileprivate func left(
        unread push: DeliveryHistory.Sent,
        _ pushes: [String: DeliveryHistory.Sent]
    ) -> Bool {
        for sight in sights where sight.moment > push.moment {
            switch sight.what {
            case .left: return true
            case .shown(let label, _, _):
                if pushes[label]?.moment ?? 0 > push.answered ?? .max { return false }
            case .connected, .reset: break
            }
        }
        return false
    }

    /// Whether it was connected from before a push was sent until after it was answered.
    fileprivate func stayed(during push: DeliveryHistory.Sent) -> Bool {
        var isConnected = false
        for sight in sights where sight.moment < push.answered ?? .max {
            switch sight.what {
            case .connected: if sight.moment < push.moment { isConnected = true }
            case .left: isConnected = false
            case .shown, .reset: break
            }
        }
        return isConnected
    }
}

extension InboxPosition {
    fileprivate static let none = InboxPosition(epoch: 0, offset: 0)

    /// Epochs are times, so a later one is a later history.
    func isBefore(_ other: InboxPosition) -> Bool { (epoch, offset) < (other.epoch, other.offset) }
}

extension Optional<InboxPosition> {
    fileprivate var name: String { map(\.description) ?? "no place" }
}
