import HeraldCore

/// What is left of a turn when a node's channel had no subscriber: the targets that were on that node, once more.
///
/// They may have moved since the first look-up. So they are looked up again and sent to where they are now,
/// except to nodes that took the push for that target already. Pure: the pipeline does the asking and sending.
struct SecondTry {
    /// The pushes that missed a node, in order, each with the targets that missed one.
    private(set) var pushes: [Push] = []
    /// For each of `pushes`: where it stands in the turn, and where its targets stand among its verdicts.
    private var places: [(push: Int, verdicts: [Int])] = []
    private let first: [PushAnswer]
    /// Which targets the second look-up found nowhere at all, in the order of all targets of `pushes`.
    private var reachedBefore: [[NodeID]] = []

    /// - Parameters:
    ///   - turn: the pushes of the turn.
    ///   - answers: what the first sending came to, in the same order.
    init(_ turn: [Push], answers: [PushAnswer]) {
        first = answers
        for (index, answer) in answers.enumerated() {
            let missing = answer.verdicts.indices.filter { !answer.verdicts[$0].missed.isEmpty }
            guard !missing.isEmpty else { continue }
            var push = turn[index]
            push.targets = missing.map { answer.verdicts[$0].target }
            pushes.append(push)
            places.append((index, missing))
            reachedBefore += missing.map { answer.verdicts[$0].nodes }
        }
    }

    /// Whether any push missed a node.
    var isNeeded: Bool { !pushes.isEmpty }

    /// The answers that stand already, in the order of the turn; nil where this try decides.
    var complete: [PushAnswer?] {
        var answers = first.map(Optional.some)
        for place in places { answers[place.push] = nil }
        return answers
    }

    /// The answers if nothing comes of this try, in the order of the turn.
    var unchanged: [PushAnswer?] { first }

    /// What the second look-up found, without the nodes that were reached before.
    func fanOut(_ found: LookupAnswer) -> FanOut {
        var remaining = found
        var user = 0
        var key = 0
        var room = 0
        var reached = reachedBefore.makeIterator()
        // Several pushes may aim at everyone, and the answer has one list of nodes for all of them. Whoever
        // misses a node misses the same one, so that what one of them reached, all reached.
        for push in pushes {
            for target in push.targets {
                let before = reached.next() ?? []
                switch target {
                case .user:
                    remaining.users[user].removeAll { before.contains($0.session.node) }
                    user += 1
                case .key:
                    if let node = remaining.keys[key]?.session.node, before.contains(node) {
                        remaining.keys[key] = nil
                    }
                    key += 1
                case .room:
                    remaining.rooms[room].removeAll { before.contains($0.node) }
                    room += 1
                case .everyone:
                    remaining.nodes.removeAll(where: before.contains)
                }
            }
        }
        return FanOut(pushes, found: remaining)
    }

    /// The verdicts of both tries together.
    ///
    /// - Parameter second: what the second sending came to, in the order of `pushes`.
    /// - Returns: in the order of the turn; nil for a push that this try had nothing to do with.
    func answers(_ second: [PushAnswer]) -> [PushAnswer?] {
        var answers = [PushAnswer?](repeating: nil, count: first.count)
        for (place, later) in zip(places, second) {
            var answer = first[place.push]
            for (index, now) in zip(place.verdicts, later.verdicts) {
                var verdict = answer.verdicts[index]
                verdict.nodes += now.nodes
                verdict.missed = now.missed
                verdict.verdict =
                    if !now.missed.isEmpty {
                        .unreachable
                    } else if verdict.nodes.isEmpty {
                        .offline
                    } else {
                        .routed
                    }
                answer.verdicts[index] = verdict
            }
            answers[place.push] = answer
        }
        return answers
    }
}
