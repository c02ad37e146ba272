import HeraldCore
import HeraldSockets
import HeraldWire
import Logging
import Synchronization

/// Keeps this node's routes in Redis true: the I/O around `RouteKeeperStateMachine`.
///
/// One task runs the machine. Loops, the lease and the inbox post events; each wake-up takes all that is there,
/// so that a storm of connects becomes a few large calls. A call of the route table is a task of its own whose
/// answer is one more event: nothing here waits for Redis.
final class RouteKeeper: Sendable {
    enum Event: Sendable {
        case claimed(SocketID, UserKey)
        case closed(SocketID, UserKey, rooms: [RoomID], DisconnectReason)
        case joined(SocketID, RoomID, as: UserKey)
        case left(RoomID, by: UserKey)
        case closeOrdered(CloseOrder)
        case leaseChanged(Lease?)
        case redisReturned
        case answered(UInt64, StateMachine.Answer?)
        case timePassed
    }

    /// What others may know of it, as of its last turn.
    struct Snapshot: Sendable {
        var counts = StateMachine.Counts()
        var keys = 0
        var users = 0
        var rooms = 0
        var isRebuilding = false
        /// The run under which it writes; nil without a lease.
        var incarnation: Incarnation?
        var isTrouble = false
        var isEmpty = true
        /// Messages to other nodes about sessions that lost their key, and those that could not be sent.
        var told: UInt64 = 0
        var untold: UInt64 = 0
    }

    private let settings: StateMachine.Settings
    private let mailbox = Mailbox<Event>()
    private let published = Mutex(Snapshot())
    private let logger: Logger

    /// Between two looks at the clock: also the pace of renewals, so it is short beside any bound.
    private static let tick = Duration.milliseconds(50)

    init(_ settings: StateMachine.Settings, logger: Logger) {
        self.settings = settings
        self.logger = logger
    }

    /// May be called on any thread. The events of one thread are taken in their order.
    func post(_ events: [Event]) { mailbox.post(events) }

    var snapshot: Snapshot { published.withLock { $0 } }

    /// Runs until the task is cancelled.
    func run(routes: some RouteTable, bus: some Bus, ports: [LoopPort<SessionCommand>]) async {
        await withDiscardingTaskGroup { group in
            group.addTask {
                while !Task.isCancelled {
                    self.post([.timePassed])
                    try? await Task.sleep(for: Self.tick)
                }
            }
            var machine = StateMachine(settings)
            var outbox = KeeperOutbox(ports)
            var effects: [StateMachine.Effect] = []
            while await mailbox.signal.next() {
                let events = mailbox.take()
                let now = Moment.now()
                for event in events { Self.handle(event, &machine, at: now, &effects) }
                for call in machine.nextCalls(at: now) {
                    group.addTask { await self.ask(call, of: routes) }
                }
                let orders = outbox.post(effects)
                effects.removeAll(keepingCapacity: true)
                if !orders.isEmpty { group.addTask { await self.tell(orders, over: bus) } }
                publish(machine)
            }
            group.cancelAll()
        }
    }

    private static func handle(
        _ event: Event,
        _ machine: inout StateMachine,
        at now: Moment,
        _ effects: inout [StateMachine.Effect]
    ) {
        switch event {
        case .claimed(let socket, let name): machine.claimed(name, by: socket, at: now, &effects)
        case .closed(let socket, let name, let rooms, let reason):
            machine.closed(socket, name, rooms: rooms, for: reason, at: now, &effects)
        case .joined(let socket, let room, let name):
            machine.joined(room, by: socket, as: name, at: now, &effects)
        case .left(let room, let name): machine.left(room, by: name)
        case .closeOrdered(let order): machine.closeOrdered(order, at: now, &effects)
        case .leaseChanged(let lease): machine.leaseChanged(lease, at: now)
        case .redisReturned: machine.redisReturned()
        case .answered(let number, let answer):
            machine.answered(number, answer, at: now, random: .random(in: 0...UInt64.max), &effects)
        case .timePassed: machine.timePassed(to: now, &effects)
        }
    }

    private func ask(_ call: StateMachine.Call, of routes: some RouteTable) async {
        var answer: StateMachine.Answer?
        do throws(RouteTableError) {
            answer = try await answerOf(call.body, from: routes)
            if answer == nil { logger.error("The route table answered another number of entries than asked") }
        } catch {
            // Counted by the machine, which asks again; `trouble` is in readyz and metrics.
            logger.debug("The route table did not answer", metadata: ["error": "\(error)"])
        }
        post([.answered(call.number, answer)])
    }

    /// Nil when the answer does not fit the question.
    private func answerOf(
        _ body: StateMachine.Call.Body,
        from routes: some RouteTable
    ) async throws(RouteTableError) -> StateMachine.Answer? {
        let ttl = settings.rules.routeTTL
        switch body {
        case .bind(let binds):
            let outcomes = try await routes.bind(binds, for: ttl)
            return outcomes.count == binds.count ? .bound(outcomes) : nil
        case .renew(let mappings):
            let outcomes = try await routes.renew(mappings, for: ttl)
            return outcomes.count == mappings.count ? .renewed(outcomes) : nil
        case .unbind(let departures):
            let wereThere = try await routes.unbind(departures)
            return wereThere.count == departures.count ? .unbound(wereThere) : nil
        case .find(let keys):
            let found = try await routes.look(up: Lookup(keys: keys)).keys
            return found.count == keys.count ? .found(found) : nil
        case .share(let rooms, let lease):
            return .sharesTold(astray: try await routes.share(rooms, of: lease, for: ttl))
        }
    }

    /// Asks other nodes to close what was replaced. If that fails, their next renewal finds it out.
    private func tell(_ orders: [NodeID: [CloseOrder]], over bus: some Bus) async {
        let messages = orders.map { node, closes in
            let envelope = Envelope(sender: settings.node.description, closes: closes)
            return BusMessage(node: node, bytes: envelope.encoded())
        }
        let count = UInt64(orders.values.reduce(0) { $0 + $1.count })
        do throws(BusError) {
            _ = try await bus.publish(messages)
            published.withLock { $0.told += count }
        } catch {
            published.withLock { $0.untold += count }
            logger.debug("Replaced sessions were not told", metadata: ["error": "\(error)"])
        }
    }

    private func publish(_ machine: borrowing StateMachine) {
        let load = machine.load
        let counts = machine.counts
        let (isRebuilding, isTrouble, isEmpty) = (machine.isRebuilding, machine.isTrouble, machine.isEmpty)
        let incarnation = machine.lease?.incarnation
        published.withLock { snapshot in
            snapshot.counts = counts
            (snapshot.keys, snapshot.users, snapshot.rooms) = load
            snapshot.isRebuilding = isRebuilding
            snapshot.incarnation = incarnation
            snapshot.isTrouble = isTrouble
            snapshot.isEmpty = isEmpty
        }
    }
}

/// Sorts the machine's effects by loop; one batch and one wake-up each.
struct KeeperOutbox {
    private let ports: [LoopPort<SessionCommand>]
    /// By loop. What a full loop did not take stays and goes first the next time; sockets bound it.
    private var batches: [[SessionCommand]]
    /// Commands posted at once. A loop takes a batch whole or not at all, and one answer about rooms that many have
    /// joined can be longer than what may wait for a loop.
    private let pieceMax: Int

    init(_ ports: [LoopPort<SessionCommand>], pieceMax: Int = 4096) {
        self.ports = ports
        self.pieceMax = pieceMax
        batches = Array(repeating: [], count: ports.count)
    }

    /// - Returns: what other nodes are to be told.
    mutating func post(_ effects: [RouteKeeper.StateMachine.Effect]) -> [NodeID: [CloseOrder]] {
        var orders: [NodeID: [CloseOrder]] = [:]
        for effect in effects {
            switch effect {
            case .announce(let socket): batches[socket.loop].append(.bound(socket))
            case .close(let socket, let code): batches[socket.loop].append(.close(socket, code))
            case .joined(let socket, let room): batches[socket.loop].append(.joined(socket, room))
            case .joinRefused(let socket, let room): batches[socket.loop].append(.joinRefused(socket, room))
            case .tell(let node, let order): orders[node, default: []].append(order)
            }
        }
        for loop in batches.indices where !batches[loop].isEmpty { post(to: loop) }
        return orders
    }

    private mutating func post(to loop: Int) {
        let count = batches[loop].count
        guard count > pieceMax else {
            if ports[loop].post(batches[loop]) { batches[loop].removeAll() }
            return
        }
        var posted = 0
        while posted < count {
            let piece = Array(batches[loop][posted..<min(count, posted + pieceMax)])
            guard ports[loop].post(piece) else { break }
            posted += piece.count
        }
        batches[loop].removeFirst(posted)
    }
}
