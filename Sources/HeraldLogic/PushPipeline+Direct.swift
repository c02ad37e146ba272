import HeraldCore
import HeraldWire
import Logging
import Synchronization

/// A push to one user or key that comes alone: looked up and published in one step, nothing else being sent.
///
/// No task is put to sleep on its way, and none is woken: it goes through functions that are called on the loop.
extension PushPipeline {
    /// Pushes wait and nobody is looking for a turn.
    func pushesWait() {
        if !sendAlone() { wakeUp.yield() }
    }

    /// Sends the push that waits if it is alone and nothing else is under way.
    ///
    /// - Returns: whether one is out now, and `pushesWait` is called again when it is through, if it has to be.
    func sendAlone() -> Bool {
        guard let direct, !isSending.load(ordering: .relaxed), follow.withLock({ $0.hasNoSearch }),
            let turn = queue.withLock({ $0.takeAlone() })
        else { return false }
        let push = turn.pushes[0]
        let start = now
        let (first, query) = follow.withLock { follow in
            follow.expectEarly()
            let first = follow.nextNumber
            return (first, follow.query(first, push, accepted: turn.accepted[0], at: start))
        }
        let delivery = Delivery(of: push, to: push.targets[0], query)
        let envelope = Envelope(sender: sender, deliveries: [delivery]).encoded()
        direct.publish(envelope, to: push.targets[0]) { result in
            self.sentAlone(turn, first, query, start, result)
        }
        return true
    }

    private func sentAlone(
        _ turn: PushTurn,
        _ first: UInt64,
        _ query: ReceiptQuery,
        _ start: Duration,
        _ result: Result<DirectAnswer?, BusError>
    ) {
        switch result {
        case .success(let answer?):
            queue.withLock { queue in
                queue.counters.direct += 1
                queue.counters.publishDuration.add(now - start)
            }
            note(turn, answer, first, query, sentAt: start)
        case .success(nil):
            queue.withLock { $0.aloneUnsent(turn) }
            tell(follow.withLock { $0.takeEarly(at: now) })
            wakeUp.yield()
            return
        case .failure(let error):
            logger.debug("a publish failed", metadata: ["reason": "\(error.reason)"])
            let refusal: PushRefusal = error.isUnsent ? .tableUnavailable : .busUnavailable
            // Which nodes it may have reached is not known.
            _ = note(turn, LookupAnswer.nobody(for: turn.pushes[0].targets[0]), query, sentAt: start)
            follow.withLock { $0.failed(first, turn.results(of: refusal), at: now) }
            tell(follow.withLock { $0.takeEarly(at: now) })
            fail(turn, refusal)
        }
        if queue.withLock({ $0.aloneDone() }) { pushesWait() }
        // A node may have said by now that its route was stale.
        if follow.withLock({ !$0.hasNoSearch }) { followed() }
    }

    /// It went out, and this is where it was.
    private func note(
        _ turn: PushTurn,
        _ answer: DirectAnswer,
        _ first: UInt64,
        _ query: ReceiptQuery,
        sentAt: Duration
    ) {
        let (nodes, answers) = note(turn, answer.found, query, sentAt: sentAt)
        queue.withLock { queue in
            queue.counters.envelopes += nodes
            queue.counters.envelopesMissed += answer.missed.count
        }
        settle(turn, first, answers, answer.found, answer.missed)
        tell(follow.withLock { $0.takeEarly(at: now) })
    }

    /// - Returns: how many nodes it went to, and what it is told if all of them listened.
    private func note(
        _ turn: PushTurn,
        _ found: LookupAnswer,
        _ query: ReceiptQuery,
        sentAt: Duration
    ) -> (nodes: Int, [PushAnswer]) {
        let fanOut = FanOut(turn.pushes, found: found) { _ in query }
        let answers = fanOut.answers(missed: [])
        follow.withLock { follow in
            follow.sending(
                turn,
                without: [],
                answers: answers,
                found: found,
                lookedUp: sentAt,
                at: sentAt
            )
        }
        return (fanOut.batches.count, answers)
    }
}

extension LookupAnswer {
    fileprivate static func nobody(for target: Target) -> Self {
        if case .key = target { return Self(keys: [nil]) }
        return Self(users: [[]])
    }
}
