import HeraldCore
import HeraldTesting

@testable import HeraldCloud
@testable import HeraldSockets

/// The two laws of DESIGN.md §4, each judged at every state in which nothing is under way.
extension ModelWorld {
    /// - Returns: what is wrong here, or nil.
    ///
    /// `mayLoseData`: Redis may have lost something on the way here, so that a renewal must come first.
    func wrong(_ design: RouteDesign, mayLoseData: Bool) -> String? {
        if isRealClosed { return "the user's real connection was closed as replaced" }
        guard isQuiet else { return nil }
        if !mayLoseData, real != nil, let wrong = wrongRoute { return "without a renewal, \(wrong)" }
        for order in [[0, 1], [1, 0]] {
            if let wrong = wrongWithGhosts(design, renewing: order) { return wrong }
        }
        return wrongWhenSettled(design)
    }

    /// No ghost is noticed; each node renews what it has.
    private func wrongWithGhosts(_ design: RouteDesign, renewing order: [Int]) -> String? {
        var world = self
        world.renew(order, design)
        if world.isRealClosed { return "a renewal closed the user's real connection" }
        guard world.real != nil else { return nil }
        return world.wrongRoute.map { "with ghosts not yet noticed, \($0)" }
    }

    /// All ghosts are noticed, all that may still happen has happened, and what nobody renews is over.
    private func wrongWhenSettled(_ design: RouteDesign) -> String? {
        var world = self
        for index in connections.indices where connections[index].isOpen && index != real {
            world.apply(.close(index), design)
        }
        world.finish(design)
        for _ in 0..<3 {
            var effects: [KeyLane.Effect] = []
            world.pass(.seconds(6), &effects)
            world.perform(effects)
            world.ask()
            world.redis.record.stored?.expires = ModelPlace.fading
            world.renew([0, 1], design)
            if world.redis.record.stored?.expires == ModelPlace.fading { world.redis.record.stored = nil }
        }
        if world.isRealClosed { return "settling closed the user's real connection" }
        if let wrong = world.wrongRoute { return "when all has settled, \(wrong)" }
        for node in 0..<2 where !world.lanes[node].isEmpty {
            guard let real = world.real, world.connections[real].node == node else {
                return "when all has settled, \(ModelPlace.nodes[node]) still minds the key"
            }
        }
        return nil
    }

    private var wrongRoute: String? {
        let found = place.found(redis)
        guard let real else {
            return found.map { "nobody is there and the route names \($0.session)" }
        }
        let connection = connections[real]
        guard connection.isAnnounced else { return "the user's connection waits for ever" }
        let session = place.session(connection.node, place.incarnations[connection.node], UInt64(real + 1))
        guard let found else { return "the user is at \(session) and there is no route" }
        return found.session == session
            ? nil : "the user is at \(session) and the route names \(found.session)"
    }

    private mutating func renew(_ order: [Int], _ design: RouteDesign) {
        for node in order {
            apply(.renewal(node: node), design)
            finish(design)
        }
    }

    /// Ends well what is under way; ghosts stay unless their node closes them.
    private mutating func finish(_ design: RouteDesign) {
        // A design that never comes to rest is left where it is, and found wrong there.
        for _ in 0..<100 {
            if let index = flights.indices.first {
                apply(flights[index].reply == nil ? .perform(index) : .answer(index), design)
            } else if !orders.isEmpty {
                apply(.order(0), design)
            } else if let index = connections.firstIndex(where: \.isClosing) {
                apply(.close(index), design)
            } else {
                return
            }
        }
    }
}

struct ModelReport: Sendable {
    /// All that can be reached; from a wrong one nothing is tried.
    var states = 0
    /// Those with nothing under way, at which the laws are judged.
    var quiet = 0
    var wrong = 0
    /// A shortest way to something wrong.
    var transcript: String?
}

/// Walks over every state that can be reached, breadth first, so that the first wrong one has a shortest trace.
struct ModelChecker<Lane: ModelLane> {
    let design: RouteDesign
    let budget: ModelBudget

    func run() -> ModelReport {
        var report = ModelReport()
        var worlds = [ModelWorld<Lane>(budget)]
        // Growing would hash all of them again.
        var seen = Set<ModelWorld<Lane>>(minimumCapacity: 200_000)
        seen.insert(worlds[0])
        var cameFrom: [(state: Int32, event: ModelWorld<Lane>.Event)?] = [nil]
        var next = 0
        while next < worlds.count {
            let world = worlds[next]
            if world.isQuiet { report.quiet += 1 }
            if let wrong = world.wrong(design, mayLoseData: budget.mayLoseData) {
                report.wrong += 1
                if report.transcript == nil {
                    report.transcript = transcript(to: next, cameFrom, wrong)
                }
                next += 1
                continue
            }
            for event in world.events {
                var after = world
                after.apply(event, design)
                guard seen.insert(after).inserted else { continue }
                worlds.append(after)
                cameFrom.append((Int32(next), event))
            }
            next += 1
        }
        report.states = worlds.count
        return report
    }

    /// The way to a state, as a person would tell it.
    private func transcript(
        to state: Int,
        _ cameFrom: [(state: Int32, event: ModelWorld<Lane>.Event)?],
        _ wrong: String
    ) -> String {
        var events: [ModelWorld<Lane>.Event] = []
        var at = state
        while let step = cameFrom[at] {
            events.append(step.event)
            at = Int(step.state)
        }
        var world = ModelWorld<Lane>(budget)
        var lines: [String] = []
        for event in events.reversed() {
            let what = world.words(for: event)
            world.apply(event, design)
            let stored = world.redis.record.stored.map { "\($0.session) epoch \($0.epoch)" } ?? "nothing"
            lines.append("  \(what); Redis holds \(stored)")
        }
        return "\(design.rawValue): \(wrong)\n" + lines.joined(separator: "\n")
    }
}

extension ModelWorld {
    /// An event that is about to happen.
    func words(for event: Event) -> String {
        switch event {
        case .connect(let node): "the user connects to \(name(node)), as session \(connections.count + 1)"
        case .close(let index): "\(name(connections[index].node)) sees session \(index + 1) closed"
        case .perform(let index): "Redis does \(words(flights[index].command))"
        case .answer(let index): "the answer to \(words(flights[index].command)) arrives"
        case .giveUp(let index): "\(words(flights[index].command)) is given up"
        case .performLate(let index): "Redis does, late, \(words(late[index].command))"
        case .dropLate(let index): "\(words(late[index].command)) is lost"
        case .order(let index): "the order to close \(orders[index]) arrives"
        case .dropOrder(let index): "the order to close \(orders[index]) is lost"
        case .renewal(let node): "\(name(node)) is to renew"
        case .expire: "the mapping is over"
        case .failover: "a failover loses the last write"
        case .tick: "six seconds pass"
        case .crash(let node): "\(name(node)) crashes and runs again"
        case .newLease(let node): "\(name(node)) becomes a new incarnation"
        }
    }

    private func name(_ node: Int) -> NodeID { ModelPlace.nodes[node] }

    private func words(_ command: ModelCommand) -> String {
        let node = name(command.node)
        return switch command.call {
        case .bind(let session, _): "\(node)'s bind of session \(session.counter)"
        case .renew(let mapping): "\(node)'s renewal of session \(mapping.counter)"
        case .unbind(let mapping): "\(node)'s unbind of session \(mapping.counter)"
        case .find: "\(node)'s look-up"
        }
    }
}
