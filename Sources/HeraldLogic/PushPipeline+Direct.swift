import HeraldCore
import HeraldWire
import Logging
import Synchronization

/// A turn that is one push to one user or key: looked up and published in one step, nothing else being sent.
extension PushPipeline {
    /// - Returns: whether the turn is through; false: nothing was sent, and the ordinary way is the turn's.
    func sentDirectly(_ turn: PushTurn) async -> Bool {
        guard let direct, let push = turn.pushes.first, turn.isForDirect else { return false }
        guard follow.withLock({ $0.hasNoSearch }) else { return false }
        guard case .send = queue.withLock({ $0.beginSending(turn.number) }) else { return true }
        let (first, query) = follow.withLock { follow in
            follow.expectEarly()
            let first = follow.nextNumber
            return (first, follow.query(first, push, accepted: turn.accepted[0], at: now))
        }
        let delivery = Delivery(of: push, to: push.targets[0], query)
        let envelope = Envelope(sender: sender, deliveries: [delivery]).encoded()
        let start = now
        do throws(BusError) {
            guard let answer = try await direct.publish(envelope, to: push.targets[0]) else {
                queue.withLock { $0.unsent(turn.number) }
                tell(follow.withLock { $0.takeEarly(at: now) })
                return false
            }
            let sent = now
            queue.withLock { queue in
                queue.counters.direct += 1
                queue.counters.publishDuration.add(sent - start)
            }
            note(turn, answer, first, query, sentAt: start)
        } catch {
            logger.debug("a publish failed", metadata: ["reason": "\(error.reason)"])
            let refusal: PushRefusal = error.isUnsent ? .tableUnavailable : .busUnavailable
            // Which nodes it may have reached is not known.
            _ = note(turn, LookupAnswer.nobody(for: push.targets[0]), query, sentAt: start)
            follow.withLock { $0.failed(first, turn.results(of: refusal), at: now) }
            tell(follow.withLock { $0.takeEarly(at: now) })
            fail(turn, refusal)
        }
        return true
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
        let early = follow.withLock { $0.takeEarly(at: now) }
        guard !early.isEmpty else { return }
        tell(early)
        followed()
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

extension PushTurn {
    fileprivate var isForDirect: Bool {
        guard pushes.count == 1, pushes[0].targets.count == 1, pushes[0].positions.isEmpty else {
            return false
        }
        switch pushes[0].targets[0] {
        case .user, .key: return true
        case .room, .everyone: return false
        }
    }
}

extension LookupAnswer {
    fileprivate static func nobody(for target: Target) -> Self {
        if case .key = target { return Self(keys: [nil]) }
        return Self(users: [[]])
    }
}
