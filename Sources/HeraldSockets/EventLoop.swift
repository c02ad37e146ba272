import Glibc

/// One loop: a thread's epoll, its listener, its sockets and its handler.
///
/// A turn: wait; serve what the kernel reports; take the commands; run the deadlines and pings that are due;
/// one slice of the handler's work; then write everything that was queued, tell the handler what closed,
/// free what ended. Everything lives in this one struct, local to the thread's function and passed
/// inout, so the compiler proves accesses exclusive and none is checked at run time.
struct EventLoop<Handler: SocketHandler & ~Copyable>: ~Copyable {
    var table: SocketTable
    var handler: Handler
    var listener: Listener?
    let limits: SocketLimits
    let frameLimits: FrameReader.Limits
    /// Into which every socket is read, one after the other. Owned; nothing in it outlives a read.
    let readBuffer: UnsafeMutableRawBufferPointer
    let ping = OutboundFrame.encoded(.ping, [UInt8]())

    private let mailbox: LoopMailbox<Handler.Command>
    private let shared: LoopShared
    private let budget: NodeBudget
    private var pacer: PingPacer
    private var commands: [Handler.Command] = []
    private var publishedBytes = 0
    private var hasWork = false
    /// Set while no descriptor was left, not even in reserve: when to listen again.
    private var listensAgainNanoseconds: UInt64?
    /// Set once the loop is being stopped: when it ends at the latest.
    private var stopsNanoseconds: UInt64?

    /// - Parameter listener: not yet registered.
    init(
        loop: Int,
        epoll: consuming Epoll,
        listener: consuming Listener,
        limits: SocketLimits,
        mailbox: LoopMailbox<Handler.Command>,
        shared: LoopShared,
        budget: NodeBudget,
        handler: consuming Handler
    ) {
        let now = Self.clock()
        table = SocketTable(loop: loop, epoll: consume epoll, limits: limits, nowNanoseconds: now)
        self.handler = handler
        self.listener = consume listener
        self.limits = limits
        frameLimits = FrameReader.Limits(
            messageBytesMax: limits.messageBytesMax,
            overheadBytesMax: limits.overheadBytesMax
        )
        readBuffer = .allocate(byteCount: limits.readBufferBytes, alignment: 16)
        self.mailbox = mailbox
        self.shared = shared
        self.budget = budget
        pacer = PingPacer(interval: limits.pingInterval, nowNanoseconds: now)
        _ = table.epoll.add(mailbox.descriptor, .readable, id: ReservedID.mailbox)
        registerListener()
    }

    deinit {
        readBuffer.deallocate()
    }

    /// Serves until it is stopped and every socket has ended.
    mutating func run() {
        while !isOver { turn() }
        mailbox.finish()
        for index in 0..<table.slotsUsed where table.slots[index].lifecycle.isConnected {
            table.counters.closeTimeouts += 1
            table.end(index, .disconnected)
        }
        settle()
    }

    private var isOver: Bool {
        guard let stopsNanoseconds else { return false }
        return table.connections == 0 || table.nowNanoseconds >= stopsNanoseconds
    }

    private mutating func turn() {
        let count = table.epoll.wait(milliseconds: waitMilliseconds())
        table.nowNanoseconds = Self.clock()
        for position in 0..<count { serve(table.epoll.event(position)) }
        runTimers()
        sendPings()
        hasWork = handler.continueWork(sockets: &table)
        settle()
    }

    private mutating func serve(_ event: Epoll.Event) {
        switch event.id {
        case ReservedID.listener: acceptConnections()
        case ReservedID.mailbox: takeMail()
        case let raw:
            // A socket that ended earlier in this turn may still be in the list.
            guard let index = table.connectedSlot(SocketID(rawValue: raw)) else { return }
            serve(index, event.interest)
        }
    }

    private mutating func serve(_ index: Int, _ event: Epoll.Interest) {
        if event.contains(.writable) { table.writable(index) }
        guard table.slots[index].lifecycle.isConnected else { return }
        let isBroken = !event.isDisjoint(with: .broken)
        if table.slots[index].flags.contains(.isPaused) {
            // Nothing may be read, and the kernel would go on reporting.
            if isBroken { table.end(index, .disconnected) }
        } else if isBroken || event.contains(.readable) {
            receive(index)
        }
    }

    // MARK: The end of a turn

    /// Writes, tells, frees. What the handler queues in here leaves with the next turn, which then comes at once.
    private mutating func settle() {
        tellClosings()
        table.flushDirty()
        tellClosings()
        table.releaseEnded()
        let excess = budget.add(table.queuedBytes - publishedBytes, own: table.queuedBytes)
        publishedBytes = table.queuedBytes
        if excess > 0 { table.shed(excessBytes: excess) }
        publishCounters()
    }

    private mutating func tellClosings() {
        while !table.closings.isEmpty {
            let closings = table.closings
            table.closings.removeAll(keepingCapacity: true)
            for closing in closings {
                handler.socketClosed(closing.id, cause: closing.cause, sockets: &table)
            }
        }
    }

    private mutating func publishCounters() {
        table.counters.open = table.count
        table.counters.connections = table.connections
        table.counters.queuedBytes = table.queuedBytes
        shared.counters = table.counters
    }

    private func waitMilliseconds() -> Int32 {
        if hasWork || table.dirtyCount > 0 || !table.closings.isEmpty { return 0 }
        var wake = table.wheel.nextTick.map { $0 << SocketTable.tickShift } ?? .max
        wake = min(wake, pacer.nextNanoseconds(slots: table.slotsUsed) ?? .max)
        wake = min(wake, listensAgainNanoseconds ?? .max, stopsNanoseconds ?? .max)
        guard wake != .max else { return -1 }
        let now = Self.clock()
        return wake <= now ? 0 : Int32(clamping: (wake - now) / 1_000_000 + 1)
    }

    static func clock() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// The descriptors in epoll that are no sockets: ids of generation zero, which no socket has.
private enum ReservedID {
    static let listener: UInt64 = 0
    static let mailbox: UInt64 = 1 << 32
}

// MARK: - Mail

extension EventLoop where Handler: ~Copyable {
    private mutating func takeMail() {
        let orders = mailbox.take(&commands)
        if !commands.isEmpty {
            handler.commandsArrived(commands, sockets: &table)
            commands.removeAll(keepingCapacity: true)
        }
        if orders.stopAccepting || orders.stop != nil { listener = nil }
        if let stop = orders.stop, stopsNanoseconds == nil {
            startStopping(code: stop.code, reason: stop.reason)
        }
    }

    private mutating func startStopping(code: UInt16, reason: String) {
        stopsNanoseconds = table.nowNanoseconds + limits.closeTimeout.clampedNanoseconds
        for index in 0..<table.slotsUsed {
            switch table.slots[index].lifecycle {
            case .handshake: table.end(index, .stopped(code: code))
            case .open: table.startClosing(index, code: code, reason: reason, cause: .stopped(code: code))
            case .free, .closing, .draining, .halfClosed, .ending, .ended: break
            }
        }
    }
}

// MARK: - Time

extension EventLoop where Handler: ~Copyable {
    private mutating func runTimers() {
        if let time = listensAgainNanoseconds, time <= table.nowNanoseconds { registerListener() }
        table.wheel.advance(to: table.nowNanoseconds >> SocketTable.tickShift)
        while let entry = table.wheel.popExpired() {
            let index = entry / 2
            guard table.slots[index].lifecycle.isConnected else { continue }
            if entry % 2 == SocketTable.TimerKind.handler.rawValue {
                handler.deadlinePassed(table.slots[index].id, sockets: &table)
            } else {
                engineTimerExpired(index)
            }
        }
    }

    /// What an engine timer means depends on where the connection stands; it has one at a time.
    private mutating func engineTimerExpired(_ index: Int) {
        switch table.slots[index].lifecycle {
        case .handshake:
            table.counters.refusedTooSlow += 1
            if table.slots[index].head.isEmpty {
                table.end(index, .disconnected)
            } else {
                refuse(index, .tooSlow)
            }
        case .open:
            guard table.slots[index].flags.contains(.isPinged), !table.slots[index].flags.contains(.isPaused)
            else { return }
            table.counters.pingTimeouts += 1
            table.end(index, .pingTimeout)
        case .closing, .draining, .halfClosed, .ending:
            table.counters.closeTimeouts += 1
            table.end(index, .disconnected)
        case .free, .ended: break
        }
    }

    private mutating func sendPings() {
        let (first, second) = pacer.due(slots: table.slotsUsed, nowNanoseconds: table.nowNanoseconds)
        for index in first { sendPing(index) }
        for index in second { sendPing(index) }
    }

    private mutating func sendPing(_ index: Int) {
        guard table.slots[index].lifecycle == .open else { return }
        table.slots[index].reader.forgiveOverhead()
        guard table.slots[index].flags.isDisjoint(with: [.isPaused, .isPinged]) else { return }
        table.slots[index].flags.insert(.isPinged)
        table.enqueue(ping, index)
        table.counters.pingsOut += 1
        table.setTimer(index, .engine, after: limits.pongTimeout)
    }
}

// MARK: - Accepting

extension EventLoop where Handler: ~Copyable {
    private mutating func acceptConnections() {
        guard listener != nil else { return }
        for _ in 0..<limits.acceptsPerTurnMax {
            switch listener?.accept() ?? .none {
            case .connection(let descriptor): admit(descriptor)
            case .none: return
            case .exhausted(let isStuck):
                table.counters.descriptorsExhausted += 1
                if isStuck { return pauseListening() }
                table.counters.accepted += 1
                table.counters.refusedNoDescriptor += 1
            }
        }
    }

    private mutating func admit(_ descriptor: Int32) {
        table.counters.accepted += 1
        guard let index = table.claim(descriptor) else {
            table.counters.refusedFull += 1
            Glibc.close(descriptor)
            return
        }
        table.setTimer(index, .engine, after: limits.upgradeDeadline)
        if !table.epoll.add(descriptor, .readable, id: table.slots[index].id.rawValue) {
            table.end(index, .disconnected)
        }
    }

    private mutating func registerListener() {
        listensAgainNanoseconds = nil
        if let descriptor = listener?.descriptor {
            _ = table.epoll.add(descriptor, .readable, id: ReservedID.listener)
        }
    }

    /// The queue stays readable and nothing can be taken from it: look away for a while rather than spin.
    private mutating func pauseListening() {
        guard let descriptor = listener?.descriptor else { return }
        table.epoll.remove(descriptor)
        listensAgainNanoseconds = table.nowNanoseconds + 100_000_000
    }
}
