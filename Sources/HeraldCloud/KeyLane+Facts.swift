import HeraldCore
import HeraldSockets

/// What a lane's facts, calls and effects are made of.
extension KeyLane {
    struct Session: Hashable, Sendable {
        var socket: SocketID
        var counter: UInt64
    }

    struct Claim: Hashable, Sendable {
        var session: Session
        var since: Moment
        /// Whether a bind went out whose answer never came: the mapping may stand.
        var wasSent = false
    }

    /// What is written in Redis under the lane's key, apart from the node.
    struct Mapping: Hashable, Sendable {
        var incarnation: Incarnation
        var counter: UInt64
        var epoch: Epoch
    }

    struct Holder: Hashable, Sendable {
        var session: Session
        var mapping: Mapping
        var isAnnounced = true
    }

    enum Call: Hashable, Sendable {
        case bind(Session, Incarnation)
        case renew(Mapping)
        case unbind(Mapping)
        /// Looks who has the key.
        case find
    }

    struct Residue: Hashable, Sendable {
        /// Nil: it has to be looked up.
        var mapping: Mapping?
        var notBefore: Moment
        /// By then the mapping has expired by itself.
        var until: Moment
        /// Why its session ended.
        var reason: DisconnectReason
    }

    enum Effect: Hashable, Sendable {
        /// The session is live: tell the client.
        case announce(SocketID)
        case close(SocketID, CloseCode)
        /// A session of another node lost the key: that node shall close it.
        case tell(SessionID)
        /// Another key of the user lost its mapping, because the user has too many: its session shall close.
        case evict(Route)
    }

    struct Rules: Hashable, Sendable {
        /// How long a session waits for its route.
        var patience: Duration = .seconds(5)
        /// How long after a failed call it may still happen.
        var doubt: Duration = .seconds(10)
        var routeTTL: Duration = .seconds(120)
    }
}
