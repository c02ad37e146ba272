import Glibc

/// How sockets are queued to, closed and ended. Each function takes the index of a connected slot.
extension SocketTable {
    mutating func enqueue(_ frame: OutboundFrame, _ index: Int) {
        slots[index].queue.append(frame)
        queuedBytes += frame.byteCount + SendQueue.frameOverheadBytes
        counters.framesOut += 1
        markDirty(index)
    }

    mutating func markDirty(_ index: Int) {
        // A blocked socket is flushed when the kernel says so.
        guard slots[index].flags.isDisjoint(with: [.isDirty, .isBlocked]) else { return }
        slots[index].flags.insert(.isDirty)
        dirty[dirtyCount] = Int32(index)
        dirtyCount += 1
    }

    /// We close: politely, after what is queued.
    mutating func startClosing(_ index: Int, code: UInt16, reason: String, cause: CloseCause) {
        guard slots[index].lifecycle.closeStarted() else { return }
        closed(index, cause)
        enqueue(.close(code: code, reason: reason), index)
    }

    /// We close because too much is queued: what the peer has not begun to see is dropped.
    mutating func cut(_ index: Int, cause: CloseCause) {
        if cause == .shed { counters.shed += 1 } else { counters.overflows += 1 }
        queuedBytes -= slots[index].queue.heldBytes
        slots[index].queue.removeUnstarted()
        queuedBytes += slots[index].queue.heldBytes
        startClosing(index, code: limits.overflowCode, reason: "too slow", cause: cause)
    }

    /// The peer closed: its code is sent back after what is queued.
    mutating func closeReceived(_ index: Int, code: UInt16?) {
        if slots[index].lifecycle.closeReceived() {
            closed(index, .peer(code: code))
            enqueue(code.map { .close(code: $0) } ?? .encoded(.close, [UInt8]()), index)
        } else {
            markDirty(index)
        }
    }

    /// The peer broke a rule.
    mutating func violated(_ index: Int, _ violation: FrameViolation) {
        guard slots[index].lifecycle.violated() else {
            markDirty(index)
            return
        }
        switch violation.code {
        case 1007: counters.badPayloads += 1
        case 1008: counters.floods += 1
        case 1009: counters.messagesTooBig += 1
        default: counters.protocolErrors += 1
        }
        closed(index, .violation(code: violation.code))
        enqueue(.close(code: violation.code, reason: violation.reason), index)
    }

    /// The request gets an HTTP answer and no more.
    mutating func answer(_ index: Int, _ answer: [UInt8]) {
        enqueue(.raw(answer), index)
        slots[index].lifecycle.answered()
        setTimer(index, .engine, after: limits.closeTimeout)
    }

    /// The connection is over, cleanly or not.
    mutating func end(_ index: Int, _ cause: CloseCause) {
        if slots[index].lifecycle == .open {
            closed(index, cause)
            if cause == .disconnected { counters.disconnects += 1 }
        }
        Glibc.close(slots[index].descriptor)
        slots[index].descriptor = -1
        slots[index].lifecycle = .ended
        queuedBytes -= slots[index].queue.heldBytes
        slots[index].queue.removeAll()
        wheel.cancel(timer(index, .engine))
        wheel.cancel(timer(index, .handler))
        connections -= 1
        if slots[index].flags.contains(.isRefused) { refusals -= 1 }
        ended.append(Int32(index))
    }

    /// The handler will hear of it; the peer gets a bounded time.
    private mutating func closed(_ index: Int, _ cause: CloseCause) {
        count -= 1
        counters.closed += 1
        closings.append(Closing(id: slots[index].id, cause: cause))
        wheel.cancel(timer(index, .handler))
        setTimer(index, .engine, after: limits.closeTimeout)
        slots[index].flags.remove(.isPinged)
        unpause(index)
    }

    mutating func unpause(_ index: Int) {
        guard slots[index].flags.contains(.isPaused) else { return }
        // What it sent meanwhile was not read: the next round of pings judges it anew.
        slots[index].flags.remove([.isPaused, .isPinged])
        updateInterest(index)
    }
}
