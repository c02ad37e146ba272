import Testing

@testable import HeraldClient

@Suite struct HTTPLaneStateMachineTests {
    typealias Machine = HTTPLaneStateMachine<String>

    @Test func `one connection serves requests in order`() {
        var machine = Machine()
        expect(machine.asked("a", id: 1, max: 9).words, "connect")
        expect(machine.asked("b", id: 2, max: 9).words, "wait")
        expect(machine.connected().words, "write a")
        expect(machine.asked("c", id: 3, max: 9).words, "wait")
        expect(words(machine.answered(keptAlive: true)), "a, write b")
        expect(words(machine.answered(keptAlive: true)), "b, write c")
        expect(words(machine.answered(keptAlive: true)), "c, rest")
        expect(machine.asked("d", id: 4, max: 9).words, "write d")
    }

    @Test func `an answer that is the connection's last`() {
        var machine = Machine()
        _ = machine.asked("a", id: 1, max: 9)
        _ = machine.connected()
        _ = machine.asked("b", id: 2, max: 9)
        expect(words(machine.answered(keptAlive: false)), "a, close and connect")
        expect(machine.connected().words, "write b")
        expect(words(machine.answered(keptAlive: false)), "b, close")
        expect(machine.asked("c", id: 3, max: 9).words, "connect")
    }

    @Test func `what was written is not written again when the connection breaks`() {
        var machine = Machine()
        _ = machine.asked("a", id: 1, max: 9)
        _ = machine.connected()
        _ = machine.asked("b", id: 2, max: 9)
        expect(words(machine.broken()), "a, connect")
        expect(machine.connected().words, "write b")
        expect(words(machine.broken()), "b, rest")
        expect(words(machine.broken()), "nobody, rest")
    }

    @Test func `a rested connection that the server closed is made again`() {
        var machine = Machine()
        _ = machine.asked("a", id: 1, max: 9)
        _ = machine.connected()
        _ = machine.answered(keptAlive: true)
        expect(words(machine.broken()), "nobody, rest")
        expect(machine.asked("b", id: 2, max: 9).words, "connect")
    }

    @Test func `all who wait learn that nobody answers there`() {
        var machine = Machine()
        _ = machine.asked("a", id: 1, max: 9)
        _ = machine.asked("b", id: 2, max: 9)
        expect(machine.connectFailed(), ["a", "b"])
        expect(machine.asked("c", id: 3, max: 9).words, "connect")
    }

    @Test func `time-outs: withdrawn while waiting, aborted on the wire`() {
        var machine = Machine()
        _ = machine.asked("a", id: 1, max: 9)
        _ = machine.asked("b", id: 2, max: 9)
        expect(machine.timedOut(2).words, "withdraw b")
        expect(machine.timedOut(2).words, "nothing")
        _ = machine.connected()
        _ = machine.asked("c", id: 3, max: 9)
        expect(machine.timedOut(1).words, "abort a")
        expect(machine.isConnecting, true)
        expect(machine.connected().words, "write c")
        expect(machine.timedOut(3).words, "abort c")
        expect(machine.isConnecting, false)
    }

    @Test func `everybody who waits timed out before the connection came`() {
        var machine = Machine()
        _ = machine.asked("a", id: 1, max: 9)
        _ = machine.timedOut(1)
        expect(machine.connected().words, "rest")
        expect(machine.asked("b", id: 2, max: 9).words, "write b")
    }

    @Test func `an answer that nobody asked for closes the connection`() {
        var machine = Machine()
        _ = machine.asked("a", id: 1, max: 9)
        _ = machine.connected()
        _ = machine.answered(keptAlive: true)
        expect(words(machine.answered(keptAlive: true)), "nobody, close")
    }

    @Test func `a full lane refuses, a stopped one too`() {
        var machine = Machine()
        _ = machine.asked("a", id: 1, max: 1)
        expect(machine.asked("b", id: 2, max: 1).words, "refuse b: busy")
        _ = machine.connected()
        expect(machine.asked("c", id: 3, max: 1).words, "wait")
        expect(machine.asked("d", id: 4, max: 1).words, "refuse d: busy")
        expect(machine.stopped(), ["a", "c"])
        expect(machine.asked("e", id: 5, max: 1).words, "refuse e: closed")
        expect(words(machine.broken()), "nobody, rest")
    }

    @Test func `a connection that comes after the stop is closed`() {
        var machine = Machine()
        _ = machine.asked("a", id: 1, max: 1)
        expect(machine.stopped(), ["a"])
        expect(machine.connected().words, "close")
    }
}

extension HTTPLaneStateMachine<String>.Asked {
    var words: String {
        switch self {
        case .connect: "connect"
        case .write(let request): "write \(request)"
        case .wait: "wait"
        case .refuse(let request, let error): "refuse \(request): \(error.code)"
        }
    }
}

extension HTTPLaneStateMachine<String>.Next {
    var words: String {
        switch self {
        case .write(let request): "write \(request)"
        case .rest: "rest"
        case .connect: "connect"
        case .closeAndConnect: "close and connect"
        case .close: "close"
        }
    }
}

extension HTTPLaneStateMachine<String>.TimedOut {
    var words: String {
        switch self {
        case .withdraw(let request): "withdraw \(request)"
        case .abort(let request): "abort \(request)"
        case .nothing: "nothing"
        }
    }
}

/// A tuple takes no extension.
private func words(_ answer: (String?, HTTPLaneStateMachine<String>.Next)) -> String {
    "\(answer.0 ?? "nobody"), \(answer.1.words)"
}
