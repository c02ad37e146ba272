import HeraldCore
import HeraldSockets
import HeraldWire
import Synchronization

/// One loop's sessions: turns what the engine reports into events of `Session`, performs its actions, and
/// runs the hub's fan-out in slices.
///
/// Everything here belongs to whoever takes the loop's turn. What leaves it goes out once a turn: one batch of events
/// to the keeper, one set of gauges.
struct SessionHandler: ~Copyable, SocketHandler {
    typealias Command = SessionCommand

    /// Frames and look-ups of one slice: about 2 ms of sending, for which others wait.
    static let sliceBudget = 256

    private struct Entry {
        let id: SocketID
        var session = Session()
        /// Counted in `live`.
        var isLive = false
    }

    private let context: NodeContext
    private let gauges: LoopGauges
    private var hub: Hub
    /// By slot; nil: no open socket there.
    private var entries: [Entry?] = []
    private var counts = LoopGauges.Values()
    private var outbox: [RouteKeeper.Event] = []
    private var dice = SystemRandomNumberGenerator()
    /// Where `closeSome` goes on.
    private var closedTo = 0

    init(_ context: NodeContext, loop: Int) {
        self.context = context
        gauges = context.gauges[loop]
        hub = Hub(
            awaitedMax: context.limits.receiptsAwaitedMax / context.gauges.count,
            queueBytesMax: context.queueBytesMax,
            directory: gauges.directory
        )
    }

    // MARK: What the engine reports

    mutating func requestReceived(_ request: borrowing HTTPRequestHead) -> RequestDecision {
        switch NodeHTTP.decide(request, context) {
        case .decided(let decision): return decision
        case .refusedOrigin(let decision):
            counts.refusedOrigins += 1
            return decision
        case .refusedQuery(let decision):
            counts.refusedQueries += 1
            return decision
        }
    }

    mutating func socketOpened(
        _ id: SocketID,
        request: borrowing HTTPRequestHead,
        sockets: inout SocketTable
    ) {
        while entries.count <= id.slot { entries.append(nil) }
        entries[id.slot] = Entry(id: id)
        counts.sessions += 1
        // It was read once before it was accepted, so it can be read.
        if let connect = try? NodeHTTP.connectRequest(request, context.limits) {
            let setting = setting()
            tell(id, &sockets) { $0.connectGiven(connect, setting, &$1) }
        } else {
            sockets.setDeadline(id, after: context.limits.connectDeadline)
        }
    }

    mutating func messageReceived(
        _ message: RawSpan,
        kind: MessageKind,
        from id: SocketID,
        sockets: inout SocketTable
    ) {
        counts.framesIn += 1
        // The engine's clock: for how much a client may ask only differences count.
        let now = Moment(milliseconds: Int64(sockets.nowNanoseconds / 1_000_000))
        do throws(WireError) {
            let frame = try Self.decode(message, kind, context.limits)
            let (setting, room) = (setting(), room(of: frame, id.slot))
            let isOwed = isOwed(frame, id.slot)
            tell(id, &sockets) {
                $0.frameReceived(frame, room: room, isOwed: isOwed, at: now, setting, &$1)
            }
        } catch {
            counts.framesBad += 1
            tell(id, &sockets) { $0.frameUnreadable(error, at: now, &$1) }
        }
    }

    mutating func framesWritten(_ count: Int, to id: SocketID, sockets: inout SocketTable) {
        guard id.slot < entries.count, entries[id.slot]?.id == id else { return }
        if hub.awaited.written(count, to: id.slot) { hub.pageDrained(id.slot) }
        // The engine may sleep after this.
        flush()
    }

    mutating func deadlinePassed(_ id: SocketID, sockets: inout SocketTable) {
        tell(id, &sockets) { $0.deadlinePassed(&$1) }
    }

    mutating func socketClosed(_ id: SocketID, cause: CloseCause, sockets: inout SocketTable) {
        if entries[id.slot]?.isLive == true { counts.live -= 1 }
        entries[id.slot] = nil
        counts.sessions -= 1
        if let (name, rooms) = hub.detach(id.slot) {
            outbox.append(.closed(id, name, rooms: rooms, DisconnectReason(cause)))
        }
        // The engine reports closings after `continueWork`, and may sleep then.
        flush()
    }

    mutating func commandsArrived(_ commands: [SessionCommand], sockets: inout SocketTable) {
        for command in commands {
            switch command {
            case .deliver(let batch): hub.queue.append(batch)
            case .bound(let id): tell(id, &sockets) { $0.bound(&$1) }
            case .close(let id, let code): tell(id, &sockets) { $0.closeOrdered(code, &$1) }
            case .joined(let id, let room): tell(id, &sockets) { $0.joined(room, &$1) }
            case .joinRefused(let id, let room): tell(id, &sockets) { $0.joinRefused(room, &$1) }
            case .inboxRead(let id, let page): inboxRead(page, id, &sockets)
            case .doubtInboxes(let turn, let turns):
                hub.doubtInboxes(where: { $0 % turns == turn }, &sockets)
            case .closeSome(let count, let code): closeSome(count, code, &sockets)
            }
        }
    }

    mutating func continueWork(sockets: inout SocketTable) -> Bool {
        let isMore = hub.fanOut(budget: Self.sliceBudget, to: &sockets)
        if !hub.overheld.isEmpty { closeOverheld(&sockets) }
        flush()
        return isMore
    }

    // MARK: Sessions

    private static func decode(
        _ message: RawSpan,
        _ kind: MessageKind,
        _ limits: Limits
    ) throws(WireError) -> ClientFrame {
        guard kind == .text else { throw WireError(.badJSON, "must be a text frame") }
        return try message.withUnsafeBytes { bytes throws(WireError) in
            try ClientFrame.decode(bytes, limits: limits)
        }
    }

    private mutating func setting() -> Session.Setting {
        Session.Setting(limits: context.limits, random: (dice.next(), dice.next()))
    }

    /// What the session must know of the room that a frame names.
    private func room(of frame: ClientFrame, _ slot: Int) -> Session.RoomView? {
        switch frame.body {
        case .join(let name), .leave(let name):
            // Before it has a seat it is in no room.
            guard entries[slot]?.session.isLive == true else { return nil }
            return Session.RoomView(isMember: hub.isMember(slot, of: name), count: hub.roomCount(of: slot))
        case .connect, .ack, .ping: return nil
        }
    }

    /// Whether a frame is what the node asked for: an acknowledgement that somebody awaits.
    private func isOwed(_ frame: ClientFrame, _ slot: Int) -> Bool {
        if case .ack(let push) = frame.body { hub.awaited.isAwaited(push, from: slot) } else { false }
    }

    /// Lets an event happen to a session and performs what it answers. One that is gone hears nothing.
    private mutating func tell(
        _ id: SocketID,
        _ sockets: inout SocketTable,
        _ event: (inout Session, inout [Session.Action]) -> Void
    ) {
        guard id.slot < entries.count, var entry = entries[id.slot].take() else { return }
        var actions: [Session.Action] = []
        if entry.id == id { event(&entry.session, &actions) }
        entries[id.slot] = entry
        for action in actions { perform(action, id, &sockets) }
    }

    private mutating func perform(_ action: Session.Action, _ id: SocketID, _ sockets: inout SocketTable) {
        switch action {
        case .claim(let name):
            sockets.setDeadline(id, after: nil)
            hub.attach(id, name)
            outbox.append(.claimed(id, name))
        case .enter(let room):
            if let name = hub.join(id.slot, room) { outbox.append(.joined(id, room, as: name)) }
        case .exit(let room):
            if let name = hub.leave(id.slot, room) { outbox.append(.left(room, by: name)) }
        case .say(let frame): send(frame, id, &sockets)
        case .openInbox(let resume): hub.openInbox(id.slot, resume, &sockets)
        case .goLive(let name, let start):
            entries[id.slot]?.isLive = true
            counts.live += 1
            counts.connected += 1
            let frame = ServerFrame.connected(
                user: name.user,
                key: name.key,
                node: context.node,
                inbox: start
            )
            send(frame, id, &sockets)
            if start == nil { announce(id, &sockets) }
        case .acknowledge(let push): hub.awaited.acked(push, from: id.slot)
        case .hear(let frames):
            // One by one: what the second means may hang on what the first did.
            for frame in frames {
                let (setting, room) = (setting(), room(of: frame, id.slot))
                tell(id, &sockets) { $0.hear(frame, room: room, setting, &$1) }
            }
        case .close(let code): sockets.close(id, code: code.number, reason: code.reason)
        }
    }

    private mutating func send(_ frame: ServerFrame, _ id: SocketID, _ sockets: inout SocketTable) {
        // A full queue has closed the socket already, and the engine counted it.
        _ = sockets.send(.text(frame.encoded()), to: id)
    }

    /// What came before the session was live, in its order.
    private mutating func announce(_ id: SocketID, _ sockets: inout SocketTable) {
        for kept in hub.announce(id.slot) {
            if let position = kept.position, hub.inboxes[id.slot] != nil {
                hub.inboxArrived(kept, at: position, id.slot, &sockets)
            } else {
                hub.pass(kept, id.slot, id, &sockets)
            }
        }
    }

    private mutating func inboxRead(_ page: InboxPage?, _ id: SocketID, _ sockets: inout SocketTable) {
        guard id.slot < entries.count, let entry = entries[id.slot], entry.id == id else { return }
        // Who waits for its first page has waited long enough.
        if page == nil, !entry.isLive {
            return tell(id, &sockets) { $0.closeOrdered(.routeUnavailable, &$1) }
        }
        for effect in hub.inboxRead(page, id.slot) {
            if case .start(let start) = effect {
                tell(id, &sockets) { $0.inboxRead(start, &$1) }
            } else {
                hub.perform(effect, id.slot, &sockets)
            }
        }
        if !entry.isLive, entries[id.slot]?.isLive == true { announce(id, &sockets) }
    }

    /// More came for a session that waits for its route than is kept: better to come back than to miss some.
    private mutating func closeOverheld(_ sockets: inout SocketTable) {
        for id in hub.overheld { tell(id, &sockets) { $0.closeOrdered(.slowConsumer, &$1) } }
        hub.overheld.removeAll()
    }

    private mutating func closeSome(_ count: Int, _ code: CloseCode, _ sockets: inout SocketTable) {
        var left = count
        for _ in 0..<entries.count where left > 0 {
            if closedTo >= entries.count { closedTo = 0 }
            if let id = entries[closedTo]?.id {
                left -= 1
                tell(id, &sockets) { $0.closeOrdered(code, &$1) }
            }
            closedTo += 1
        }
    }

    /// What the keeper and the gauges are to know.
    private mutating func flush() {
        if !outbox.isEmpty {
            context.keeper.post(outbox)
            outbox.removeAll(keepingCapacity: true)
        }
        context.inboxReader.post(hub.inboxes.takeReads())
        context.replier.call(hub.awaited.takeCalled())
        if !hub.queue.absent.isEmpty {
            context.replier.tell(hub.queue.absent)
            hub.queue.absent.removeAll()
        }
        gauges.waitingBytes.wrappingSubtract(hub.counts.finishedBytes, ordering: .relaxed)
        hub.counts.finishedBytes = 0
        counts.fanOut = hub.counts
        gauges.publish(counts)
    }
}
