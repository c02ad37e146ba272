import HeraldCore
import Synchronization

/// What becomes of one delivery on this node, gathered from all loops, for the sender that waits for it.
///
/// Each target is
///
///     visiting ──all loops were there──▶ following ──nothing outstanding──▶ final
///         └──────────────── the sender's patience is over ────────────────────▶ final
///
/// and what is told of it is cumulative, so that a receipt which is lost or told twice does no harm. Loops report
/// in any order: a frame of a large room may be written before the loop has visited all its members, so the
/// count of outstanding frames may pass below zero for a while. Made only for pushes that ask for more than
/// `routed`: about 200 bytes and a lock per frame.
final class DeliveryTally: Sendable {
    let sender: String
    let push: PushID
    let wantsAck: Bool
    /// When the sender stops waiting.
    let until: Moment
    private let ticket: UInt64
    private let state: Mutex<State>

    /// One target, on one loop or on all.
    struct Share: Hashable, Sendable {
        var isFound = false
        var reach = Reach()
        /// Frames not yet written, or not yet acknowledged.
        var outstanding = 0
    }

    private struct Part: Sendable {
        var share = Share()
        var isChanged = true
        var isFinal = false
    }

    private struct State: Sendable {
        var parts: [Part]
        var loopsLeft: Int
        var isOver = false
        /// Somebody was asked to fetch the receipts and has not done so.
        var isCalled = false
    }

    init(_ query: ReceiptQuery, push: PushID, targets: Int, sender: String, loops: Int, at now: Moment) {
        self.sender = sender
        self.push = push
        wantsAck = query.confirm == .acked
        until = now + query.patience
        ticket = query.ticket
        state = Mutex(State(parts: Array(repeating: Part(), count: targets), loopsLeft: loops))
    }

    /// All is told that will be.
    var isOver: Bool { state.withLock { $0.isOver } }

    // MARK: What loops report

    /// A loop has visited its sockets.
    ///
    /// `shares`: one for each target.
    /// - Returns: whether the receipts shall be fetched.
    func visited(_ shares: [Share]) -> Bool {
        change { state in
            state.loopsLeft -= 1
            for (index, share) in shares.enumerated() {
                state.parts[index].isChanged = true
                state.parts[index].share.add(share)
            }
        }
    }

    func written(_ target: Int) -> Bool {
        change { state in
            state.parts[target].isChanged = true
            state.parts[target].share.reach.written += 1
            if !self.wantsAck { state.parts[target].share.outstanding -= 1 }
        }
    }

    func acked(_ target: Int) -> Bool {
        change { state in
            state.parts[target].isChanged = true
            state.parts[target].share.reach.acked += 1
            state.parts[target].share.outstanding -= 1
        }
    }

    /// A frame will not be shown. `isCollapsed`: a newer one took its place.
    func dropped(_ target: Int, isCollapsed: Bool) -> Bool {
        change { state in
            state.parts[target].isChanged = true
            state.parts[target].share.reach.dropped += 1
            if isCollapsed { state.parts[target].share.reach.collapsed += 1 }
            state.parts[target].share.outstanding -= 1
        }
    }

    /// A frame will not be written, or not be acknowledged.
    func lost(_ target: Int) -> Bool {
        change { state in
            state.parts[target].isChanged = true
            state.parts[target].share.outstanding -= 1
        }
    }

    private func change(_ event: (inout State) -> Void) -> Bool {
        state.withLock { state in
            guard !state.isOver else { return false }
            event(&state)
            // Before all loops were there nothing can be said.
            guard state.loopsLeft == 0, !state.isCalled else { return false }
            state.isCalled = true
            return true
        }
    }

    // MARK: What the sender is told

    /// What has changed since the last call; everything, for good, when the sender's patience is over.
    func takeReceipts(at now: Moment) -> [Receipt] {
        state.withLock { state in
            guard !state.isOver else { return [] }
            state.isCalled = false
            let isLate = until <= now
            guard state.loopsLeft == 0 || isLate else { return [] }
            var receipts: [Receipt] = []
            for index in state.parts.indices where !state.parts[index].isFinal {
                let share = state.parts[index].share
                let isFinal = share.outstanding == 0 || isLate
                guard state.parts[index].isChanged || isFinal else { continue }
                state.parts[index].isChanged = false
                state.parts[index].isFinal = isFinal
                receipts.append(
                    Receipt(
                        ticket: ticket,
                        target: index,
                        reach: share.isFound ? share.reach : nil,
                        isFinal: isFinal
                    )
                )
            }
            state.isOver = state.parts.allSatisfy(\.isFinal)
            return receipts
        }
    }
}

extension DeliveryTally.Share {
    fileprivate mutating func add(_ other: Self) {
        isFound = isFound || other.isFound
        reach = reach + other.reach
        outstanding += other.outstanding
    }
}
