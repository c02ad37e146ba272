import Glibc

/// From the listener's queue to a slot, a bounded number per turn, and what to do when there is no room.
extension EventLoop where Handler: ~Copyable {
    mutating func acceptConnections() {
        guard listener != nil else { return }
        for _ in 0..<limits.acceptsPerTurnMax {
            switch listener?.accept() ?? .none {
            case .connection(let descriptor): admit(descriptor)
            case .none: return
            case .lost: continue
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
        expectProxyHeader(index)
        guard table.tls?.start(index, descriptor: descriptor) != false else {
            return table.end(index, .disconnected)
        }
        if !table.epoll.add(descriptor, .readable, id: table.slot(index).pointee.id.rawValue) {
            table.end(index, .disconnected)
        }
    }

    mutating func registerListener() {
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
