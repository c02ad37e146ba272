import HeraldCore
import HeraldWire

/// Decides what a connection does; `ConnectionHandler` does it.
///
///     introducing ── connected ──▶ live ──┐
///          │                        │     │ close asked, close received, violation, silence
///          └────────────────────────┴─────┴──▶ closing ── channel inactive ──▶ ended
///
/// - introducing: the upgrade is done, the node has not said `connected`; requests are refused.
/// - live: requests have ids, and their answers find them by it.
/// - closing: the cause is known; whatever still comes is ignored.
/// - ended: nothing is left to do.
///
/// Rules: the cause that is known first is the one that is told; every waiter is answered exactly once.
struct ConnectionStateMachine<Waiter>: ~Copyable {
    private var state: State

    private enum State: ~Copyable {
        case introducing(rooms: [RoomID])
        case live(Live)
        case closing(ConnectionEnd.Cause, rooms: [RoomID])
        case ended
    }

    private struct Live {
        var rooms: [RoomID]
        var lastID: UInt64 = 0
        var requests: [UInt64: Request] = [:]

        mutating func frameReceived(_ frame: ServerFrame?) -> Received {
            switch frame {
            case .push(let push):
                return .deliver(.push(ReceivedPush(push)))
            case .ok(let id?), .pong(let id?):
                guard let request = requests.removeValue(forKey: id) else { return .ignore }
                switch request.body {
                case .join(let room): if !rooms.contains(room) { rooms.append(room) }
                case .leave(let room): rooms.removeAll { $0 == room }
                case .connect, .ack, .ping: break
                }
                return .answer(request.waiter, nil)
            case .error(let id, let code, let message):
                guard let id, let request = requests.removeValue(forKey: id) else {
                    return .deliver(.error(code: code, message: message))
                }
                var error = ClientError(.refused, message)
                error.serverCode = code
                return .answer(request.waiter, error)
            case .reset(let position): return .deliver(.reset(position))
            case .connected:
                let error = ClientError(.unexpectedAnswer, "the node said connected twice")
                return .violation(waiters: requests.values.map(\.waiter), error)
            case .ok(nil), .pong(nil), nil: return .ignore
            }
        }
    }

    private struct Request {
        var body: ClientFrame.Body
        var waiter: Waiter
    }

    enum Received {
        case ready(ConnectionIdentity)
        case deliver(ConnectionEvent)
        case answer(Waiter, ClientError?)
        case ignore
        /// Tell who waits for `connected`, then close.
        case refused(ClientError)
        /// Close with 1002; the waiters get the error.
        case violation(waiters: [Waiter], ClientError)
    }

    enum Requested {
        case send(ClientFrame, id: UInt64)
        case refuse(Waiter, ClientError)
    }

    enum Closing {
        /// Send a close frame with this code; the waiters get the error.
        case send(CloseCode, waiters: [Waiter], ClientError)
        case nothing
    }

    enum Ended {
        /// Nobody was told `connected` yet.
        case neverReady(ClientError)
        case over(ConnectionEnd, waiters: [Waiter], ClientError)
        case nothing
    }

    init(rooms: [RoomID]) { state = .introducing(rooms: rooms) }

    private init(_ state: consuming State) { self.state = state }

    // MARK: what the node says

    /// `frame`: nil for a kind that this version does not know.
    mutating func frameReceived(_ frame: ServerFrame?) -> Received {
        switch consume state {
        case .introducing(let rooms):
            if case .connected(let user, let key, let node, let inbox) = frame {
                self = Self(.live(Live(rooms: rooms)))
                return .ready(ConnectionIdentity(user: user, key: key, node: node, inbox: inbox))
            }
            self = Self(.introducing(rooms: rooms))
            return Self.beforeConnected(frame)
        case .live(var live):
            let received = live.frameReceived(frame)
            if case .violation(_, let error) = received {
                self = Self(.closing(.violation(error.message), rooms: live.rooms))
                return received
            }
            self = Self(.live(live))
            return received
        case .closing(let cause, let rooms):
            self = Self(.closing(cause, rooms: rooms))
            return .ignore
        case .ended:
            self = Self(.ended)
            return .ignore
        }
    }

    private static func beforeConnected(_ frame: ServerFrame?) -> Received {
        switch frame {
        case .error(_, let code, let message):
            var error = ClientError(.refused, "the node refused to connect: \(message)")
            error.serverCode = code
            return .refused(error)
        case .push(let push):
            return .deliver(.push(ReceivedPush(push)))
        case .connected, .reset, .ok, .pong, nil: return .ignore
        }
    }

    // MARK: what the caller asks

    /// `max`: how many may wait for an answer at once.
    mutating func requested(_ body: ClientFrame.Body, _ waiter: Waiter, max: Int) -> Requested {
        switch consume state {
        case .live(var live):
            guard live.requests.count < max else {
                self = Self(.live(live))
                return .refuse(
                    waiter,
                    ClientError(
                        .busy,
                        "\(max) requests wait for an answer already",
                        mayRetry: true
                    )
                )
            }
            live.lastID += 1
            let id = live.lastID
            live.requests[id] = Request(body: body, waiter: waiter)
            self = Self(.live(live))
            return .send(ClientFrame(id: id, body), id: id)
        case .introducing(let rooms):
            self = Self(.introducing(rooms: rooms))
            return .refuse(waiter, ClientError(.closed, "the connection is not live yet", mayRetry: true))
        case .closing(let cause, let rooms):
            self = Self(.closing(cause, rooms: rooms))
            return .refuse(waiter, Self.error(of: ConnectionEnd(cause: cause)))
        case .ended:
            self = Self(.ended)
            return .refuse(waiter, ClientError(.closed, "the connection is closed"))
        }
    }

    /// Whether something that nobody answers may be said now.
    ///
    /// - Returns: the frame; nil while not live: it would reach nobody who cares.
    mutating func told(_ body: ClientFrame.Body) -> ClientFrame? {
        switch consume state {
        case .live(let live):
            self = Self(.live(live))
            return ClientFrame(body)
        case .introducing(let rooms):
            self = Self(.introducing(rooms: rooms))
            return nil
        case .closing(let cause, let rooms):
            self = Self(.closing(cause, rooms: rooms))
            return nil
        case .ended:
            self = Self(.ended)
            return nil
        }
    }

    /// - Returns: who waits for that request, if anybody still does.
    mutating func requestTimedOut(_ id: UInt64) -> Waiter? {
        switch consume state {
        case .live(var live):
            let waiter = live.requests.removeValue(forKey: id)?.waiter
            self = Self(.live(live))
            return waiter
        case .introducing(let rooms):
            self = Self(.introducing(rooms: rooms))
            return nil
        case .closing(let cause, let rooms):
            self = Self(.closing(cause, rooms: rooms))
            return nil
        case .ended:
            self = Self(.ended)
            return nil
        }
    }

    // MARK: the end

    /// This side closes: asked to, or because the other side is silent or not of the protocol.
    mutating func closeAsked(_ cause: ConnectionEnd.Cause) -> Closing {
        let code: CloseCode
        switch cause {
        case .closedHere(let asked): code = asked
        case .violation: code = CloseCode(number: 1002)
        case .closed, .disconnected, .silent: code = .goingAway
        }
        switch consume state {
        case .introducing(let rooms):
            self = Self(.closing(cause, rooms: rooms))
            return .send(code, waiters: [], Self.error(of: ConnectionEnd(cause: cause)))
        case .live(let live):
            self = Self(.closing(cause, rooms: live.rooms))
            let waiters = live.requests.values.map(\.waiter)
            return .send(code, waiters: waiters, Self.error(of: ConnectionEnd(cause: cause)))
        case .closing(let earlier, let rooms):
            self = Self(.closing(earlier, rooms: rooms))
            return .nothing
        case .ended:
            self = Self(.ended)
            return .nothing
        }
    }

    /// The node's close frame came.
    mutating func closeReceived(_ code: CloseCode) -> Closing {
        switch consume state {
        case .introducing(let rooms):
            self = Self(.closing(.closed(code), rooms: rooms))
            return .send(code, waiters: [], Self.error(of: ConnectionEnd(cause: .closed(code))))
        case .live(let live):
            self = Self(.closing(.closed(code), rooms: live.rooms))
            let waiters = live.requests.values.map(\.waiter)
            return .send(code, waiters: waiters, Self.error(of: ConnectionEnd(cause: .closed(code))))
        case .closing(let earlier, let rooms):
            self = Self(.closing(earlier, rooms: rooms))
            return .nothing
        case .ended:
            self = Self(.ended)
            return .nothing
        }
    }

    /// The channel is gone.
    ///
    /// `reason`: why, as far as the channel knows.
    mutating func disconnected(_ reason: String) -> Ended {
        switch consume state {
        case .introducing:
            self = Self(.ended)
            return .neverReady(Self.error(of: ConnectionEnd(cause: .disconnected(reason))))
        case .live(let live):
            self = Self(.ended)
            let end = ConnectionEnd(cause: .disconnected(reason), rooms: live.rooms)
            return .over(end, waiters: live.requests.values.map(\.waiter), Self.error(of: end))
        case .closing(let cause, let rooms):
            self = Self(.ended)
            let end = ConnectionEnd(cause: cause, rooms: rooms)
            return .over(end, waiters: [], Self.error(of: end))
        case .ended:
            self = Self(.ended)
            return .nothing
        }
    }

    private static func error(of end: ConnectionEnd) -> ClientError {
        let code: ClientError.Code =
            switch end.cause {
            case .closed, .closedHere: .closed
            case .disconnected, .silent: .unreachable
            case .violation: .unexpectedAnswer
            }
        var error = ClientError(code, end.description, mayRetry: end.invitesBack)
        error.closeCode = end.code
        return error
    }
}
