import Synchronization

@testable import HeraldSockets

/// What a test handler tells its test.
enum TestEvent: Sendable, Equatable {
    case opened(SocketID, path: String)
    case message(SocketID, String)
    case deadline(SocketID)
    case closed(SocketID, CloseCause)
    case written(SocketID, Int)
    case commands(loop: Int, count: Int)
    case offered(OfferOutcome)
}

/// The events of all loops, in the order of each.
final class EventLog: Sendable {
    let stream: AsyncStream<TestEvent>
    let continuation: AsyncStream<TestEvent>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream()
    }

    /// The next event that fits; those before it are dropped.
    func first<Result: Sendable>(_ pick: (TestEvent) -> Result?) async throws -> Result {
        for await event in stream {
            if let result = pick(event) { return result }
        }
        throw TestClient.Failure(description: "no more events")
    }

    func opened() async throws -> SocketID {
        try await first { if case .opened(let id, _) = $0 { id } else { nil } }
    }

    func closed() async throws -> CloseCause {
        try await first { if case .closed(_, let cause) = $0 { cause } else { nil } }
    }

    func message() async throws -> String {
        try await first { if case .message(_, let text) = $0 { text } else { nil } }
    }
}

/// Echoes, and does a few things on request: a text that starts with `!` is an order to it.
struct TestHandler: SocketHandler {
    enum Command: Sendable {
        case send(SocketID, String)
        case resume(SocketID)
        case flood(SocketID, frames: Int, bytes: Int)
        case broadcast(String)
        case follow(SocketID, bytes: Int)
        case close(SocketID, UInt16)
        case offer(SocketID, String, FramePolicy, isFollowed: Bool = false)
    }

    let loop: Int
    let log: EventLog
    var open: [SocketID] = []
    /// Frames still to be sent by `continueWork`, one a turn.
    var slices: [(SocketID, String)] = []

    mutating func requestReceived(_ request: borrowing HTTPRequestHead) -> RequestDecision {
        switch request.path {
        case "/health": .respond(.text(200, "fine"))
        case "/secret": .respond(.text(401, "who are you"))
        case "/chat": .accept(subprotocol: request.subprotocols.first)
        default: .accept(subprotocol: nil)
        }
    }

    mutating func socketOpened(_ id: SocketID, request: borrowing HTTPRequestHead, sockets: inout SocketTable)
    {
        open.append(id)
        if request.path == "/client" { _ = sockets.send(.text(request.client.description), to: id) }
        if request.path == "/greet" { _ = sockets.send(.text("welcome"), to: id) }
        log.continuation.yield(.opened(id, path: request.path))
    }

    mutating func messageReceived(
        _ message: RawSpan,
        kind: MessageKind,
        from id: SocketID,
        sockets: inout SocketTable
    ) {
        let bytes = message.withUnsafeBytes { Array($0) }
        let text = String(decoding: bytes, as: UTF8.self)
        log.continuation.yield(.message(id, text))
        switch text {
        case "!close": sockets.close(id, code: 4002, reason: "as you wish")
        case "!deadline": sockets.setDeadline(id, after: .milliseconds(20))
        case "!cancel":
            sockets.setDeadline(id, after: .milliseconds(1))
            sockets.setDeadline(id, after: nil)
        case "!pause": sockets.pauseReading(id)
        case "!slices": slices = (1...5).map { (id, "slice \($0)") }
        default: _ = sockets.send(kind == .text ? .text(bytes) : .binary(bytes), to: id)
        }
    }

    mutating func deadlinePassed(_ id: SocketID, sockets: inout SocketTable) {
        _ = sockets.send(.text("deadline"), to: id)
        log.continuation.yield(.deadline(id))
    }

    mutating func socketClosed(_ id: SocketID, cause: CloseCause, sockets: inout SocketTable) {
        open.removeAll { $0 == id }
        // A closed socket is gone for its handler, and asking for it is harmless.
        precondition(sockets.send(.text("late"), to: id) == .gone, "a closed socket takes nothing")
        sockets.close(id, code: 1000)
        sockets.setDeadline(id, after: .seconds(1))
        sockets.pauseReading(id)
        log.continuation.yield(.closed(id, cause))
    }

    mutating func framesWritten(_ count: Int, to id: SocketID, sockets: inout SocketTable) {
        log.continuation.yield(.written(id, count))
    }

    mutating func commandsArrived(_ commands: [Command], sockets: inout SocketTable) {
        for command in commands {
            switch command {
            case .send(let id, let text): _ = sockets.send(.text(text), to: id)
            case .resume(let id): sockets.resumeReading(id)
            case .close(let id, let code): sockets.close(id, code: code)
            case .offer(let id, let text, let policy, let isFollowed):
                let frame = OutboundFrame.text(Array(text.utf8), policy: policy)
                let outcome = sockets.offer(frame, to: id, isFollowed: isFollowed)
                log.continuation.yield(.offered(outcome))
            case .broadcast(let text):
                let frame = OutboundFrame.text(text)
                for id in open { _ = sockets.send(frame, to: id) }
            case .follow(let id, let bytes):
                let frame = OutboundFrame.binary([UInt8](repeating: 7, count: bytes))
                _ = sockets.send(frame, to: id, isFollowed: true)
            case .flood(let id, let frames, let bytes):
                let frame = OutboundFrame.binary([UInt8](repeating: 7, count: bytes))
                for _ in 0..<frames where sockets.send(frame, to: id) != .queued { break }
            }
        }
        log.continuation.yield(.commands(loop: loop, count: commands.count))
    }

    mutating func continueWork(sockets: inout SocketTable) -> Bool {
        guard !slices.isEmpty else { return false }
        let (id, text) = slices.removeFirst()
        _ = sockets.send(.text(text), to: id)
        return !slices.isEmpty
    }
}

/// An engine on a port of its own, stopped at the end of the test.
struct Harness {
    let engine: SocketEngine<TestHandler>
    let log: EventLog

    var port: Int { engine.port }

    static func run(
        loops: Int = 1,
        deflate: DeflateSettings? = nil,
        tls: TLSSettings? = nil,
        proxies: ProxySettings = ProxySettings(),
        limits change: (inout SocketLimits) -> Void = { _ in },
        _ test: (Harness) async throws -> Void
    ) async throws {
        var limits = SocketLimits()
        limits.socketsMaxPerLoop = 1000
        change(&limits)
        let log = EventLog()
        let configuration = SocketEngineConfiguration(
            host: "127.0.0.1",
            port: 0,
            loops: loops,
            limits: limits,
            deflate: deflate,
            tls: tls,
            proxies: proxies
        )
        let engine = SocketEngine(configuration) { TestHandler(loop: $0.loop, log: log) }
        try engine.start()
        do {
            try await test(Harness(engine: engine, log: log))
        } catch {
            await engine.stop()
            throw error
        }
        await engine.stop()
    }
}
