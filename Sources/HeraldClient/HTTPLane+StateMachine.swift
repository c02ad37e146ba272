/// Decides what one kept-alive HTTP/1.1 connection does; `HTTPLane` does it.
///
///     apart ── asked ──▶ connecting ── connected ──▶ resting ◀──▶ busy
///       ▲                    │ failed                   │ broken    │ broken, not kept alive
///       └────────────────────┴──────────────────────────┴───────────┘   (and again to connecting, if anybody waits)
///     any ── stop ──▶ stopped
///
/// One request is on the wire at a time: a push that waits behind another can still be withdrawn, and an
/// answer that breaks off costs one request, not a pipeline of them. Requests are served in order.
///
/// Rule: a request that was written is never written again by us. Whether the push was done is not known then,
/// and only the caller can say if twice is better than never.
struct HTTPLaneStateMachine<Request>: ~Copyable {
    private var state: State = .apart

    private enum State: ~Copyable {
        case apart
        case connecting(waiting: [Entry])
        case resting
        case busy(Entry, waiting: [Entry])
        case stopped
    }

    private struct Entry {
        var id: UInt64
        var request: Request
    }

    enum Asked {
        case connect
        case write(Request)
        case wait
        case refuse(Request, ClientError)
    }

    enum Next {
        case write(Request)
        case rest
        case connect
        case closeAndConnect
        case close
    }

    enum TimedOut {
        /// It was not written yet.
        case withdraw(Request)
        /// It is on the wire: close the connection.
        case abort(Request)
        case nothing
    }

    init() {}

    private init(_ state: consuming State) { self.state = state }

    /// `max`: how many may wait behind the one on the wire.
    mutating func asked(_ request: Request, id: UInt64, max: Int) -> Asked {
        let entry = Entry(id: id, request: request)
        switch consume state {
        case .apart:
            self = Self(.connecting(waiting: [entry]))
            return .connect
        case .connecting(var waiting):
            guard waiting.count < max else {
                self = Self(.connecting(waiting: waiting))
                return .refuse(request, Self.full(max))
            }
            waiting.append(entry)
            self = Self(.connecting(waiting: waiting))
            return .wait
        case .resting:
            self = Self(.busy(entry, waiting: []))
            return .write(request)
        case .busy(let current, var waiting):
            guard waiting.count < max else {
                self = Self(.busy(current, waiting: waiting))
                return .refuse(request, Self.full(max))
            }
            waiting.append(entry)
            self = Self(.busy(current, waiting: waiting))
            return .wait
        case .stopped:
            self = Self(.stopped)
            return .refuse(request, ClientError(.closed, "the client was shut down"))
        }
    }

    private static func full(_ max: Int) -> ClientError {
        ClientError(.busy, "\(max) requests wait already", mayRetry: true)
    }

    mutating func connected() -> Next {
        switch consume state {
        case .connecting(var waiting):
            guard !waiting.isEmpty else {
                self = Self(.resting)
                return .rest
            }
            let first = waiting.removeFirst()
            self = Self(.busy(first, waiting: waiting))
            return .write(first.request)
        case .stopped:
            self = Self(.stopped)
            return .close
        case .apart: Self.connectsNot()
        case .resting: Self.connectsNot()
        case .busy: Self.connectsNot()
        }
    }

    private static func connectsNot() -> Never {
        preconditionFailure("a lane hears of a connect only while it is connecting")
    }

    /// - Returns: the requests that waited for it: nobody answers there.
    mutating func connectFailed() -> [Request] {
        switch consume state {
        case .connecting(let waiting):
            self = Self(.apart)
            return waiting.map(\.request)
        case .stopped:
            self = Self(.stopped)
            return []
        case .apart: Self.connectsNot()
        case .resting: Self.connectsNot()
        case .busy: Self.connectsNot()
        }
    }

    /// A whole answer came.
    ///
    /// - Returns: whose it is (nil: nobody asked), and what to do then.
    mutating func answered(keptAlive: Bool) -> (Request?, Next) {
        switch consume state {
        case .busy(let current, var waiting):
            guard keptAlive else {
                if waiting.isEmpty {
                    self = Self(.apart)
                    return (current.request, .close)
                }
                self = Self(.connecting(waiting: waiting))
                return (current.request, .closeAndConnect)
            }
            guard !waiting.isEmpty else {
                self = Self(.resting)
                return (current.request, .rest)
            }
            let next = waiting.removeFirst()
            self = Self(.busy(next, waiting: waiting))
            return (current.request, .write(next.request))
        case .resting:
            self = Self(.apart)
            return (nil, .close)
        case .apart:
            self = Self(.apart)
            return (nil, .close)
        case .connecting(let waiting):
            self = Self(.connecting(waiting: waiting))
            return (nil, .close)
        case .stopped:
            self = Self(.stopped)
            return (nil, .close)
        }
    }

    /// The connection is gone.
    ///
    /// - Returns: the request that was on the wire, and `connect` when others wait.
    mutating func broken() -> (Request?, Next) {
        switch consume state {
        case .busy(let current, let waiting):
            if waiting.isEmpty {
                self = Self(.apart)
                return (current.request, .rest)
            }
            self = Self(.connecting(waiting: waiting))
            return (current.request, .connect)
        case .apart:
            self = Self(.apart)
            return (nil, .rest)
        case .resting:
            self = Self(.apart)
            return (nil, .rest)
        case .connecting(let waiting):
            self = Self(.connecting(waiting: waiting))
            return (nil, .rest)
        case .stopped:
            self = Self(.stopped)
            return (nil, .rest)
        }
    }

    mutating func timedOut(_ id: UInt64) -> TimedOut {
        switch consume state {
        case .busy(let current, var waiting):
            if current.id == id {
                self = waiting.isEmpty ? Self(.apart) : Self(.connecting(waiting: waiting))
                return .abort(current.request)
            }
            let late = Self.remove(id, from: &waiting)
            self = Self(.busy(current, waiting: waiting))
            return late.map { .withdraw($0) } ?? .nothing
        case .connecting(var waiting):
            let late = Self.remove(id, from: &waiting)
            self = Self(.connecting(waiting: waiting))
            return late.map { .withdraw($0) } ?? .nothing
        case .apart:
            self = Self(.apart)
            return .nothing
        case .resting:
            self = Self(.resting)
            return .nothing
        case .stopped:
            self = Self(.stopped)
            return .nothing
        }
    }

    /// Whether somebody waits for a connection.
    var isConnecting: Bool {
        switch state {
        case .connecting: true
        case .apart: false
        case .resting: false
        case .busy: false
        case .stopped: false
        }
    }

    /// - Returns: every request that has no answer yet.
    mutating func stopped() -> [Request] {
        switch consume state {
        case .busy(let current, let waiting):
            self = Self(.stopped)
            return [current.request] + waiting.map(\.request)
        case .connecting(let waiting):
            self = Self(.stopped)
            return waiting.map(\.request)
        case .apart:
            self = Self(.stopped)
            return []
        case .resting:
            self = Self(.stopped)
            return []
        case .stopped:
            self = Self(.stopped)
            return []
        }
    }

    private static func remove(_ id: UInt64, from waiting: inout [Entry]) -> Request? {
        guard let index = waiting.firstIndex(where: { $0.id == id }) else { return nil }
        return waiting.remove(at: index).request
    }
}
