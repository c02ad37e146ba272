import Testing

@testable import HeraldSockets

@Suite(.serialized, .timeLimit(.minutes(2))) struct OutboundBundleTests {
    private static func frames(_ count: Int, bytes: Int) -> [OutboundFrame] {
        (0..<count).map { .binary([UInt8](repeating: UInt8($0 % 256), count: bytes)) }
    }

    @Test(arguments: [
        (130, 100, [64, 64, 2]), (5, 30_000, [2, 2, 1]), (2, 100_000, [1, 1]), (1, 5, [1]), (0, 0, []),
        (64, 1, [64]),
    ])
    func `frames are joined to as few bundles as the bounds allow`(count: Int, bytes: Int, sizes: [Int]) {
        let frames = Self.frames(count, bytes: bytes)
        let bundles = OutboundBundle.joining(frames)
        #expect(bundles.map(\.frames.count) == sizes)
        let contents: ([OutboundFrame]) -> [UInt8] = { frames in
            frames.flatMap { Array(UnsafeRawBufferPointer(start: $0.bytes.base, count: $0.bytes.count)) }
        }
        #expect(contents(bundles.map(\.joined)) == contents(frames))
        for bundle in bundles {
            #expect(bundle.frames.count == 1 || bundle.joined.byteCount <= OutboundBundle.bytesMax)
            #expect(bundle.frames.count > 1 || bundle.joined.bytes === bundle.frames[0].bytes)
        }
    }

    @Test func `a bundle arrives as its messages, in one write`() async throws {
        try await BundleHarness.run { harness in
            let clients = try (0..<3).map { _ in try harness.connect() }
            harness.order(.init(texts: ["a", "b", "c"], rounds: 1))
            for client in clients {
                #expect(try (0..<3).map { _ in try client.frame().text } == ["a", "b", "c"])
            }
            #expect(try await harness.outcomes(3) == [.queued, .queued, .queued])
            await harness.engine.stop()
            let counters = harness.engine.counters
            // Upgrade, bundle, close frame.
            #expect(counters.writes == 9)
            #expect(counters.framesOut == 15)
        }
    }

    @Test func `a socket that compresses takes no bundle`() async throws {
        try await BundleHarness.run(deflate: .init()) { harness in
            let plain = try harness.connect()
            let client = try harness.connect(offer: "permessage-deflate")
            harness.order(.init(texts: ["a", "b"], rounds: 1))
            #expect(try await harness.outcomes(2) == [.queued, nil])
            #expect(try [plain.frame().text, plain.frame().text] == ["a", "b"])
            // Nothing of it was queued.
            try client.send(ClientFrame.close(1000))
            #expect(try client.frame().code == 1000)
        }
    }

    @Test func `a socket that is behind takes no bundle, nor one whose queue it would overfill`()
        async throws
    {
        try await BundleHarness.run(queueBytesMax: 200_000) { harness in
            let deaf = try harness.connect(receiveBufferBytes: 4096)
            let large = String(repeating: "x", count: 60_000)
            harness.order(.init(texts: Array(repeating: large, count: 5), rounds: 1))
            // Five bundles of one: three fit.
            #expect(try await harness.outcomes(5) == [.queued, .queued, .queued, nil, nil])
            // More than a kernel's buffers take: at last it is behind, with room in its queue.
            harness.order(.init(texts: [large, "small"], rounds: 400))
            #expect(try await harness.outcomes(400).last == .some(nil))
            harness.order(.init(texts: ["a", "b"], rounds: 1))
            #expect(try await harness.outcomes(1) == [nil])
            _ = deaf
        }
    }

    @Test func `a socket that is gone takes no bundle`() async throws {
        try await BundleHarness.run { harness in
            let client = try harness.connect()
            try client.send(ClientFrame.close(1000))
            #expect(try client.frame().code == 1000)
            #expect(try client.isEnded())
            harness.order(.init(texts: ["a", "b"], rounds: 1))
            #expect(try await harness.outcomes(1) == [.gone])
        }
    }
}

/// Sends bundles to every socket that it ever saw, one round a turn, and says what became of each.
private struct BundleHandler: SocketHandler {
    struct Command: Sendable {
        var texts: [String]
        var rounds: Int
    }

    let outcomes: AsyncStream<SendOutcome?>.Continuation
    var sockets: [SocketID] = []
    var waiting: [Command] = []

    mutating func requestReceived(_ request: borrowing HTTPRequestHead) -> RequestDecision {
        .accept(subprotocol: nil)
    }

    mutating func socketOpened(
        _ id: SocketID,
        request: borrowing HTTPRequestHead,
        sockets: inout SocketTable
    ) {
        self.sockets.append(id)
    }

    mutating func messageReceived(
        _ message: RawSpan,
        kind: MessageKind,
        from id: SocketID,
        sockets: inout SocketTable
    ) {}
    mutating func deadlinePassed(_ id: SocketID, sockets: inout SocketTable) {}
    mutating func socketClosed(_ id: SocketID, cause: CloseCause, sockets: inout SocketTable) {}

    mutating func commandsArrived(_ commands: [Command], sockets: inout SocketTable) { waiting += commands }

    mutating func continueWork(sockets: inout SocketTable) -> Bool {
        guard let next = waiting.first else { return false }
        let bundles = OutboundBundle.joining(next.texts.map { .text($0) })
        for id in self.sockets {
            for bundle in bundles { outcomes.yield(sockets.send(bundle, to: id)) }
        }
        waiting[0].rounds -= 1
        if waiting[0].rounds == 0 { waiting.removeFirst() }
        return !waiting.isEmpty
    }
}

private struct BundleHarness {
    let engine: SocketEngine<BundleHandler>
    let stream: AsyncStream<SendOutcome?>

    static func run(
        deflate: DeflateSettings? = nil,
        queueBytesMax: Int = 1 << 20,
        _ test: (BundleHarness) async throws -> Void
    ) async throws {
        var limits = SocketLimits()
        limits.socketsMaxPerLoop = 100
        limits.sendQueueBytesMax = queueBytesMax
        limits.closeTimeout = .milliseconds(200)
        let configuration = SocketEngineConfiguration(
            host: "127.0.0.1",
            port: 0,
            loops: 1,
            limits: limits,
            deflate: deflate
        )
        let (stream, outcomes) = AsyncStream.makeStream(of: SendOutcome?.self)
        let engine = SocketEngine(configuration) { _ in BundleHandler(outcomes: outcomes) }
        try engine.start()
        do {
            try await test(BundleHarness(engine: engine, stream: stream))
        } catch {
            await engine.stop()
            throw error
        }
        await engine.stop()
    }

    func connect(offer: String? = nil, receiveBufferBytes: Int? = nil) throws -> TestClient {
        let client = try TestClient(port: engine.port, receiveBufferBytes: receiveBufferBytes)
        let fields = offer.map { ["Sec-WebSocket-Extensions: \($0)"] } ?? []
        try client.send(RequestHeadTests.upgrade(adding: fields))
        let head = try client.head()
        guard head.hasPrefix("HTTP/1.1 101") else { throw TestClient.Failure(description: head) }
        return client
    }

    func order(_ command: BundleHandler.Command) {
        let isTaken = engine.ports[0].post([command])
        #expect(isTaken)
    }

    func outcomes(_ count: Int) async throws -> [SendOutcome?] {
        var outcomes: [SendOutcome?] = []
        for await outcome in stream {
            outcomes.append(outcome)
            if outcomes.count == count { return outcomes }
        }
        throw TestClient.Failure(description: "no more outcomes")
    }
}
