import Glibc

/// One loop: an epoll, its listener, its sockets and its handler.
///
/// A turn: serve what the kernel reports; take the commands; run the deadlines and pings that are due; one slice of
/// the handler's work; then write everything that was queued, tell the handler what closed, free what ended.
/// Everything lives in this one struct, which is passed inout, so the compiler proves accesses exclusive and none is
/// checked at run time. Who takes the turns is in `LoopSeat`.
struct EventLoop<Handler: SocketHandler & ~Copyable>: ~Copyable {
    var table: SocketTable
    var handler: Handler
    var listener: Listener?
    let limits: SocketLimits
    let proxies: TrustedProxies
    let frameLimits: FrameReader.Limits
    /// Into which every socket is read, one after the other. Owned; nothing in it outlives a read.
    let readBuffer: UnsafeMutableRawBufferPointer
    let ping = OutboundFrame.encoded(.ping, [UInt8]())

    private let mailbox: LoopMailbox<Handler.Command>
    private let shared: LoopShared
    private let budget: NodeBudget
    var pacer: PingPacer
    private var commands: [Handler.Command] = []
    private var publishedBytes = 0
    /// Steps of TLS handshakes taken in this turn.
    var handshakeSteps = 0
    private var hasMail = false
    private var hasWork = false
    /// Until when the loop's thread sleeps; 0: it does not.
    private var sleepsNanoseconds: UInt64 = 0
    private var hasEnded = false
    /// Set while no descriptor was left, not even in reserve: when to listen again.
    var listensAgainNanoseconds: UInt64?
    /// Set once the loop is being stopped: when it ends at the latest.
    private var stopsNanoseconds: UInt64?

    /// The listener is registered here, the epoll owned from here on.
    init(
        loop: Int,
        epoll: consuming Epoll,
        listener: consuming Listener,
        limits: SocketLimits,
        deflate: DeflateSettings?,
        certificate: TLSCertificate?,
        proxies: TrustedProxies,
        mailbox: LoopMailbox<Handler.Command>,
        shared: LoopShared,
        budget: NodeBudget,
        handler: consuming Handler
    ) {
        let now = Self.clock()
        table = SocketTable(
            loop: loop,
            epoll: consume epoll,
            limits: limits,
            deflate: deflate,
            certificate: certificate,
            nowNanoseconds: now
        )
        self.handler = handler
        self.listener = consume listener
        self.limits = limits
        self.proxies = proxies
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

    /// The loop's thread is about to wait.
    ///
    /// - Returns: how long at most, -1 for without end; nil when the loop is stopped and every socket has ended.
    mutating func nextWait() -> Int32? {
        if isOver {
            end()
            return nil
        }
        sleepsNanoseconds = nextNanoseconds
        guard sleepsNanoseconds != .max else { return -1 }
        let now = Self.clock()
        return sleepsNanoseconds <= now ? 0 : Int32(clamping: (sleepsNanoseconds - now) / 1_000_000 + 1)
    }

    private var isOver: Bool {
        guard let stopsNanoseconds else { return false }
        return table.connections == 0 || table.nowNanoseconds >= stopsNanoseconds
    }

    private mutating func end() {
        mailbox.finish()
        for index in 0..<table.slotsUsed where table.slot(index).pointee.lifecycle.isConnected {
            table.counters.closeTimeouts += 1
            table.end(index, .disconnected)
        }
        settle()
        hasEnded = true
    }

    /// What the loop's thread does with what its wait brought.
    mutating func turn(_ events: borrowing EpollEvents) {
        table.nowNanoseconds = Self.clock()
        handshakeSteps = 0
        for position in 0..<events.count { serve(events[position]) }
        if hasMail {
            hasMail = false
            mailbox.clearSignal()
            takeMail()
        }
        runTimers()
        sendPings()
        hasWork = handler.continueWork(sockets: &table)
        settle()
    }

    /// A turn for the commands alone, by another thread, while the loop's own sleeps.
    ///
    /// - Returns: whether they were taken; false: the loop is about to go on with its work, or has ended.
    mutating func attend() -> Bool {
        guard !hasEnded, sleepsNanoseconds > 0 else { return false }
        table.nowNanoseconds = Self.clock()
        takeMail()
        hasWork = handler.continueWork(sockets: &table)
        settle()
        if nextNanoseconds < sleepsNanoseconds || isOver { mailbox.wake() }
        return true
    }

    private mutating func serve(_ event: Epoll.Event) {
        switch event.id {
        case ReservedID.listener: acceptConnections()
        case ReservedID.mailbox: hasMail = true
        case let raw:
            // A socket that ended earlier in this turn may still be in the list.
            guard let index = table.connectedSlot(SocketID(rawValue: raw)) else { return }
            serve(index, event.interest)
        }
    }

    private mutating func serve(_ index: Int, _ event: Epoll.Interest) {
        if event.contains(.writable) { table.writable(index) }
        guard table.slot(index).pointee.lifecycle.isConnected else { return }
        // A handshake waits for room as well as for bytes.
        let goesOn = event.contains(.writable) && table.tls?.isHandshaking(index) == true
        let isBroken = !event.isDisjoint(with: .broken)
        if !table.slot(index).pointee.flags.isDisjoint(with: [.isPaused, .isFinished]) {
            // Nothing may be read, and the kernel would go on reporting.
            if isBroken { table.end(index, .disconnected) }
        } else if isBroken || goesOn || event.contains(.readable) {
            receive(index)
        }
    }

    // MARK: The end of a turn

    /// Writes, tells, frees. What the handler queues in here leaves with the next turn, which then comes at
    /// once.
    private mutating func settle() {
        tellClosings()
        table.flushDirty()
        tellWritten()
        tellClosings()
        table.releaseEnded()
        let excess = budget.add(table.queuedBytes - publishedBytes, own: table.queuedBytes)
        publishedBytes = table.queuedBytes
        table.isBudgetHalfUsed = budget.isHalfUsed
        if excess > 0 { table.shed(excessBytes: excess) }
        publishCounters()
    }

    private mutating func tellWritten() {
        guard !table.written.isEmpty else { return }
        let written = table.written
        table.written.removeAll(keepingCapacity: true)
        for each in written { handler.framesWritten(each.count, to: each.id, sockets: &table) }
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

    /// When there is something to do at the latest, though nothing comes; 0: at once.
    private var nextNanoseconds: UInt64 {
        if hasWork || table.dirtyCount > 0 || !table.closings.isEmpty || !table.written.isEmpty { return 0 }
        var wake = table.wheel.nextTick.map { $0 << SocketTable.tickShift } ?? .max
        wake = min(wake, pacer.nextNanoseconds(slots: slotsToPing) ?? .max)
        return min(wake, listensAgainNanoseconds ?? .max, stopsNanoseconds ?? .max)
    }

    static func clock() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// The descriptors in epoll that are no sockets: ids of generation zero, which no socket has.
enum ReservedID {
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
            switch table.slot(index).pointee.lifecycle {
            case .handshake: table.end(index, .stopped(code: code))
            case .open: table.startClosing(index, code: code, reason: reason, cause: .stopped(code: code))
            case .free, .closing, .draining, .halfClosed, .ending, .ended: break
            }
        }
    }
}
