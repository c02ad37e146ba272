import HeraldCore

/// What a queue is told when it is made, and what it answers.
extension PushQueue {
    struct Bounds: Sendable {
        /// Pushes that may wait.
        var waitingMax: Int
        /// What may wait, in bytes of payload: pushes of the largest size would else fill the memory long
        /// before there are too many of them.
        var waitingBytesMax = 64 * 1024 * 1024
        /// Targets of one turn: 4,000 look-ups are about 5 ms of Redis (Limits.swift has the arithmetic).
        var turnTargetsMax = 4000
        /// Payload of one turn: what goes to one node at once, well below Redis's 8 MiB for subscribers.
        var turnBytesMax = 1024 * 1024
        /// How long after its acceptance a push is refused as late.
        var deadline: Duration
    }

    enum Submission {
        /// `wakes` says that who waits for a turn has to be woken.
        case accepted(PushTicket, wakes: Bool)
        case refused(PushRefusal)
    }

    enum NextTurn {
        case turn(PushTurn)
        /// Nothing to do: ask again after the next wake-up.
        case park
        /// There will be no more.
        case finished
    }

    enum Sending {
        /// Send what the turn has, except the pushes that are settled by now.
        case send(without: Set<PushID>)
        /// All are settled; the turn is over.
        case nothingLeft
    }
}
