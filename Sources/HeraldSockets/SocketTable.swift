import Glibc

/// The sockets of one loop: what a handler sends, closes and times with.
///
/// It is lent to the handler, inout, for the length of a call, always on the loop's thread; there is no lock
/// and nothing to share. Sending queues; the kernel is asked once per socket at the end of the turn.
///
/// Considered: a class per connection (a reference count and a run-time exclusivity check per access, 40 %
/// of the time of a delivery in the NIO pipeline that was measured) and a growing array (moves every
/// connection when it grows). This is a slab: addresses are reserved for all slots at the start, pages come
/// with use, and nothing moves.
public struct SocketTable: ~Copyable {
    /// The loop's number, as in `SocketID.loop`.
    public let loop: Int
    /// The monotonic clock at the start of the turn.
    public internal(set) var nowNanoseconds: UInt64
    /// Open sockets of this loop, those that are closing left out.
    public internal(set) var count = 0

    let limits: SocketLimits
    let epoll: Epoll
    /// Owner of the slots: `slotCapacity` addresses, the first `slotsUsed` of them initialized.
    let slots: UnsafeMutablePointer<Slot>
    let slotCapacity: Int
    var slotsUsed = 0
    var firstFree: Int32 = -1
    /// Slots with a descriptor.
    var connections = 0
    /// Connections accepted beyond the limit, to be refused.
    var refusals = 0

    /// Slots to flush at the end of the turn, each at most once.
    let dirty: UnsafeMutablePointer<Int32>
    var dirtyCount = 0
    /// Closings of which the handler has not heard yet.
    var closings: [Closing] = []
    /// Followed frames that the kernel has taken, and of which the handler has not heard yet.
    var written: [Written] = []
    /// Slots whose connection is over, to be freed once the handler knows.
    var ended: [Int32] = []

    var wheel: TimerWheel
    var counters = SocketCounters()
    /// nil when the engine does not compress.
    var deflate: LoopDeflate?
    /// nil when the engine speaks no TLS.
    let tls: TLSSessions?
    /// By slot, while a connection is new: what there is of a proxy's header, and what it said.
    var proxyHeaders: [Int: [UInt8]] = [:]
    var proxiedClients: [Int: PeerAddress] = [:]
    /// Memory waiting in all send queues.
    var queuedBytes = 0
    /// Of all loops' queues together, as of the end of the last turn.
    var isBudgetHalfUsed = false
    let vectors: UnsafeMutableBufferPointer<iovec>

    /// The close of an opened socket, as the handler will hear of it.
    struct Closing {
        var id: SocketID
        var cause: CloseCause
    }

    struct Written {
        var id: SocketID
        var count: Int
    }

    /// Two timers per slot: the engine's own and the handler's.
    enum TimerKind: Int {
        case engine, handler
    }

    /// One tick is 2^24 ns, 16.8 ms: a shift, and finer than any limit here.
    static let tickShift: UInt64 = 24

    init(
        loop: Int,
        epoll: consuming Epoll,
        limits: SocketLimits,
        deflate: DeflateSettings?,
        certificate: TLSCertificate?,
        nowNanoseconds: UInt64
    ) {
        self.deflate = deflate.map { LoopDeflate(settings: $0) }
        self.loop = loop
        self.epoll = consume epoll
        self.limits = limits
        self.nowNanoseconds = nowNanoseconds
        slotCapacity = limits.socketsMaxPerLoop + limits.refusalsMaxPerLoop
        slots = .allocate(capacity: slotCapacity)
        let capacity = slotCapacity
        tls = certificate.map { TLSSessions(certificate: $0, slotCapacity: capacity) }
        dirty = .allocate(capacity: slotCapacity)
        wheel = TimerWheel(capacity: slotCapacity * 2, now: nowNanoseconds >> Self.tickShift)
        // 64 small frames are about what fits a segment train; more vectors were not faster.
        vectors = .allocate(capacity: 64)
    }

    deinit {
        for index in 0..<slotsUsed where slot(index).pointee.lifecycle.isConnected {
            Glibc.close(slot(index).pointee.descriptor)
        }
        slots.deinitialize(count: slotsUsed)
        slots.deallocate()
        dirty.deallocate()
        vectors.deallocate()
    }
}

// MARK: - For the handler

extension SocketTable {
    /// Queues a frame; it leaves at the end of the turn, together with whatever else the turn brings.
    ///
    /// - Parameters:
    ///   - frame: shared with other sockets; nothing is copied.
    ///   - id: the socket.
    ///   - isFollowed: whether `framesWritten` shall tell when the kernel has taken all of it. Costs a place in the
    ///     queue (64 bytes).
    /// - Returns: what became of it so far.
    public mutating func send(
        _ frame: borrowing OutboundFrame,
        to id: SocketID,
        isFollowed: Bool = false
    ) -> SendOutcome {
        guard let index = openSlot(id) else { return .gone }
        if slot(index).pointee.deflate.isOn { return queue(deflated(frame, index), index, isFollowed) }
        return queue(frame, index, isFollowed)
    }

    private mutating func queue(
        _ frame: borrowing OutboundFrame,
        _ index: Int,
        _ isFollowed: Bool
    ) -> SendOutcome {
        let held = frame.byteCount + SendQueue.frameOverheadBytes
        if slot(index).pointee.queue.heldBytes + held > limits.sendQueueBytesMax {
            guard makeRoom(index, bytes: held) else { return .overflowed }
        }
        enqueue(copy frame, index)
        if isFollowed { enqueue(.receipt, index) }
        return .queued
    }

    /// Says goodbye: a close frame after all that is queued, then waits for the peer's, at most
    /// `SocketLimits.closeTimeout`. `socketClosed` comes before the turn ends.
    ///
    /// - Parameters:
    ///   - id: the socket; nothing happens when it is gone.
    ///   - code: 1000 to 1003, 1007 to 1014, or 3000 to 4999.
    ///   - reason: for whoever debugs the client; cut at 123 bytes.
    public mutating func close(_ id: SocketID, code: UInt16, reason: String = "") {
        precondition(ClosePayload.isAllowedOnWire(code), "a close code that may be sent")
        guard let index = openSlot(id) else { return }
        startClosing(index, code: code, reason: reason, cause: .handler(code: code))
    }

    /// Sets the socket's one deadline in place of the one before; nil unsets it. Exact to 17 ms, never early.
    public mutating func setDeadline(_ id: SocketID, after duration: Duration?) {
        guard let index = openSlot(id) else { return }
        guard let duration else {
            wheel.cancel(timer(index, .handler))
            return
        }
        setTimer(index, .handler, after: duration)
    }

    /// Memory that waits to be sent to the socket: the bytes of each frame that is not wholly sent, and 64 more. 0 when
    /// it is gone.
    public func queuedBytes(_ id: SocketID) -> Int {
        openSlot(id).map { slot($0).pointee.queue.heldBytes } ?? 0
    }

    /// Whether the socket takes messages.
    public func isOpen(_ id: SocketID) -> Bool { openSlot(id) != nil }

    /// Stops reading from the socket, so that the peer comes to wait. Messages that were already read
    /// (at most one read buffer) still arrive. Meanwhile the peer's pongs, its close and its end go
    /// unnoticed.
    public mutating func pauseReading(_ id: SocketID) {
        guard let index = openSlot(id), !slot(index).pointee.flags.contains(.isPaused) else { return }
        slot(index).pointee.flags.insert(.isPaused)
        updateInterest(index)
    }

    /// Reads on.
    public mutating func resumeReading(_ id: SocketID) {
        guard let index = openSlot(id) else { return }
        unpause(index)
    }
}

// MARK: - Slots

extension SocketTable {
    /// Much in one turn is no fault of the peer's: only what the kernel does not take now is too much.
    ///
    /// - Returns: false when the socket is being closed for it.
    private mutating func makeRoom(_ index: Int, bytes: Int) -> Bool {
        flush(index)
        guard slot(index).pointee.lifecycle == .open else { return false }
        if slot(index).pointee.queue.heldBytes + bytes <= limits.sendQueueBytesMax { return true }
        cut(index, cause: .overflow)
        return false
    }

    /// Where a slot lies. (Subscripting `slots` itself says the same; Swift 6.3 crashes over it under TSan.)
    func slot(_ index: Int) -> UnsafeMutablePointer<Slot> { slots + index }

    /// The index of an open socket's slot.
    func openSlot(_ id: SocketID) -> Int? {
        guard let index = connectedSlot(id), slot(index).pointee.lifecycle == .open else { return nil }
        return index
    }

    /// The index of the slot of a socket that still has its descriptor.
    func connectedSlot(_ id: SocketID) -> Int? {
        let index = id.slot
        guard index < slotsUsed, slot(index).pointee.id == id, slot(index).pointee.lifecycle.isConnected
        else { return nil }
        return index
    }

    /// Takes a slot for a new connection.
    ///
    /// - Returns: nil when there is none left, not even for a polite refusal.
    mutating func claim(_ descriptor: Int32) -> Int? {
        let isRefused = connections - refusals >= limits.socketsMaxPerLoop
        guard !isRefused || refusals < limits.refusalsMaxPerLoop else { return nil }
        let index: Int
        if firstFree >= 0 {
            index = Int(firstFree)
            firstFree = slot(index).pointee.nextFree
        } else {
            guard slotsUsed < slotCapacity else { return nil }
            index = slotsUsed
            (slots + index).initialize(to: Slot(id: SocketID(loop: loop, slot: index, generation: 1)))
            slotsUsed += 1
        }
        slot(index).pointee.descriptor = descriptor
        slot(index).pointee.lifecycle = .handshake
        slot(index).pointee.flags = isRefused ? .isRefused : []
        connections += 1
        if isRefused { refusals += 1 }
        return index
    }

    /// The handshake succeeded: messages may flow.
    mutating func open(_ index: Int, deflate: DeflateAgreement) {
        slot(index).pointee.lifecycle = .open
        slot(index).pointee.deflate = deflate
        slot(index).pointee.flags.insert(.isOpened)
        wheel.cancel(timer(index, .engine))
        count += 1
        counters.opened += 1
    }

    /// Frees the slots of connections that are over. Call when the handler has heard of all closings.
    mutating func releaseEnded() {
        for index in ended {
            let index = Int(index)
            let old = slot(index).pointee.id
            // Zero is never a socket's generation: epoll's other descriptors use it.
            let generation = old.generation == .max ? 1 : old.generation + 1
            slot(index).pointee = Slot(id: SocketID(loop: loop, slot: index, generation: generation))
            slot(index).pointee.nextFree = firstFree
            firstFree = Int32(index)
        }
        ended.removeAll(keepingCapacity: true)
    }

    func timer(_ index: Int, _ kind: TimerKind) -> Int { index * 2 + kind.rawValue }

    mutating func setTimer(_ index: Int, _ kind: TimerKind, after duration: Duration) {
        let due = nowNanoseconds &+ duration.clampedNanoseconds
        wheel.set(timer(index, kind), due: (due >> Self.tickShift) + 1)
    }
}

extension Duration {
    /// Whole nanoseconds between zero and a century.
    var clampedNanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        let century: Int64 = 100 * 366 * 86_400
        return UInt64(min(seconds, century)) * 1_000_000_000 + UInt64(attoseconds / 1_000_000_000)
    }
}
