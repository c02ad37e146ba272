import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldCloud
@testable import HeraldSockets

/// Random schedules over two nodes' keepers and one table: calls that are late, lost, or happen after they were
/// given up; clients that come and go; leases and data that are lost. Each is replayed by its seed.
///
/// One after the other: they compute without a pause, and the nodes of other tests need a thread meanwhile.
@Suite(.serialized)
struct RouteKeeperScheduleTests {
    @Test(arguments: 1...200)
    func `once all has settled each live session has its route, and no other`(seed: Int) async throws {
        var world = World(seed: UInt64(seed))
        try await world.start()
        for _ in 0..<250 { try await world.step() }
        try await world.settle()
        try await world.check()
    }
}

/// One node with its sockets.
private final class Node {
    let id: NodeID
    var machine: RouteKeeperStateMachine
    var lease: Lease?
    var open: [SocketID: UserKey] = [:]
    var announced: Set<SocketID> = []
    /// Sockets that the keeper asked to close and that have not closed yet.
    var closing: [SocketID] = []
    var orders: [CloseOrder] = []
    var calls: [RouteKeeperStateMachine.Call] = []
    /// Calls that were given up and may still happen until then.
    var late: [(body: RouteKeeperStateMachine.Call.Body, made: Moment, until: Moment)] = []
    /// When the calls of `calls` were made.
    var made: [UInt64: Moment] = [:]

    init(_ name: String) {
        id = NodeID(fixed: name)
        machine = RouteKeeperStateMachine(.init(node: id))
    }
}

private struct World {
    let table = MemoryRouteTable()
    let nodes = [Node("cloud-1"), Node("cloud-2")]
    let names = ["alice/phone", "alice/laptop", "bob/phone"].map { UserKey(fixed: $0) }
    var dice: Dice
    var now = Moment(milliseconds: 0)
    var lastSlot = 0

    init(seed: UInt64) { dice = Dice(seed: seed) }

    mutating func start() async throws {
        for node in nodes { try await register(node) }
    }

    mutating func step() async throws {
        let node = nodes[roll(2)]
        switch roll(16) {
        case 0, 1: connect(node)
        case 2: closeSome(node, from: Array(node.open.keys))
        case 3, 4: closeSome(node, from: node.closing)
        case 5:
            if !node.orders.isEmpty { order(node.orders.removeFirst(), at: node) }
        case 6, 7, 8: try await answerOne(node, outcome: 0)
        case 9: try await answerOne(node, outcome: roll(4))
        case 10: try await lateCall(node)
        case 11 where roll(12) == 0: try await loseLease(node)
        case 12 where roll(40) == 0:
            table.forget()
            for node in nodes { try await loseLease(node) }
        default: pass(.milliseconds(Int64(roll(800))))
        }
        for node in nodes { ask(node) }
    }

    /// Everything that is under way ends well, and time passes until all has been renewed.
    mutating func settle() async throws {
        for round in 0..<900 {
            for node in nodes {
                if round == 0 {
                    for (body, made, _) in node.late { _ = try await perform(body, made: made) }
                    node.late = []
                }
                ask(node)
                while !node.calls.isEmpty { try await answerOne(node, outcome: 0) }
                while let socket = node.closing.first { close(socket, node) }
                while !node.orders.isEmpty { order(node.orders.removeFirst(), at: node) }
            }
            pass(.milliseconds(100))
            for node in nodes { try await keepLease(node) }
        }
    }

    func check() async throws {
        let found = try await table.look(up: Lookup(keys: names))
        for (name, route) in zip(names, found.keys) {
            let holders = nodes.flatMap { node in
                node.open.filter { $0.value == name }.map { (node, $0.key) }
            }
            #expect(holders.count <= 1, "\(name) is live \(holders.count) times")
            for (node, socket) in holders {
                #expect(node.announced.contains(socket), "\(name) waits for ever")
                #expect(route?.session.node == node.id, "\(name) has no route")
                #expect(route?.session.incarnation == node.lease?.incarnation)
            }
            if holders.isEmpty { #expect(route == nil, "\(name) has a ghost") }
        }
        for node in nodes {
            let keys = node.machine.load.keys
            #expect(keys == node.open.count)
        }
    }

    // MARK: Steps

    private mutating func connect(_ node: Node) {
        lastSlot += 1
        let socket = SocketID(loop: 0, slot: lastSlot, generation: 1)
        let name = names[roll(names.count)]
        node.open[socket] = name
        effects(node) { $0.claimed(name, by: socket, at: $1, &$2) }
    }

    private mutating func closeSome(_ node: Node, from sockets: [SocketID]) {
        let sockets = sockets.sorted { $0.rawValue < $1.rawValue }
        if !sockets.isEmpty { close(sockets[roll(sockets.count)], node) }
    }

    private mutating func close(_ socket: SocketID, _ node: Node) {
        node.closing.removeAll { $0 == socket }
        node.announced.remove(socket)
        guard let name = node.open.removeValue(forKey: socket) else { return }
        effects(node) { $0.closed(socket, name, rooms: [], at: $1, &$2) }
    }

    private mutating func order(_ order: CloseOrder, at node: Node) {
        effects(node) { $0.closeOrdered(order, at: $1, &$2) }
    }

    /// `outcome`: 0 done and answered; 1 done, answer lost; 2 not done; 3 given up, and done later.
    private mutating func answerOne(_ node: Node, outcome: Int) async throws {
        guard !node.calls.isEmpty else { return }
        let call = node.calls.remove(at: roll(node.calls.count))
        let made = node.made.removeValue(forKey: call.number) ?? now
        var answer: RouteKeeperStateMachine.Answer?
        switch outcome {
        case 0: answer = try await perform(call.body, made: made)
        case 1: _ = try await perform(call.body, made: made)
        case 2: break
        default: node.late.append((call.body, made, now + .seconds(8)))
        }
        let random = dice.next()
        effects(node) { $0.answered(call.number, answer, at: $1, random: random, &$2) }
    }

    private mutating func lateCall(_ node: Node) async throws {
        guard !node.late.isEmpty else { return }
        let (body, made, _) = node.late.remove(at: roll(node.late.count))
        _ = try await perform(body, made: made)
    }

    private mutating func pass(_ duration: Duration) {
        now = now + duration
        table.advance(by: duration)
        for node in nodes {
            node.late.removeAll { $0.until < now }
            effects(node) { $0.timePassed(to: $1, &$2) }
        }
    }

    private func register(_ node: Node) async throws {
        let lease = try await table.register(NodeProfile(id: node.id, url: ""), lease: .seconds(1000))
        node.lease = lease
        node.machine.leaseChanged(lease, at: now)
    }

    private mutating func loseLease(_ node: Node) async throws {
        if let lease = node.lease { try await table.leave(lease) }
        node.machine.leaseChanged(nil, at: now)
        try await register(node)
    }

    private func keepLease(_ node: Node) async throws {
        guard let lease = node.lease else { return }
        let profile = NodeProfile(id: node.id, url: "")
        let renewed = try await table.renew(
            lease,
            profile: profile,
            load: NodeLoad(),
            state: .live,
            for: .seconds(1000)
        )
        #expect(renewed != nil)
    }

    // MARK: Plumbing

    private mutating func roll(_ sides: Int) -> Int { Int(dice.next() % UInt64(sides)) }

    private func ask(_ node: Node) {
        for call in node.machine.nextCalls(at: now) {
            node.calls.append(call)
            node.made[call.number] = now
        }
    }

    /// A bind is judged by when its session was accepted, however long it was on its way since it was made.
    private func perform(
        _ body: RouteKeeperStateMachine.Call.Body,
        made: Moment
    ) async throws -> RouteKeeperStateMachine.Answer {
        let ttl = Duration.seconds(120)
        switch body {
        case .bind(var binds):
            for index in binds.indices { binds[index].age += now.since(made) }
            return .bound(try await table.bind(binds, for: ttl))
        case .renew(let routes): return .renewed(try await table.renew(routes, for: ttl))
        case .unbind(let routes):
            return .unbound(try await table.unbind(routes))
        case .find(let keys): return .found(try await table.look(up: Lookup(keys: keys)).keys)
        case .share(let rooms, let lease):
            try await table.share(rooms, of: lease, for: ttl)
            return .shared
        }
    }

    private func effects(
        _ node: Node,
        _ event: (inout RouteKeeperStateMachine, Moment, inout [RouteKeeperStateMachine.Effect]) -> Void
    ) {
        var effects: [RouteKeeperStateMachine.Effect] = []
        event(&node.machine, now, &effects)
        for effect in effects {
            switch effect {
            case .announce(let socket):
                let name = node.open[socket]
                let others = node.announced.filter { node.open[$0] == name && name != nil }
                #expect(others.isEmpty, "two live sessions of one key on one node")
                if name != nil { node.announced.insert(socket) }
            case .close(let socket, _):
                if node.open[socket] != nil { node.closing.append(socket) }
            case .tell(let id, let order): nodes.first { $0.id == id }?.orders.append(order)
            case .joined, .joinRefused: break
            }
        }
    }
}
