import HeraldCore
import HeraldSockets

extension DisconnectReason {
    /// What the backend is told of how a socket ended. A session that was replaced is not told as gone, whatever
    /// stands here.
    init(_ cause: CloseCause) {
        switch cause {
        case .peer, .disconnected: self = .closed
        case .handler(let code): self = Self(orderedWith: CloseCode(number: code))
        case .violation: self = .violation
        case .overflow, .shed: self = .slow
        case .pingTimeout: self = .timeout
        case .stopped: self = .stopping
        }
    }

    private init(orderedWith code: CloseCode) {
        switch code {
        case .goingAway: self = .stopping
        case .kicked: self = .kicked
        case .slowConsumer: self = .slow
        case .tooManyConnections: self = .evicted
        case .badFrame, .flood, .messageTooBig, .unauthorized: self = .violation
        default: self = .closed
        }
    }
}
