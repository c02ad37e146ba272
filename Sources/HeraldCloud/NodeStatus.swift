import HeraldCore
import Synchronization

/// How the node is, for `/readyz`, the lease and whoever waits for a change: written when something changes, read
/// from any thread.
final class NodeStatus: Sendable {
    struct State: Sendable {
        /// Nil: not registered, or lost and not yet taken anew.
        var lease: Lease?
        /// When the lease is over unless it is renewed, by this node's clock.
        var leaseEnds = Moment.past
        var leasesLost: UInt64 = 0
        var isSubscribed = false
        var isDraining = false
        /// Where it listens; 0 before that.
        var port = 0
    }

    /// Raised after every change.
    let changed = Signal()
    private let state = Mutex(State())

    var current: State { state.withLock { $0 } }

    func subscriptionChanged(isLive: Bool) {
        change { $0.isSubscribed = isLive }
    }

    /// `ends`: by this node's clock.
    func leaseTaken(_ lease: Lease, ends: Moment) {
        change { state in
            state.lease = lease
            state.leaseEnds = ends
        }
    }

    func leaseLost() {
        change { state in
            state.lease = nil
            state.leasesLost += 1
        }
    }

    func listening(on port: Int) { change { $0.port = port } }

    func drainingBegan() { change { $0.isDraining = true } }

    /// Why the node should get no new clients; empty when it should.
    func reasonsNotReady(at now: Moment, isRebuilding: Bool, isTrouble: Bool) -> [String] {
        let state = current
        var reasons: [String] = []
        if state.isDraining { reasons.append("draining") }
        if state.port == 0 { reasons.append("starting") }
        if state.lease == nil {
            reasons.append("lease lost")
        } else if state.leaseEnds <= now {
            reasons.append("lease overdue")
        }
        if !state.isSubscribed { reasons.append("not subscribed") }
        if isTrouble { reasons.append("route table unavailable") }
        if isRebuilding { reasons.append("rebuilding") }
        return reasons
    }

    private func change(_ body: (inout State) -> Void) {
        state.withLock { body(&$0) }
        changed.raise()
    }
}
