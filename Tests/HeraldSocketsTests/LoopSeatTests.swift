import Foundation
import HeraldTesting
import Testing

@testable import HeraldSockets

/// Turns that are taken by who posts, while the loop's thread sleeps.
@Suite(.serialized, .timeLimit(.minutes(2))) struct LoopSeatTests {
    @Test func `a sleeping loop is attended by who posts, before it goes on`() async throws {
        try await SeatHarness.run { harness in
            try await harness.untilAttended { .tell($0) }
            // The other way wakes the loop.
            #expect(harness.port.post([.tell(-1)]))
            try await eventually("the loop was woken") { harness.log.value.last?.number == -1 }
            #expect(harness.log.value.last?.thread != ThreadID.current)
        }
    }

    @Test func `a loop that is in a turn is not waited for, and takes what was posted itself`() async throws {
        try await SeatHarness.run { harness in
            let (entered, door) = (Mutexed(false), Pipe())
            #expect(harness.port.post([.block(entered, door)]))
            try await eventually("the loop is in a turn") { entered.value }
            let me = ThreadID.current
            #expect(harness.port.post([.tell(1)], here: true))
            #expect(harness.log.value.isEmpty)
            try door.fileHandleForWriting.close()
            try await eventually("it was taken") { harness.log.value.map(\.number) == [1] }
            #expect(harness.log.value[0].thread != me)
        }
    }

    @Test func `what is left of the work is the loop's own`() async throws {
        try await SeatHarness.run { harness in
            let me = try await harness.untilAttended { _ in .work(3) }
            try await eventually("all was done") { harness.log.value.suffix(3).map(\.number) == [3, 2, 1] }
            let threads = harness.log.value.suffix(3).map(\.thread)
            #expect(threads[0] == me)
            #expect(threads[1] != me)
            #expect(threads[2] == threads[1])
        }
    }

    @Test func `a deadline that was set meanwhile is met`() async throws {
        try await SeatHarness.run { harness in
            let client = try TestClient(port: harness.engine.port, upgrade: "GET / HTTP/1.1")
            try await eventually("it is open") { harness.log.value.contains { $0.number == 1_000_000 } }
            try await harness.untilAttended { _ in .deadline(.milliseconds(30)) }
            try await eventually("the deadline passed") {
                harness.log.value.contains { $0.number == 2_000_000 }
            }
            _ = client
        }
    }

    @Test func `nothing is lost and nothing changes places, whoever posts`() async throws {
        try await SeatHarness.run { harness in
            let (posters, each) = (4, 5000)
            await withTaskGroup(of: Void.self) { group in
                for poster in 0..<posters {
                    group.addTask {
                        for number in 0..<each {
                            let isTaken = harness.port.post(
                                [.tell(poster * each + number)],
                                here: number % 3 > 0
                            )
                            if !isTaken { return }
                        }
                    }
                }
            }
            try await eventually("all have arrived") { harness.log.value.count == posters * each }
            let numbers = harness.log.value.map(\.number)
            for poster in 0..<posters {
                let own = numbers.filter { $0 / each == poster }
                #expect(own == Array(poster * each..<(poster + 1) * each))
            }
        }
    }

    @Test func `a loop that was stopped is attended by nobody`() async throws {
        try await SeatHarness.run { harness in
            try await harness.untilAttended { .tell($0) }
            let count = harness.log.value.count
            await harness.engine.stop()
            #expect(!harness.port.post([.tell(0)], here: true))
            #expect(harness.log.value.count == count)
        }
    }
}

/// Which thread this is.
private struct ThreadID: Equatable, Sendable {
    let raw: UInt

    static var current: Self { Self(raw: UInt(pthread_self())) }
}

/// Writes down what it was told, and on which thread.
private struct SeatHandler: SocketHandler {
    enum Command: Sendable {
        case tell(Int)
        /// So many rounds of work.
        case work(Int)
        /// Of the socket that was opened last.
        case deadline(Duration)
        /// Says that it is in a turn, and stays there until the other end of the pipe is closed.
        case block(Mutexed<Bool>, Pipe)
    }

    let log: Mutexed<[(number: Int, thread: ThreadID)]>
    var socket: SocketID?
    var rounds = 0

    private func note(_ number: Int) { log.change { $0.append((number, .current)) } }

    mutating func requestReceived(_ request: borrowing HTTPRequestHead) -> RequestDecision {
        .accept(subprotocol: nil)
    }

    mutating func socketOpened(
        _ id: SocketID,
        request: borrowing HTTPRequestHead,
        sockets: inout SocketTable
    ) {
        socket = id
        note(1_000_000)
    }

    mutating func messageReceived(
        _ message: RawSpan,
        kind: MessageKind,
        from id: SocketID,
        sockets: inout SocketTable
    ) {}
    mutating func deadlinePassed(_ id: SocketID, sockets: inout SocketTable) { note(2_000_000) }
    mutating func socketClosed(_ id: SocketID, cause: CloseCause, sockets: inout SocketTable) {}

    mutating func commandsArrived(_ commands: [Command], sockets: inout SocketTable) {
        for command in commands {
            switch command {
            case .tell(let number): note(number)
            case .work(let count): rounds = count
            case .deadline(let duration):
                note(0)
                if let socket { sockets.setDeadline(socket, after: duration) }
            case .block(let entered, let door):
                entered.change { $0 = true }
                _ = try? door.fileHandleForReading.readToEnd()
            }
        }
    }

    mutating func continueWork(sockets: inout SocketTable) -> Bool {
        guard rounds > 0 else { return false }
        note(rounds)
        rounds -= 1
        return rounds > 0
    }
}

private struct SeatHarness: Sendable {
    let engine: SocketEngine<SeatHandler>
    let log: Mutexed<[(number: Int, thread: ThreadID)]>

    var port: LoopPort<SeatHandler.Command> { engine.ports[0] }

    static func run(_ test: (SeatHarness) async throws -> Void) async throws {
        let log = Mutexed<[(number: Int, thread: ThreadID)]>([])
        var limits = SocketLimits()
        limits.socketsMaxPerLoop = 10
        limits.commandBacklogMax = 100_000
        limits.closeTimeout = .milliseconds(200)
        // The loop has no other reason to wake.
        limits.pingInterval = .seconds(3600)
        let configuration = SocketEngineConfiguration(host: "127.0.0.1", port: 0, loops: 1, limits: limits)
        let engine = SocketEngine(configuration) { _ in SeatHandler(log: log) }
        try engine.start()
        let result: Result<Void, any Error>
        do { result = .success(try await test(SeatHarness(engine: engine, log: log))) } catch {
            result = .failure(error)
        }
        await engine.stop()
        try result.get()
    }

    /// Posts until the loop is found asleep, which it is but for moments.
    ///
    /// - Returns: the thread that posted, and did what was posted.
    @discardableResult
    func untilAttended(_ command: (Int) -> SeatHandler.Command) async throws -> ThreadID {
        for attempt in 0..<1000 {
            let count = log.value.count
            let me = ThreadID.current
            try #require(port.post([command(attempt)], here: true))
            // Another thread may be in it still.
            let entry = log.value.dropFirst(count).first
            if let entry, entry.thread == me { return me }
            try await eventually("it was taken") { log.value.count > count }
        }
        throw SeatError.neverAsleep
    }
}

private enum SeatError: Error { case neverAsleep }
