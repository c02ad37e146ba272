import HeraldCore
import Synchronization

/// What publishers sent and were told, and what clients were shown and told: all that a judge needs.
struct DeliveryHistory: Sendable {
    /// Of the order in which things were written down. Each thing has its own.
    typealias Moment = Int

    struct Sent: Sendable {
        var label: String
        var publisher: String
        var user: String
        /// Whether it was to be kept.
        var isDurable: Bool
        /// Before the request left.
        var moment: Moment
        /// After the answer came; nil: none did.
        var answered: Moment?
        var answer = Answer.unknown
    }

    enum Answer: Sendable, Equatable {
        case verdict(String, id: String, place: InboxPosition?)
        /// Nothing was sent or kept.
        case refused
        /// None came, or one that says that it may be sent or kept.
        case unknown
    }

    struct Sight: Sendable {
        var moment: Moment
        var what: What

        enum What: Sendable, Equatable {
            /// With where it stands in its inbox, when it follows it.
            case connected(InboxStart?)
            case shown(label: String, id: String, place: InboxPosition?)
            case reset(InboxPosition)
            case left
        }
    }

    /// One connection key of a user over all its connections, as its application sees it.
    struct Client: Sendable {
        var name: String
        var user: String
        var sights: [Sight] = []
    }

    var pushes: [Sent] = []
    var clients: [Client] = []
}

/// Writes down a `DeliveryHistory` while it happens, for any number of tasks.
final class DeliveryRecorder: Sendable {
    private let state = Mutex(State())

    private struct State {
        var history = DeliveryHistory()
        var moment = 0
        var places: [InboxPosition?] = []

        mutating func next() -> DeliveryHistory.Moment {
            moment += 1
            return moment
        }
    }

    var history: DeliveryHistory { state.withLock { $0.history } }

    /// - Returns: the number by which `answered` knows it.
    func sent(_ label: String, to user: String, by publisher: String, isDurable: Bool = true) -> Int {
        state.withLock { state in
            state.history.pushes.append(
                DeliveryHistory.Sent(
                    label: label,
                    publisher: publisher,
                    user: user,
                    isDurable: isDurable,
                    moment: state.next()
                )
            )
            return state.history.pushes.count - 1
        }
    }

    func answered(_ push: Int, _ answer: DeliveryHistory.Answer) {
        state.withLock { state in
            state.history.pushes[push].answered = state.next()
            state.history.pushes[push].answer = answer
        }
    }

    /// - Returns: the number by which `saw` knows it.
    func client(_ name: String, of user: String) -> Int {
        state.withLock { state in
            state.history.clients.append(DeliveryHistory.Client(name: name, user: user))
            state.places.append(nil)
            return state.history.clients.count - 1
        }
    }

    func saw(_ client: Int, _ what: DeliveryHistory.Sight.What) {
        state.withLock { state in
            let sight = DeliveryHistory.Sight(moment: state.next(), what: what)
            state.history.clients[client].sights.append(sight)
            switch what {
            case .connected(let start): if let start { state.places[client] = start.position }
            case .shown(_, _, let place): if let place { state.places[client] = place }
            case .reset(let place): state.places[client] = place
            case .left: break
            }
        }
    }

    /// How far each client has come in its user's inbox: what it gives when it returns.
    var places: [InboxPosition?] { state.withLock { $0.places } }

    func place(_ client: Int) -> InboxPosition? { state.withLock { $0.places[client] } }
}
