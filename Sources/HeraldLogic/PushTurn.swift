import HeraldCore

/// Where the answer to a push goes. Called once, on a task of the pipeline: it may only hand over.
typealias PushCaller = @Sendable (Result<PushAnswer, PushRefusal>) -> Void

/// Names a push that was accepted, to take it back.
struct PushTicket: Hashable, Sendable {
    let number: UInt64
}

/// What is looked up and sent together.
struct PushTurn: Sendable, Equatable {
    let number: UInt64
    /// In the order in which they were accepted. None: only pushes of earlier turns are to be looked up again.
    let pushes: [Push]
    /// When each was accepted, since the pipeline began.
    let accepted: [Duration]
}

/// A push that is settled, and who has to be told.
struct SettledPush: Sendable {
    let caller: PushCaller
    let result: Result<PushAnswer, PushRefusal>
}

extension Push {
    /// About what it occupies, targets included.
    var weightBytes: Int {
        256 + (message.payload?.bytes.count ?? 0) + 64 * (targets.count + exclude.count)
    }
}

/// The counting of pushes that left the queue unsettled.
extension PushQueue {
    /// A push that left is answered.
    mutating func answered(_ settled: SettledFollow, at now: Duration) {
        counters.settled(.success(settled.answer), after: now - settled.push.accepted)
    }

    /// A push that left is told something else than verdicts.
    mutating func refused(_ push: HeldPush, _ refusal: PushRefusal, at now: Duration) {
        counters.settled(.failure(refusal), after: now - push.accepted)
    }
}
