import HeraldCore

/// A push that goes alone: a turn of its own that is looked up and sent in one step (`PushPipeline+Direct.swift`).
///
///     waiting ──takeAlone──▶ out ──aloneDone──▶ settled
///                             └──aloneUnsent──▶ looking up, as the next turn
///
/// While one is out no turn begins: what is accepted after it must not overtake it if it has to go the ordinary way.
/// Who asks for a turn meanwhile is told to park, and is woken when it is over.
extension PushQueue {
    /// The push that is out alone, and what has to be done when it is over.
    enum Alone {
        case nobody
        /// `isAwaited`: somebody has asked for a turn since.
        case out(isAwaited: Bool)
        case unsent(PushTurn)
    }

    /// Takes the only push that waits, if it is one that may go alone.
    ///
    /// - Returns: its turn, which is being sent from now on.
    mutating func takeAlone() -> PushTurn? {
        guard case .nobody = alone, turns.isEmpty, waiting.count == 1, waitingCount == 1,
            waiting[0].push.mayGoAlone,
            case .turn(let turn) = nextTurn()
        else { return nil }
        turns[turns.count - 1].isSending = true
        alone = .out(isAwaited: false)
        return turn
    }

    /// It is through.
    ///
    /// - Returns: whether somebody is to look for the next turn.
    mutating func aloneDone() -> Bool {
        guard case .out(let isAwaited) = alone else { return false }
        alone = .nobody
        guard waiting.isEmpty, !isAwaited, stage == .open else { return true }
        isParked = true
        return false
    }

    /// It was not sent, and has to go the ordinary way before anything else.
    mutating func aloneUnsent(_ turn: PushTurn) {
        if let index = turns.firstIndex(where: { $0.number == turn.number }) {
            turns[index].isSending = false
        }
        alone = .unsent(turn)
    }

    /// What who asks for a turn is told on account of a push that went alone; nil: nothing.
    mutating func turnAfterAlone() -> NextTurn? {
        switch alone {
        case .nobody: return nil
        case .out:
            alone = .out(isAwaited: true)
            return .park
        case .unsent(let turn):
            alone = .nobody
            return .turn(turn)
        }
    }
}

extension Push {
    /// To one user or key, and not kept.
    fileprivate var mayGoAlone: Bool {
        guard targets.count == 1, !isDurable else { return false }
        switch targets[0] {
        case .user, .key: return true
        case .room, .everyone: return false
        }
    }
}
