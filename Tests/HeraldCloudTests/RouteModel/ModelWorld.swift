import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

/// The clock, the names, and which incarnations live: what a script or a look-up needs to know.
struct ModelPlace: Hashable, Sendable {
    var now = Moment(milliseconds: 0)
    var incarnations = [Incarnation(1), Incarnation(1)]

    static let name = UserKey(fixed: "alice/phone")
    static let nodes = [NodeID(fixed: "cloud-1"), NodeID(fixed: "cloud-2")]
    /// Never over by itself: that a mapping ends is an event of the model.
    static let ttl = Duration.seconds(86_400)
    /// The end of a mapping that was written or renewed.
    static let fresh = RedisTime(milliseconds: .max / 2)
    /// The end of one that has to be renewed now, or is over.
    static let fading = RedisTime(milliseconds: .max / 2 - 1)

    static func redisTime(_ moment: Moment) -> RedisTime {
        RedisTime(milliseconds: UInt64(1_000_000 + moment.milliseconds))
    }

    var redisTime: RedisTime { Self.redisTime(now) }

    func session(_ node: Int, _ incarnation: Incarnation, _ counter: UInt64) -> SessionID {
        SessionID(node: Self.nodes[node], incarnation: incarnation, counter: counter)
    }

    func route(_ node: Int, _ mapping: KeyLane.Mapping) -> Route {
        Route(
            name: Self.name,
            session: session(node, mapping.incarnation, mapping.counter),
            epoch: mapping.epoch,
            expires: redisTime
        )
    }

    /// What a look-up answers: routes of dead incarnations are nobody's.
    func found(_ redis: ModelRedis) -> Route? {
        guard let stored = redis.record.stored, let node = Self.nodes.firstIndex(of: stored.session.node),
            stored.session.incarnation == incarnations[node]
        else { return nil }
        return stored
    }
}

/// What can still happen, so that there is an end.
struct ModelBudget: Hashable, Sendable, CustomTestStringConvertible {
    var connects = 3
    /// Answers lost, commands delayed past their time-out or lost, close orders lost.
    var failures = 0
    /// The mapping's time is over, or it was evicted.
    var expiries = 0
    /// The master is gone, and its last write with it.
    var failovers = 0
    var crashes = 0
    /// A node loses its lease and goes on as a new incarnation.
    var leases = 0
    /// Six seconds pass: more than a claim waits, less than a late command may take.
    var ticks = 0

    var testDescription: String {
        let all = [
            (connects, "connects"), (failures, "failures"), (expiries, "expiries"), (failovers, "failovers"),
            (crashes, "crashes"), (leases, "new leases"), (ticks, "ticks"),
        ]
        return all.filter { $0.0 > 0 }.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
    }

    /// What Redis holds can vanish, so that the route is right again only with a renewal.
    var mayLoseData: Bool { expiries + failovers + crashes + leases > 0 }
}

/// One user's key, two nodes, Redis and what is under way between them.
struct ModelWorld<Lane: ModelLane>: Hashable, Sendable {
    var place = ModelPlace()
    var budget: ModelBudget
    var redis = ModelRedis()
    /// As it was before the last write: what a failover brings back.
    var replica = ModelRedis()
    var lanes = [Lane(), Lane()]
    /// In the order of the user's connects; only the last can be the user's real one.
    var connections: [Connection] = []
    var flights: [Flight] = []
    /// Commands that were given up and may still happen.
    var late: [Late] = []
    /// Orders from node to node to close a session.
    var orders: [SessionID] = []
    /// The user's real connection was closed as if a newer one had come.
    var isRealClosed = false

    struct Connection: Hashable, Sendable {
        var node: Int
        /// The node has the socket, whether or not the client still does.
        var isOpen = true
        var isAnnounced = false
        /// The node closes it; that is not done yet.
        var isClosing = false
    }

    struct Flight: Hashable, Sendable {
        var command: ModelCommand
        /// Nil until Redis has carried it out.
        var reply: ModelReply?
    }

    struct Late: Hashable, Sendable {
        var command: ModelCommand
        var until: Moment
    }

    enum Event: Hashable, Sendable {
        case connect(node: Int)
        /// The node notices that a socket is gone, or has closed it.
        case close(Int)
        case perform(Int)
        case answer(Int)
        case giveUp(Int)
        case performLate(Int)
        case dropLate(Int)
        case order(Int)
        case dropOrder(Int)
        case renewal(node: Int)
        case expire, failover, tick
        case crash(node: Int)
        case newLease(node: Int)
    }

    init(_ budget: ModelBudget) { self.budget = budget }

    static func socket(_ connection: Int) -> SocketID {
        SocketID(loop: 0, slot: connection + 1, generation: 1)
    }

    /// The index of the connection that the user has, if any.
    var real: Int? {
        guard let last = connections.last, last.isOpen, !last.isClosing else { return nil }
        return connections.count - 1
    }

    /// Nothing is under way; ghosts may be open, unnoticed.
    var isQuiet: Bool {
        flights.isEmpty && late.isEmpty && orders.isEmpty && !connections.contains(where: \.isClosing)
    }

    // MARK: What can happen

    var events: [Event] {
        var events: [Event] = []
        for index in flights.indices {
            events.append(flights[index].reply == nil ? .perform(index) : .answer(index))
        }
        for index in late.indices { events += [.performLate(index), .dropLate(index)] }
        for index in orders.indices {
            events.append(.order(index))
            if budget.failures > 0 { events.append(.dropOrder(index)) }
        }
        for index in connections.indices where connections[index].isOpen { events.append(.close(index)) }
        for node in 0..<2 {
            // Which node is the first is a matter of names.
            if budget.connects > 0, node == 0 || !connections.isEmpty { events.append(.connect(node: node)) }
            if !flights.contains(where: { $0.command.node == node }) { events.append(.renewal(node: node)) }
            if budget.crashes > 0 { events.append(.crash(node: node)) }
            if budget.leases > 0 { events.append(.newLease(node: node)) }
        }
        if budget.failures > 0 { events += flights.indices.map { .giveUp($0) } }
        if budget.expiries > 0, redis.record.stored != nil { events.append(.expire) }
        if budget.failovers > 0, replica != redis { events.append(.failover) }
        if budget.ticks > 0 { events.append(.tick) }
        return events
    }

    mutating func apply(_ event: Event, _ design: RouteDesign) {
        var effects: [KeyLane.Effect] = []
        switch event {
        case .connect(let node): connect(to: node, &effects)
        case .close(let index): close(index, &effects)
        case .perform(let index): flights[index].reply = perform(flights[index].command, design)
        case .answer(let index):
            let flight = flights.remove(at: index)
            let node = flight.command.node
            if let reply = flight.reply {
                let id = ModelPlace.nodes[node]
                lanes[node].answered(flight.command.call, reply, node: id, at: place.now, &effects)
            }
        case .giveUp(let index): giveUp(index)
        case .performLate(let index): _ = perform(late.remove(at: index).command, design)
        case .dropLate(let index): late.remove(at: index)
        case .order(let index):
            let session = orders.remove(at: index)
            if let node = ModelPlace.nodes.firstIndex(of: session.node) {
                lanes[node].closeOrdered(counter: session.counter, &effects)
            }
        case .dropOrder(let index):
            budget.failures -= 1
            orders.remove(at: index)
        case .renewal(let node): lanes[node].renewalDue()
        case .expire:
            budget.expiries -= 1
            redis.record.stored = nil
            replica = redis
        case .failover:
            budget.failovers -= 1
            redis = replica
        case .tick:
            budget.ticks -= 1
            pass(.seconds(6), &effects)
        case .crash(let node): crash(node)
        case .newLease(let node):
            budget.leases -= 1
            place.incarnations[node] = Incarnation(place.incarnations[node].number + 1)
        }
        perform(effects)
        if budget.failovers == 0 { replica = redis }
        ask()
    }

    // MARK: How

    private mutating func connect(to node: Int, _ effects: inout [KeyLane.Effect]) {
        budget.connects -= 1
        // More than the tenth of a second within which accepts count as equally new.
        place.now = place.now + .milliseconds(200)
        connections.append(Connection(node: node))
        let session = KeyLane.Session(
            socket: Self.socket(connections.count - 1),
            counter: UInt64(connections.count)
        )
        lanes[node].claimed(session, at: place.now, &effects)
    }

    private mutating func close(_ index: Int, _ effects: inout [KeyLane.Effect]) {
        connections[index].isOpen = false
        connections[index].isClosing = false
        connections[index].isAnnounced = false
        lanes[connections[index].node].closed(Self.socket(index), at: place.now, &effects)
    }

    private mutating func perform(_ command: ModelCommand, _ design: RouteDesign) -> ModelReply {
        var after = redis
        let reply = design.perform(command, on: &after, in: place)
        // When a mapping would end is not told apart: it ends by an event.
        if after.record.stored?.expires != redis.record.stored?.expires {
            after.record.stored?.expires = ModelPlace.fresh
        }
        if after != redis { replica = redis }
        redis = after
        return reply
    }

    private mutating func giveUp(_ index: Int) {
        budget.failures -= 1
        let flight = flights.remove(at: index)
        if flight.reply == nil {
            late.append(Late(command: flight.command, until: place.now + .seconds(9)))
        }
        lanes[flight.command.node].failed(flight.command.call, at: place.now)
    }

    private mutating func crash(_ node: Int) {
        budget.crashes -= 1
        for flight in flights where flight.command.node == node && flight.reply == nil {
            late.append(Late(command: flight.command, until: place.now + .seconds(9)))
        }
        flights.removeAll { $0.command.node == node }
        lanes[node] = Lane()
        place.incarnations[node] = Incarnation(place.incarnations[node].number + 1)
        for index in connections.indices where connections[index].node == node {
            connections[index] = Connection(node: node, isOpen: false)
        }
    }

    mutating func pass(_ duration: Duration, _ effects: inout [KeyLane.Effect]) {
        place.now = place.now + duration
        late.removeAll { $0.until < place.now }
        for node in 0..<2 { lanes[node].timePassed(to: place.now, &effects) }
    }

    mutating func perform(_ effects: [KeyLane.Effect]) {
        for effect in effects {
            switch effect {
            case .announce(let socket):
                if connections[socket.slot - 1].isOpen { connections[socket.slot - 1].isAnnounced = true }
            case .close(let socket, let code):
                let index = socket.slot - 1
                guard connections[index].isOpen else { continue }
                if index == real, code == .replaced { isRealClosed = true }
                connections[index].isClosing = true
            case .tell(let session):
                if !orders.contains(session) { orders.append(session) }
            // The model's user has one key.
            case .evict: break
            }
        }
    }

    mutating func ask() {
        for node in 0..<2 {
            for call in lanes[node].nextCalls(at: place.now, place.incarnations[node]) {
                let accepted = lanes[node].accepted(call) ?? place.now
                flights.append(
                    Flight(
                        command: ModelCommand(node: node, call: call, accepted: accepted, made: place.now)
                    )
                )
            }
        }
    }
}
