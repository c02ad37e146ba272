import HeraldCore
import HeraldWire
import Testing

@testable import HeraldClient

@Suite struct ConnectionStateMachineTests {
    typealias Machine = ConnectionStateMachine<String>

    private let alice: ConnectionIdentity
    private let hello: ServerFrame
    private let news: RoomID
    private let push: PushID

    init() throws {
        alice = ConnectionIdentity(
            user: try UserID("alice"),
            key: try ConnectionKey("phone"),
            node: try NodeID("cloud-1")
        )
        hello = .connected(user: alice.user, key: alice.key, node: alice.node)
        news = try RoomID("news")
        push = try PushID("p1")
    }

    @Test func `connected, joined, pushed, closed by the node`() throws {
        var machine = Machine(rooms: [])
        expect(machine.frameReceived(hello).words, "ready alice")
        expect(machine.requested(.join(news), "join", max: 10).words, "send 1")
        expect(
            machine.frameReceived(.push(PushFrame(id: push, message: Message(), room: news))).words,
            "push p1"
        )
        expect(machine.frameReceived(.reset(InboxPosition(epoch: 1, offset: 2))).words, "reset 1.2")
        expect(machine.frameReceived(.ok(id: 1)).words, "answer join ok")
        expect(machine.frameReceived(.ok(id: 1)).words, "ignore")
        expect(machine.requested(.ping, "ping", max: 10).words, "send 2")
        expect(machine.closeReceived(.goingAway).words, "send 1001, fail ping: closed")
        expect(machine.frameReceived(.pong(id: 2)).words, "ignore")
        expect(machine.disconnected("eof").words, "over 1001 rooms [news], fail none")
        expect(machine.disconnected("eof").words, "nothing")
        expect(machine.requested(.ping, "late", max: 10).words, "refuse late: closed")
    }

    @Test func `requests are answered by id, in any order`() {
        var machine = Machine(rooms: [])
        _ = machine.frameReceived(hello)
        expect(machine.requested(.ping, "one", max: 10).words, "send 1")
        expect(machine.requested(.join(news), "two", max: 10).words, "send 2")
        expect(
            machine.frameReceived(.error(id: 2, code: "forbidden", message: "no")).words,
            "answer two forbidden"
        )
        expect(machine.frameReceived(.pong(id: 1)).words, "answer one ok")
        // The refused join is not among the rooms to come back to.
        expect(machine.disconnected("eof").words, "over disconnected rooms [], fail none")
    }

    @Test func `a request that timed out is forgotten, and its late answer ignored`() {
        var machine = Machine(rooms: [])
        _ = machine.frameReceived(hello)
        _ = machine.requested(.ping, "one", max: 10)
        expect(machine.requestTimedOut(1), "one")
        expect(machine.requestTimedOut(1), nil)
        expect(machine.frameReceived(.pong(id: 1)).words, "ignore")
    }

    @Test func `requests beyond the limit, before connected and after the end are refused`() {
        var machine = Machine(rooms: [])
        expect(machine.requested(.ping, "early", max: 1).words, "refuse early: closed")
        _ = machine.frameReceived(hello)
        expect(machine.requested(.ping, "one", max: 1).words, "send 1")
        expect(machine.requested(.ping, "two", max: 1).words, "refuse two: busy")
        expect(machine.closeAsked(.closedHere(.normal)).words, "send 1000, fail one: closed")
        expect(machine.requested(.ping, "three", max: 1).words, "refuse three: closed")
    }

    @Test func `a node that refuses says why before it closes`() {
        var machine = Machine(rooms: [])
        expect(
            machine.frameReceived(.error(id: nil, code: "bad_id", message: "user")).words,
            "refused bad_id"
        )
        expect(machine.closeAsked(.closedHere(.normal)).words, "send 1000, fail none: closed")
        expect(machine.closeReceived(.unauthorized).words, "nothing")
        expect(machine.disconnected("eof").words, "over here 1000 rooms [], fail none")
    }

    @Test func `closed or broken before connected`() {
        var closed = Machine(rooms: [news])
        expect(closed.closeReceived(.routeUnavailable).words, "send 4000, fail none: closed")
        expect(closed.disconnected("eof").words, "over 4000 rooms [news], fail none")
        var broken = Machine(rooms: [])
        expect(broken.disconnected("reset").words, "never ready: unreachable")
        expect(broken.closeAsked(.silent).words, "nothing")
    }

    @Test func `the first cause is the one that is told`() {
        var machine = Machine(rooms: [])
        _ = machine.frameReceived(hello)
        expect(machine.closeAsked(.silent).words, "send 1001, fail none: unreachable")
        expect(machine.closeAsked(.violation("x")).words, "nothing")
        expect(machine.closeReceived(.kicked).words, "nothing")
        expect(machine.disconnected("eof").words, "over silent rooms [], fail none")
    }

    @Test func `connected twice is a violation`() {
        var machine = Machine(rooms: [])
        _ = machine.frameReceived(hello)
        _ = machine.requested(.ping, "ping", max: 1)
        expect(machine.frameReceived(hello).words, "violation, fail ping")
        expect(machine.frameReceived(hello).words, "ignore")
        expect(machine.disconnected("eof").words, "over violation rooms [], fail none")
    }

    @Test func `what is not known is passed over`() {
        var machine = Machine(rooms: [])
        expect(machine.frameReceived(nil).words, "ignore")
        expect(machine.frameReceived(.ok(id: 9)).words, "ignore")
        _ = machine.frameReceived(hello)
        expect(machine.frameReceived(nil).words, "ignore")
        expect(machine.frameReceived(.ok(id: nil)).words, "ignore")
        expect(machine.frameReceived(.error(id: 99, code: "x", message: "")).words, "error x")
    }

    @Test func `leaving a room takes it from those to come back to`() {
        var machine = Machine(rooms: [news])
        _ = machine.frameReceived(hello)
        _ = machine.requested(.leave(news), "leave", max: 1)
        _ = machine.frameReceived(.ok(id: 1))
        expect(machine.disconnected("eof").words, "over disconnected rooms [], fail none")
    }
}

// Answers as the words of a transcript.

extension ConnectionStateMachine<String>.Received {
    var words: String {
        switch self {
        case .ready(let identity): "ready \(identity.user)"
        case .deliver(.push(let push)): "push \(push.id)"
        case .deliver(.reset(let position)): "reset \(position)"
        case .deliver(.error(let code, _)): "error \(code)"
        case .deliver(.closed): "closed"
        case .answer(let waiter, let error): "answer \(waiter) \(error?.serverCode ?? "ok")"
        case .ignore: "ignore"
        case .refused(let error): "refused \(error.serverCode ?? "")"
        case .violation(let waiters, _): "violation, fail \(waiters.joined())"
        }
    }
}

extension ConnectionStateMachine<String>.Requested {
    var words: String {
        switch self {
        case .send(_, let id): "send \(id)"
        case .refuse(let waiter, let error): "refuse \(waiter): \(error.code)"
        }
    }
}

extension ConnectionStateMachine<String>.Closing {
    var words: String {
        switch self {
        case .send(let code, let waiters, let error):
            "send \(code.number), fail \(waiters.isEmpty ? "none" : waiters.joined()): \(error.code)"
        case .nothing: "nothing"
        }
    }
}

extension ConnectionStateMachine<String>.Ended {
    var words: String {
        switch self {
        case .neverReady(let error): return "never ready: \(error.code)"
        case .over(let end, let waiters, _):
            let cause =
                switch end.cause {
                case .closed(let code): "\(code.number)"
                case .closedHere(let code): "here \(code.number)"
                case .disconnected: "disconnected"
                case .silent: "silent"
                case .violation: "violation"
                }
            return "over \(cause) rooms \(end.rooms), fail \(waiters.isEmpty ? "none" : waiters.joined())"
        case .nothing: return "nothing"
        }
    }
}
