import HeraldCore
import Logging
import Synchronization

/// The stage before the look-up: durable pushes of a turn are kept, all in one call.
///
/// Turns pass here one after the other, so that of two durable pushes the one that was accepted first has the lower
/// offset.
extension PushPipeline {
    /// - Returns: the turn with the places of what was kept; nil when nothing of it is left to send.
    func kept(_ turn: PushTurn) async -> PushTurn? {
        guard let stage = InboxStage(turn) else { return turn }
        let stored: Result<[Result<InboxPlace, InboxError>], InboxError>
        if let inbox {
            let start = now
            do throws(InboxError) {
                stored = .success(try await inbox.append(stage.appends))
            } catch {
                stored = .failure(error)
            }
            queue.withLock { $0.counters.appendDuration.add(now - start) }
        } else {
            stored = .failure(.corrupt("this process has no inboxes"))
        }
        note(stored)
        let (keptTurn, refusals) = stage.outcome(stored)
        guard refusals.contains(where: { $0 != nil }) else { return keptTurn }
        tell(
            queue.withLock { queue in
                queue.settle(turn.number, refusals.map { $0.map(Result.failure) }, at: now)
            }
        )
        return refusals.contains { $0 == nil } ? keptTurn : nil
    }

    /// What only the operator can mend is told once until it is another.
    private func note(_ stored: Result<[Result<InboxPlace, InboxError>], InboxError>) {
        let errors: [InboxError]
        switch stored {
        case .failure(let error): errors = [error]
        case .success(let results):
            errors = results.compactMap { if case .failure(let error) = $0 { error } else { nil } }
        }
        queue.withLock { $0.counters.appendsFailed += errors.count }
        let error = errors.first
        let isNews = inboxTrouble.withLock { last in
            defer { last = error }
            return last != error
        }
        guard isNews, let error else { return }
        switch error {
        case .unavailable: logger.debug("a push was not kept", metadata: ["reason": "\(error)"])
        case .full, .corrupt: logger.error("a push was not kept", metadata: ["reason": "\(error)"])
        }
    }
}
