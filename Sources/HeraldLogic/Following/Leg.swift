import HeraldCore

/// A place where a look-up found a target: a node, and which run of it.
struct Stop: Hashable, Sendable {
    var node: NodeID
    /// Nil where the look-up does not tell: of everyone's nodes, and of pushes that were not followed at first.
    var incarnation: Incarnation?

    /// Whether both are one run of one node, as far as it is known.
    func isSame(as other: Self) -> Bool {
        guard node == other.node else { return false }
        guard let incarnation, let otherIncarnation = other.incarnation else { return true }
        return incarnation == otherIncarnation
    }
}

/// One delivery of a push that was sent to one node, and what was heard of it.
struct Leg: Sendable, Equatable {
    var stop: Stop
    /// Which sending of the push it belonged to; 0 is the first.
    var round: Int
    /// When it was published, since the pipeline began.
    var sent: Duration
    var hearing = Hearing.somebody
    /// The targets it was for, by their place in the push, in the order of the delivery.
    var targets: [Int]
    /// What the node said of each target, in the same order.
    var told: [Told?]

    /// Who listened on the channel when it was published.
    enum Hearing: Sendable, Equatable {
        case somebody
        /// The delivery is in the node's hop: who listens there later reads it.
        case nobody
        /// The bus did not say whether it went out.
        case unconfirmed
    }

    struct Told: Sendable, Equatable {
        var reach: Reach?
        var isFinal: Bool
        var at: Duration
    }

    init(stop: Stop, round: Int, sent: Duration, targets: [Int]) {
        self.stop = stop
        self.round = round
        self.sent = sent
        self.targets = targets
        told = Array(repeating: nil, count: targets.count)
    }
}

/// What a push's legs say of one of its targets.
struct TargetView {
    /// Legs that may have brought it there: all but those whose node said that it is not there, and those that
    /// nobody took and to which no route leads any more.
    var live: [(leg: Int, told: Leg.Told?)] = []
    /// Stops whose node said that nobody of the target is there.
    var notHere: [Stop] = []
    /// Every stop it was sent to.
    var tried: [Stop] = []

    /// - Parameters:
    ///   - target: its place in the push.
    ///   - legs: of the push.
    ///   - found: where the last look-up found the target.
    init(_ target: Int, _ legs: [Leg], found: [Stop]) {
        for (index, leg) in legs.enumerated() {
            guard let place = leg.targets.firstIndex(of: target) else { continue }
            tried.append(leg.stop)
            let told = leg.told[place]
            if let told, told.reach == nil {
                notHere.append(leg.stop)
            } else if leg.hearing == .nobody, told == nil, !found.contains(where: leg.stop.isSame) {
                continue
            } else {
                live.append((index, told))
            }
        }
    }

    /// Whether a stop was tried already.
    func hasTried(_ stop: Stop) -> Bool { tried.contains { $0.isSame(as: stop) } }
}
