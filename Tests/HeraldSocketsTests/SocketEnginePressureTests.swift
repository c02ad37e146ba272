import Glibc
import Testing

@testable import HeraldSockets

/// Several loops, other threads, full queues, no descriptors, and the end.
@Suite(.serialized, .timeLimit(.minutes(2))) struct SocketEnginePressureTests {
    // MARK: Back-pressure

    @Test func `a peer that does not read is told to come back, and only it`() async throws {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.sendQueueBytesMax = 256 * 1024
            limits.closeTimeout = .milliseconds(200)
            limits.overflowCode = 4007
        }
        try await Harness.run(limits: limit) { harness in
            let deaf = try TestClient(port: harness.port, upgrade: "GET / HTTP/1.1", receiveBufferBytes: 4096)
            let id = try await harness.log.opened()
            let other = try TestClient.open(harness.port)
            #expect(harness.engine.ports[0].post([.flood(id, frames: 1000, bytes: 60_000)]))
            #expect(try await harness.log.closed() == .overflow)
            try other.send(ClientFrame.text("fine"))
            #expect(try other.frame().text == "fine")
            await harness.engine.stop()
            let counters = harness.engine.counters
            #expect(counters.overflows == 1 && counters.queuedBytes == 0 && counters.connections == 0)
            _ = deaf
        }
    }

    @Test func `a peer that reads late gets the close frame after whole frames only`() async throws {
        try await Harness.run(limits: { $0.sendQueueBytesMax = 256 * 1024 }) { harness in
            let late = try TestClient(port: harness.port, upgrade: "GET / HTTP/1.1", receiveBufferBytes: 4096)
            let id = try await harness.log.opened()
            #expect(harness.engine.ports[0].post([.flood(id, frames: 1000, bytes: 60_000)]))
            #expect(try await harness.log.closed() == .overflow)
            var frame = try late.frame()
            while frame.opcode == .binary {
                #expect(frame.payload.count == 60_000)
                frame = try late.frame()
            }
            #expect(frame.code == 4001)
        }
    }

    @Test func `much for one peer in one turn is no overflow when it reads`() async throws {
        try await Harness.run(limits: { $0.sendQueueBytesMax = 70_000 }) { harness in
            let client = try TestClient(
                port: harness.port,
                upgrade: "GET / HTTP/1.1",
                receiveBufferBytes: 4 << 20
            )
            let id = try await harness.log.opened()
            #expect(harness.engine.ports[0].post([.flood(id, frames: 20, bytes: 20_000)]))
            for _ in 0..<20 { #expect(try client.frame().payload.count == 20_000) }
        }
    }

    @Test func `beyond the node's budget the largest queue goes, and the others stay`() async throws {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.sendQueueBytesMax = 64 << 20
            limits.nodeQueueBytesMax = 8 << 20
        }
        try await Harness.run(limits: limit) { harness in
            let small = try TestClient(
                port: harness.port,
                upgrade: "GET / HTTP/1.1",
                receiveBufferBytes: 4096
            )
            let smallID = try await harness.log.opened()
            let large = try TestClient(
                port: harness.port,
                upgrade: "GET / HTTP/1.1",
                receiveBufferBytes: 4096
            )
            let largeID = try await harness.log.opened()
            // 6 and 12 MB, of which the kernel takes up to 4 each: too much together, and enough without the
            // larger.
            let flood: [TestHandler.Command] = [
                .flood(smallID, frames: 100, bytes: 60_000), .flood(largeID, frames: 200, bytes: 60_000),
            ]
            #expect(harness.engine.ports[0].post(flood))
            let closed = try await harness.log.first { if case .closed = $0 { $0 } else { nil } }
            #expect(closed == .closed(largeID, .shed))
            for _ in 0..<100 { #expect(try small.frame().payload.count == 60_000) }
            _ = large
        }
    }

    @Test func `of sockets that stand in the midst of large frames no more end than have to`() async throws {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.sendQueueBytesMax = 64 << 20
            limits.nodeQueueBytesMax = 80 << 20
        }
        try await Harness.run(limits: limit) { harness in
            var clients: [TestClient] = []
            var flood: [TestHandler.Command] = []
            for _ in 0..<10 {
                let client = try TestClient(
                    port: harness.port,
                    upgrade: "GET / HTTP/1.1",
                    receiveBufferBytes: 4096
                )
                clients.append(client)
                let id = try await harness.log.opened()
                // Of which the kernel takes up to 4 MB.
                flood.append(.flood(id, frames: 1, bytes: 8_000_000))
            }
            #expect(harness.engine.ports[0].post(flood))
            _ = try await harness.log.first { if case .closed = $0 { true } else { nil } }
            // 80 MB were there, and 73 may be.
            #expect(harness.engine.ports[0].post([.broadcast("turn")]))
            _ = try await harness.log.first { if case .commands = $0 { true } else { nil } }
            #expect(harness.engine.counters.shed == 1)
            _ = clients
        }
    }

    @Test func `frames get seven eighths of the node's budget, each loop frees its share`() {
        let budget = NodeBudget(bytesMax: 800)
        #expect(budget.add(350, own: 350) == 0 && !budget.isHalfUsed)
        #expect(budget.add(350, own: 350) == 0 && budget.isHalfUsed)
        // 100 too many, of which the one has a quarter.
        #expect(budget.add(100, own: 200) == 25)
        #expect(budget.add(0, own: 600) == 75)
        #expect(budget.add(-100, own: 100) == 0)
    }

    @Test func `a paused socket is not read until it is resumed`() async throws {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            let id = try await harness.log.opened()
            try client.send(ClientFrame.text("!pause"))
            #expect(try await harness.log.message() == "!pause")
            try client.send(ClientFrame.text("waiting"))
            // A round trip through the loop on another socket: had it read, the message would be in the log.
            let other = try TestClient.open(harness.port)
            try other.send(ClientFrame.text("round trip"))
            #expect(try other.frame().text == "round trip")
            #expect(try await harness.log.message() == "round trip")
            #expect(harness.engine.ports[0].post([.resume(id)]))
            #expect(try client.frame().text == "waiting")
        }
    }

    @Test func `work goes on slice by slice`() async throws {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            try client.send(ClientFrame.text("!slices"))
            #expect(try (1...5).map { _ in try client.frame().text } == (1...5).map { "slice \($0)" })
        }
    }

    // MARK: Loops and threads

    @Test func `two loops share a port, and each sends to its own`() async throws {
        try await Harness.run(loops: 2) { harness in
            var clients: [TestClient] = []
            var perLoop = [0, 0]
            // The kernel spreads by a hash of the addresses; forty connections on one side do not happen.
            for _ in 0..<40 {
                clients.append(try TestClient.open(harness.port))
                perLoop[try await harness.log.opened().loop] += 1
            }
            #expect(perLoop.allSatisfy { $0 > 0 } && perLoop[0] + perLoop[1] == 40)
            for port in harness.engine.ports { #expect(port.post([.broadcast("to all")])) }
            for client in clients { #expect(try client.frame().text == "to all") }
        }
    }

    @Test func `commands of many threads arrive, each thread's in order`() async throws {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            let id = try await harness.log.opened()
            let port = harness.engine.ports[0]
            await withTaskGroup(of: Void.self) { group in
                for sender in 0..<4 {
                    group.addTask {
                        for number in 0..<200 {
                            let isTaken = port.post([.send(id, "\(sender) \(number)")])
                            #expect(isTaken)
                        }
                    }
                }
            }
            var next = [0, 0, 0, 0]
            for _ in 0..<800 {
                let parts = try client.frame().text.split(separator: " ").compactMap { Int($0) }
                #expect(parts[1] == next[parts[0]])
                next[parts[0]] += 1
            }
        }
    }

    @Test func `a full backlog refuses the batch whole, and so does a loop that has ended`() async throws {
        let limit: (inout SocketLimits) -> Void = { $0.commandBacklogMax = 10 }
        try await Harness.run(limits: limit) { harness in
            let port = harness.engine.ports[0]
            let batch = [TestHandler.Command](repeating: .broadcast(""), count: 11)
            #expect(!port.post(batch))
            #expect(port.post(Array(batch.prefix(10))))
            await harness.engine.stop()
            #expect(!port.post(Array(batch.prefix(1))))
            #expect(harness.engine.counters.batchesRefused == 2)
        }
    }

    // MARK: Start and stop

    @Test func `stopping closes every socket with the code, and tells each handler`() async throws {
        try await Harness.run(loops: 2) { harness in
            let clients = try (0..<20).map { _ in try TestClient.open(harness.port) }
            let halfway = try TestClient(port: harness.port)
            try halfway.send(Array("GET /".utf8))
            for _ in clients { _ = try await harness.log.opened() }
            async let stopped: Void = harness.engine.stop(code: 1012, reason: "restarting")
            for client in clients {
                #expect(try client.frame().code == 1012)
                try client.send(ClientFrame.close(1012))
                #expect(try client.isEnded())
            }
            await stopped
            for _ in clients { #expect(try await harness.log.closed() == .stopped(code: 1012)) }
            let counters = harness.engine.counters
            #expect(counters.opened == 20 && counters.closed == 20)
            #expect(counters.open == 0 && counters.connections == 0 && counters.closeTimeouts == 0)
            #expect(throws: TestClient.Failure.self) { try TestClient(port: harness.port) }
        }
    }

    @Test func `after stopAccepting the open ones stay`() async throws {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            harness.engine.stopAccepting()
            // Served after the order, which came to the loop first.
            #expect(harness.engine.ports[0].post([.broadcast("a")]))
            #expect(try client.frame().text == "a")
            try client.send(ClientFrame.text("b"))
            #expect(try client.frame().text == "b")
            #expect(throws: TestClient.Failure.self) { try TestClient(port: harness.port) }
        }
    }

    @Test func `an engine says why it cannot start`() async throws {
        try await Harness.run { harness in
            #expect(throws: SocketEngineError.self) { try harness.engine.start() }
        }
        for (host, port, loops) in [
            ("nowhere", 0, 1), ("127.0.0.1", 70_000, 1), ("127.0.0.1", 0, 0), ("192.0.2.1", 0, 1),
        ] {
            let log = EventLog()
            let configuration = SocketEngineConfiguration(host: host, port: port, loops: loops)
            let engine = SocketEngine(configuration) { TestHandler(loop: $0.loop, log: log) }
            let error = #expect(throws: SocketEngineError.self) { try engine.start() }
            #expect(error?.isListenFailure == (host == "192.0.2.1"))
            await engine.stop()
        }
    }
}
