import Glibc

/// How sockets are queued to, closed and ended. Each function takes the index of a connected slot.
extension SocketTable {
    /// `messages`: how many the frame's bytes are.
    mutating func enqueue(_ frame: OutboundFrame, _ index: Int, messages: Int = 1) {
        slot(index).pointee.queue.append(frame)
        queuedBytes += frame.byteCount + SendQueue.frameOverheadBytes
        if !frame.isReceipt { counters.framesOut += UInt64(messages) }
        markDirty(index)
    }

    mutating func markDirty(_ index: Int) {
        // A blocked socket is flushed when the kernel says so.
        guard slot(index).pointee.flags.isDisjoint(with: [.isDirty, .isBlocked]) else { return }
        slot(index).pointee.flags.insert(.isDirty)
        dirty[dirtyCount] = Int32(index)
        dirtyCount += 1
    }

    /// We close: politely, after what is queued.
    mutating func startClosing(_ index: Int, code: UInt16, reason: String, cause: CloseCause) {
        guard slot(index).pointee.lifecycle.closeStarted() else { return }
        closed(index, cause)
        enqueue(.close(code: code, reason: reason), index)
    }

    /// We close because too much is queued: what the peer has not begun to see is dropped.
    mutating func cut(_ index: Int, cause: CloseCause) {
        if cause == .shed { counters.shed += 1 } else { counters.overflows += 1 }
        queuedBytes -= slot(index).pointee.queue.heldBytes
        slot(index).pointee.queue.removeUnstarted(keeping: tls?.pendingBytes(index) ?? 0)
        queuedBytes += slot(index).pointee.queue.heldBytes
        startClosing(index, code: limits.overflowCode, reason: "too slow", cause: cause)
    }

    /// The peer closed: its code is sent back after what is queued.
    mutating func closeReceived(_ index: Int, code: UInt16?) {
        if slot(index).pointee.lifecycle.closeReceived() {
            closed(index, .peer(code: code))
            enqueue(code.map { .close(code: $0) } ?? .encoded(.close, [UInt8]()), index)
        } else {
            markDirty(index)
        }
    }

    /// The peer broke a rule.
    mutating func violated(_ index: Int, _ violation: FrameViolation) {
        guard slot(index).pointee.lifecycle.violated() else {
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
        slot(index).pointee.lifecycle.answered()
        setTimer(index, .engine, after: limits.closeTimeout)
    }

    /// The peer's stream has ended. One that said before that it would close, or was told that we do, may still be
    /// reading: what is queued goes out first.
    mutating func finished(_ index: Int) {
        switch slot(index).pointee.lifecycle {
        case .ending, .draining:
            guard !slot(index).pointee.queue.isEmpty else { return end(index, .disconnected) }
            slot(index).pointee.flags.insert(.isFinished)
            updateInterest(index)
        case .free, .handshake, .open, .closing, .halfClosed, .ended:
            end(index, .disconnected)
        }
    }

    /// The connection is over, cleanly or not.
    mutating func end(_ index: Int, _ cause: CloseCause) {
        if slot(index).pointee.lifecycle == .open {
            closed(index, cause)
            if cause == .disconnected { counters.disconnects += 1 }
        }
        tls?.end(index)
        if !proxyHeaders.isEmpty { proxyHeaders[index] = nil }
        if !proxiedClients.isEmpty { proxiedClients[index] = nil }
        Glibc.close(slot(index).pointee.descriptor)
        slot(index).pointee.descriptor = -1
        slot(index).pointee.lifecycle = .ended
        queuedBytes -= slot(index).pointee.queue.heldBytes
        slot(index).pointee.queue.removeAll()
        if slot(index).pointee.deflate.keepsContext { deflate?.forget(slot: index) }
        wheel.cancel(timer(index, .engine))
        wheel.cancel(timer(index, .handler))
        connections -= 1
        if slot(index).pointee.flags.contains(.isRefused) { refusals -= 1 }
        ended.append(Int32(index))
    }

    /// The handler will hear of it; the peer gets a bounded time.
    private mutating func closed(_ index: Int, _ cause: CloseCause) {
        count -= 1
        counters.closed += 1
        closings.append(Closing(id: slot(index).pointee.id, cause: cause))
        wheel.cancel(timer(index, .handler))
        setTimer(index, .engine, after: limits.closeTimeout)
        slot(index).pointee.flags.remove(.isPinged)
        unpause(index)
    }

    mutating func unpause(_ index: Int) {
        guard slot(index).pointee.flags.contains(.isPaused) else { return }
        // What it sent meanwhile was not read: the next round of pings judges it anew.
        slot(index).pointee.flags.remove([.isPaused, .isPinged])
        updateInterest(index)
    }
}
