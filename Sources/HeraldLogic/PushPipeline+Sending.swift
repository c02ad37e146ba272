import HeraldCore
import HeraldWire
import Logging
import Synchronization

/// The sending of one turn. Turns are sent one after the other.
extension PushPipeline {
    /// - Parameters:
    ///   - turn: what was looked up together; without pushes when only earlier ones are to be looked up again.
    ///   - found: where its targets are.
    ///   - lookedUp: when that was known.
    func send(_ turn: PushTurn, _ found: LookupAnswer, _ lookedUp: Duration) async {
        var settled: Set<PushID> = []
        if !turn.pushes.isEmpty {
            guard case .send(let without) = queue.withLock({ $0.beginSending(turn.number, kept: turn.kept) })
            else { return }
            settled = without
        }
        let again = await lookAgain(besides: turn.pushes)
        let (first, fanOut, answers) = begin(turn, found, without: settled, lookedUp)
        let batches = again.batches.isEmpty ? fanOut.batches : again.before(fanOut.batches)
        do throws(BusError) {
            let missed = try await publish(batches, without: settled, tried: Set(again.batches.map(\.node)))
            tell(follow.withLock { $0.sentAgain(again, missed: missed, at: now) })
            settle(turn, first, answers, found, missed)
        } catch {
            logger.debug("a publish failed", metadata: ["reason": "\(error.reason)"])
            tell(
                follow.withLock { follow in
                    follow.failed(first, turn.results(of: .busUnavailable), at: now)
                    return follow.sentAgain(again, missed: nil, at: now)
                }
            )
            fail(turn, .busUnavailable)
        }
        if !again.numbers.isEmpty { followed() }
    }

    /// Finds out where pushes have to go that missed somebody, before something later goes out.
    private func lookAgain(besides pushes: [Push]) async -> SecondSending {
        let look = follow.withLock { follow -> SecondLook? in
            let numbers = follow.toSearch(besides: pushes, at: now)
            return numbers.isEmpty ? nil : follow.secondLook(numbers, at: now)
        }
        guard let look else { return SecondSending() }
        queue.withLock { $0.counters.retried += look.items.count }
        do throws(RouteTableError) {
            let found = try await lookUp(look.lookup)
            return follow.withLock { $0.found(look, found, at: now) }
        } catch {
            logger.debug("a second look-up failed", metadata: ["reason": "\(error)"])
            tell(follow.withLock { $0.secondLookFailed(look, at: now) })
            followed()
            return SecondSending()
        }
    }

    /// Groups a turn by node, and notes that it goes out: what comes back may come before the bus has answered.
    ///
    /// - Returns: the number of its first push, what goes where, and the answers if every node takes it.
    private func begin(
        _ turn: PushTurn,
        _ found: LookupAnswer,
        without settled: Set<PushID>,
        _ lookedUp: Duration
    ) -> (first: UInt64, FanOut, [PushAnswer]) {
        follow.withLock { follow in
            let first = follow.nextNumber
            let moment = now
            let fanOut = FanOut(turn.pushes, found: found) { place in
                follow.query(
                    first + UInt64(place),
                    turn.pushes[place],
                    accepted: turn.accepted[place],
                    at: moment
                )
            }
            let answers = turn.marked(fanOut.answers(missed: []))
            follow.sending(
                turn,
                without: settled,
                answers: answers,
                found: found,
                lookedUp: lookedUp,
                at: moment
            )
            return (first, fanOut, answers)
        }
    }

    /// Answers those of a turn about whom all is known, and holds the others.
    func settle(
        _ turn: PushTurn,
        _ first: UInt64,
        _ answers: [PushAnswer],
        _ found: LookupAnswer,
        _ missed: Set<NodeID>
    ) {
        guard !turn.pushes.isEmpty else { return }
        let standing = follow.withLock {
            $0.sent(first, turn, answers: answers, found: found, missed: missed, at: now)
        }
        guard standing.contains(nil) else { return answer(turn, standing) }
        let (settled, leaving) = queue.withLock { $0.leave(turn.number, turn.marked(standing), at: now) }
        tell(settled)
        let known = follow.withLock { follow in
            var callers = Dictionary(uniqueKeysWithValues: leaving.map { ($0.place, $0.push) })
            var known: [SettledFollow] = []
            for place in standing.indices where standing[place] == nil {
                let push = callers.removeValue(forKey: place)
                if let one = follow.hold(first + UInt64(place), push, at: now) { known.append(one) }
            }
            return known
        }
        tell(known)
        followed()
    }

    /// - Parameters:
    ///   - batches: what the nodes are to be sent.
    ///   - settled: pushes that are not to be sent any more.
    ///   - tried: nodes of which is to be known whether they listen, be there something to send or not.
    /// - Returns: the nodes whose channel had no subscriber.
    /// - Throws: when the bus did not confirm; all or nothing may have gone out.
    private func publish(
        _ batches: [NodeBatch],
        without settled: Set<PushID>,
        tried: Set<NodeID>
    ) async throws(BusError) -> Set<NodeID> {
        var messages: [BusMessage] = []
        messages.reserveCapacity(batches.count)
        for batch in batches {
            var deliveries = batch.deliveries
            if !settled.isEmpty {
                deliveries.removeAll { settled.contains($0.push) }
                guard !deliveries.isEmpty || tried.contains(batch.node) else { continue }
            }
            let envelope = Envelope(sender: sender, deliveries: deliveries)
            messages.append(BusMessage(node: batch.node, bytes: envelope.encoded()))
        }
        guard !messages.isEmpty else { return [] }
        let start = now
        let subscribers = try await bus.publish(messages)
        var missed: Set<NodeID> = []
        for (message, count) in zip(messages, subscribers) where count == 0 {
            if case .node(let node) = message.address { missed.insert(node) }
        }
        queue.withLock { queue in
            queue.counters.publishDuration.add(now - start)
            queue.counters.envelopes += messages.count
            queue.counters.envelopesMissed += missed.count
        }
        return missed
    }
}
