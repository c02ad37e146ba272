import HeraldCore
import HeraldTesting
import HeraldWire
import Synchronization

@testable import HeraldLogic

extension Fleet {
    /// Runs nodes that answer what they are asked while the body runs. `reach`: for each node by name, what it says
    /// of each target of a delivery; nil: nobody is there. Who asks for `routed` hears of the latter only.
    func answering(
        _ reach: [String: @Sendable (Target) -> Reach?],
        _ body: @Sendable () async throws -> Void
    ) async throws {
        try await listening(Array(reach.keys)) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (name, say) in reach {
                    let node = try NodeID(name)
                    let (envelopes, signal) = AsyncStream<Envelope>.makeStream()
                    let (subscribed, isListening) = AsyncStream<Void>.makeStream()
                    group.addTask { [bus] in
                        try? await bus.listen(to: .node(node)) { event in
                            if event == .subscribed { isListening.finish() }
                            guard case .messages(let messages) = event else { return }
                            for message in messages {
                                if let envelope = try? Envelope(wire: message) { signal.yield(envelope) }
                            }
                        }
                    }
                    group.addTask { [bus] in
                        for await envelope in envelopes {
                            let receipts = envelope.deliveries.flatMap { $0.receipts(say) }
                            guard !receipts.isEmpty else { continue }
                            let reply = Reply(node: node, receipts: receipts)
                            let message = BusMessage(to: .sender(envelope.sender), bytes: reply.encoded())
                            _ = try? await bus.publish([message])
                        }
                    }
                    for await _ in subscribed {}
                }
                try await body()
                group.cancelAll()
            }
        }
    }
}

extension Delivery {
    fileprivate func receipts(_ say: (Target) -> Reach?) -> [Receipt] {
        guard let query else { return [] }
        return targets.enumerated().compactMap { index, target in
            let reach = say(target)
            guard query.confirm != .routed || reach == nil else { return nil }
            return Receipt(ticket: query.ticket, target: index, reach: reach, isFinal: true)
        }
    }
}
