import Glibc

/// What time brings: the handler's deadlines, the engine's, and the pings.
extension EventLoop where Handler: ~Copyable {
    mutating func runTimers() {
        if let time = listensAgainNanoseconds, time <= table.nowNanoseconds { registerListener() }
        table.wheel.advance(to: table.nowNanoseconds >> SocketTable.tickShift)
        while let entry = table.wheel.popExpired() {
            let index = entry / 2
            guard table.slot(index).pointee.lifecycle.isConnected else { continue }
            if entry % 2 == SocketTable.TimerKind.handler.rawValue {
                handler.deadlinePassed(table.slot(index).pointee.id, sockets: &table)
            } else {
                engineTimerExpired(index)
            }
        }
    }

    /// What an engine timer means depends on where the connection stands; it has one at a time.
    private mutating func engineTimerExpired(_ index: Int) {
        switch table.slot(index).pointee.lifecycle {
        case .handshake:
            table.counters.refusedTooSlow += 1
            if table.slot(index).pointee.head.isEmpty {
                table.end(index, .disconnected)
            } else {
                refuse(index, .tooSlow)
            }
        case .open:
            guard table.slot(index).pointee.flags.contains(.isPinged),
                !table.slot(index).pointee.flags.contains(.isPaused)
            else { return }
            table.counters.pingTimeouts += 1
            table.end(index, .pingTimeout)
        case .closing, .draining, .halfClosed, .ending:
            table.counters.closeTimeouts += 1
            table.end(index, .disconnected)
        case .free, .ended: break
        }
    }

    mutating func sendPings() {
        let (first, second) = pacer.due(slots: slotsToPing, nowNanoseconds: table.nowNanoseconds)
        for index in first { sendPing(index) }
        for index in second { sendPing(index) }
    }

    /// Where the pacer's cursor goes round: every slot ever used, unless none of them is open.
    var slotsToPing: Int { table.count == 0 ? 0 : table.slotsUsed }

    private mutating func sendPing(_ index: Int) {
        guard table.slot(index).pointee.lifecycle == .open else { return }
        table.slot(index).pointee.reader.forgiveOverhead()
        guard table.slot(index).pointee.flags.isDisjoint(with: [.isPaused, .isPinged]) else { return }
        table.slot(index).pointee.flags.insert(.isPinged)
        table.enqueue(ping, index)
        table.counters.pingsOut += 1
        table.setTimer(index, .engine, after: limits.pongTimeout)
    }
}
