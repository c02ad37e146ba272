/// Reading when OpenSSL is in between: its handshake comes first, and is made within the deadline of the request.
extension EventLoop where Handler: ~Copyable {
    mutating func receiveEncrypted(_ index: Int) {
        repeat {
            let isHandshaking = table.tls?.isHandshaking(index) == true
            if isHandshaking {
                // A handshake is up to a millisecond of arithmetic. The others stay readable for the next turn.
                guard handshakeSteps < limits.handshakesPerTurnMax else { return }
                handshakeSteps += 1
            }
            let outcome = table.tls?.read(index, into: readBuffer) ?? .ended
            if isHandshaking { countHandshake(index, outcome) }
            switch outcome {
            case .bytes(let count): received(index, count)
            case .wantsRead: return
            case .wantsWrite: return table.block(index)
            case .ended: return table.finished(index)
            }
            // What OpenSSL holds back, epoll will not report.
        } while table.slot(index).pointee.lifecycle.isConnected && table.tls?.hasMore(index) == true
    }

    private mutating func countHandshake(_ index: Int, _ outcome: TLSSessions.Outcome) {
        if table.tls?.isHandshaking(index) == false {
            table.counters.tlsHandshakes += 1
        } else if outcome == .ended {
            table.counters.tlsHandshakeFailures += 1
        }
    }
}
