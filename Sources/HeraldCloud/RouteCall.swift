import HeraldCore
import HeraldSockets

extension RouteKeeperStateMachine {
    enum Effect: Equatable, Sendable {
        case announce(SocketID)
        case close(SocketID, CloseCode)
        case tell(NodeID, CloseOrder)
        case joined(SocketID, RoomID)
        case joinRefused(SocketID, RoomID)
    }

    /// A call of the route table; `number` comes back with its answer.
    struct Call: Equatable, Sendable {
        enum Body: Equatable, Sendable {
            case bind([Bind])
            case renew([Route])
            case unbind([Departure])
            case find([UserKey])
            case share([RoomID: RoomTelling], Lease)
        }

        var number: UInt64
        var body: Body
    }

    /// Nil as a whole when the call failed.
    enum Answer: Sendable {
        case bound([BindOutcome])
        case renewed([RenewOutcome])
        /// For each whether its mapping was there.
        case unbound([Bool])
        case found([Route?])
        /// With the rooms whose list in Redis is not what it should be.
        case sharesTold(astray: Set<RoomID>)

        static let shared = Self.sharesTold(astray: [])
    }

    struct Counts: Equatable, Sendable {
        var binds: UInt64 = 0
        var bindsRefused: UInt64 = 0
        /// Sessions refused because their users had too many.
        var bindsFull: UInt64 = 0
        /// Sessions of any node that lost their mapping to one of ours, because their users had too many.
        var evicted: UInt64 = 0
        var renewals: UInt64 = 0
        var renewalsRefused: UInt64 = 0
        var unbinds: UInt64 = 0
        var shares: UInt64 = 0
        /// Lists of members that Redis had lost something of.
        var listsAstray: UInt64 = 0
        var callsFailed: UInt64 = 0
        /// Sessions refused because Redis could not be asked in time.
        var claimsExpired: UInt64 = 0
    }

    /// Collects what lanes want into one call of each kind.
    struct CallBatch {
        let node: NodeID
        let lease: Lease
        let ttl: Duration
        private var binds: [Bind] = []
        private var renewals: [Route] = []
        private var unbinds: [Departure] = []
        private var finds: [UserKey] = []
        /// The seats, in the order of the entries of each kind.
        private var places: [[Int]] = [[], [], [], []]

        init(node: NodeID, lease: Lease, ttl: Duration) {
            self.node = node
            self.lease = lease
            self.ttl = ttl
        }

        /// Entries of the largest call.
        var largest: Int { max(max(binds.count, renewals.count), max(unbinds.count, finds.count)) }

        /// `age`: how long ago the session that binds was accepted; `reason`: why the one that unbinds ended.
        mutating func add(
            _ call: KeyLane.Call,
            _ name: UserKey,
            _ seat: Int,
            age: Duration,
            reason: DisconnectReason
        ) {
            switch call {
            case .bind(let session, let incarnation):
                let id = SessionID(node: node, incarnation: incarnation, counter: session.counter)
                binds.append(Bind(name: name, session: id, age: age))
                places[0].append(seat)
            case .renew(let mapping):
                renewals.append(route(mapping, name))
                places[1].append(seat)
            case .unbind(let mapping):
                unbinds.append(Departure(route(mapping, name), reason: reason))
                places[2].append(seat)
            case .find:
                finds.append(name)
                places[3].append(seat)
            }
        }

        /// What to ask, each with its seats; kinds without an entry are left out.
        var bodies: [(Call.Body, [Int])] {
            let all: [(Call.Body, [Int])] = [
                (.bind(binds), places[0]), (.unbind(unbinds), places[2]), (.find(finds), places[3]),
                (.renew(renewals), places[1]),
            ]
            return all.filter { !$0.1.isEmpty }
        }

        /// Redis judges expiry by its own clock: the moment in the route is not looked at.
        private func route(_ mapping: KeyLane.Mapping, _ name: UserKey) -> Route {
            Route(
                name: name,
                session: SessionID(node: node, incarnation: mapping.incarnation, counter: mapping.counter),
                epoch: mapping.epoch,
                expires: lease.deadline + ttl
            )
        }
    }
}
