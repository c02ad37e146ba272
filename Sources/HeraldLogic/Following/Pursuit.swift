import HeraldCore

/// One push that is followed beyond its publish: because its caller asked for more than `routed`, because a node
/// did not listen, or because a node said that the target is not there.
///
/// A target is a *stray* while a route leads to a node that does not have it: nobody listened on the node's
/// channel, or the node said "not here". Strays are looked up again after growing pauses; where the route has
/// moved to, the push is sent once; where it leads to the same run of the same node, nothing is sent again: the
/// delivery lies in that node's hop already, before all that was sent to it later, so that neither order nor
/// "once" depends on when the node is back.
struct Pursuit: Sendable {
    let push: Push
    let accepted: Duration
    /// When its caller is answered at the latest.
    let deadline: Duration
    /// Until when strays are looked up again.
    var searchEnd: Duration
    private(set) var legs: [Leg] = []
    /// For each target: where the last look-up found it.
    private(set) var found: [[Stop]]
    /// For each target: every look-up there was, for who asks later.
    private(set) var looks: [Look] = []
    private(set) var round = 0
    /// How many times it was looked up again because a pause was over.
    private(set) var tries = 0
    /// When the next look-up is due; nil while there are no strays.
    private(set) var nextTry: Duration?
    private(set) var isGivenUp = false

    struct Look: Sendable, Equatable {
        var target: Int
        var at: Duration
        var nodes: [NodeID]
    }

    /// What is to be sent where strays have moved to.
    struct Onward {
        var stop: Stop
        var targets: [Int]
        var round: Int
    }

    /// The last pause is repeated.
    static let pauses: [Duration] = [
        .zero, .milliseconds(25), .milliseconds(50), .milliseconds(100), .milliseconds(200),
        .milliseconds(400),
    ]
    /// Sendings of one push: what fits a ticket.
    static let roundsMax = 63
    /// Look-ups that are remembered of one push: 200 of about 60 bytes.
    static let looksMax = 200

    /// - Parameters:
    ///   - push: what is followed.
    ///   - accepted: when it was accepted.
    ///   - deadline: when its caller is answered at the latest.
    ///   - searchEnd: until when strays are looked up again.
    ///   - found: for each target, where it was found and sent to.
    ///   - sent: when.
    init(
        _ push: Push,
        accepted: Duration,
        deadline: Duration,
        searchEnd: Duration,
        found: [[Stop]],
        sent: Duration
    ) {
        self.push = push
        self.accepted = accepted
        self.deadline = deadline
        self.searchEnd = searchEnd
        self.found = found
        var order: [Stop] = []
        var targets: [Stop: [Int]] = [:]
        for (index, stops) in found.enumerated() {
            var nodes: Set<NodeID> = []
            for stop in stops where nodes.insert(stop.node).inserted {
                // Two runs of one node share its channel, and so a delivery.
                let first = order.first { $0.node == stop.node } ?? stop
                if targets[first] == nil { order.append(first) }
                targets[first, default: []].append(index)
            }
        }
        legs = order.map { Leg(stop: $0, round: 0, sent: sent, targets: targets[$0] ?? []) }
    }

    // MARK: What is heard

    /// Its first sending is through.
    mutating func published(missed: Set<NodeID>) {
        for index in legs.indices where missed.contains(legs[index].stop.node) {
            legs[index].hearing = .nobody
        }
    }

    /// A node tells what became of a target.
    ///
    /// - Returns: false when it was not asked that.
    mutating func received(_ receipt: Receipt, from node: NodeID, round: Int, at now: Duration) -> Bool {
        guard let leg = legs.firstIndex(where: { $0.round == round && $0.stop.node == node }),
            legs[leg].targets.indices.contains(receipt.target),
            legs[leg].told[receipt.target]?.isFinal != true
        else { return false }
        legs[leg].told[receipt.target] = Leg.Told(reach: receipt.reach, isFinal: receipt.isFinal, at: now)
        legs[leg].hearing = .somebody
        return true
    }

    // MARK: Strays

    /// The targets that have to be looked up again.
    var strays: [Int] {
        guard !isGivenUp else { return [] }
        var strays: [Int] = []
        for target in push.targets.indices where isStray(target) { strays.append(target) }
        return strays
    }

    private func isStray(_ target: Int) -> Bool {
        let view = TargetView(target, legs, found: found[target])
        if view.live.contains(where: { legs[$0.leg].hearing == .nobody && $0.told == nil }) { return true }
        switch push.targets[target] {
        case .user, .key:
            return view.notHere.contains { stop in found[target].contains { $0.isSame(as: stop) } }
        // A room or everyone is wherever its members are: one that moved joined the room anew.
        case .room, .everyone: return false
        }
    }

    /// Plans the next look-up, if there are strays; gives up when there is no time for one.
    mutating func schedule(at now: Duration) {
        guard !strays.isEmpty else {
            nextTry = nil
            return
        }
        guard nextTry == nil else { return }
        let next = now + Self.pauses[min(tries, Self.pauses.count - 1)]
        if next > searchEnd || round >= Self.roundsMax { giveUp() } else { nextTry = next }
    }

    /// Looks for strays no more.
    mutating func giveUp() {
        isGivenUp = true
        nextTry = nil
    }

    /// A look-up begins.
    mutating func searchBegan(at now: Duration) {
        guard let due = nextTry, due <= now else { return }
        nextTry = nil
        tries += 1
    }

    /// Where a look-up found strays.
    ///
    /// - Returns: what is to be sent, the new legs in order. They count as heard until `published` says otherwise.
    mutating func foundAgain(_ answers: [(target: Int, stops: [Stop])], at now: Duration) -> [Onward] {
        var onward: [Onward] = []
        for (target, stops) in answers {
            let view = TargetView(target, legs, found: found[target])
            found[target] = stops
            note(Look(target: target, at: now, nodes: stops.map(\.node)))
            for stop in stops where !view.hasTried(stop) {
                if let index = onward.firstIndex(where: { $0.stop.node == stop.node }) {
                    onward[index].targets.append(target)
                } else {
                    onward.append(Onward(stop: stop, targets: [target], round: round + 1))
                }
            }
        }
        guard !onward.isEmpty else { return [] }
        round += 1
        legs += onward.map { Leg(stop: $0.stop, round: round, sent: now, targets: $0.targets) }
        return onward
    }

    private mutating func note(_ look: Look) {
        if looks.count < Self.looksMax { looks.append(look) }
    }

    /// The nodes whose channels are to be tried for a listener.
    var unheardNodes: [NodeID] {
        legs.compactMap { $0.hearing == .nobody && isNamed($0) ? $0.stop.node : nil }
    }

    /// Whether a route still leads to where a leg went.
    private func isNamed(_ leg: Leg) -> Bool {
        leg.targets.contains { found[$0].contains(where: leg.stop.isSame) }
    }

    /// A later sending is through.
    ///
    /// - Parameters:
    ///   - listening: nodes that something was published to and that listen.
    ///   - missed: nodes that something was published to and that do not.
    mutating func publishedAgain(listening: Set<NodeID>, missed: Set<NodeID>) {
        for index in legs.indices {
            let node = legs[index].stop.node
            if legs[index].round == round, missed.contains(node) { legs[index].hearing = .nobody }
            if legs[index].hearing == .nobody, listening.contains(node), isNamed(legs[index]) {
                legs[index].hearing = .somebody
            }
        }
    }

    /// The bus did not say whether a later sending went out. It is not sent a third time: what cannot be known
    /// is told so.
    mutating func unconfirmed() {
        for index in legs.indices where legs[index].round == round { legs[index].hearing = .unconfirmed }
    }

    // MARK: What is known

    /// Whether nothing more can be learned by waiting.
    var isComplete: Bool {
        guard strays.isEmpty else { return false }
        guard push.confirm != .routed else { return true }
        for target in push.targets.indices {
            let view = TargetView(target, legs, found: found[target])
            if view.live.contains(where: { $0.told?.isFinal != true }) { return false }
        }
        return true
    }
}
