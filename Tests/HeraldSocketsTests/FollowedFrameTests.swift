import Testing

@testable import HeraldSockets

/// Frames of which the handler wants to know when the kernel has them.
@Suite(.timeLimit(.minutes(1))) struct FollowedFrameTests {
    @Test func `what the kernel takes at once is told at the end of the turn, all of a turn together`()
        async throws
    {
        try await Harness.run { harness in
            let client = try TestClient.open(harness.port)
            let id = try await harness.log.opened()
            _ = harness.engine.ports[0].post([
                .send(id, "plain"), .follow(id, bytes: 10), .follow(id, bytes: 20),
            ])
            #expect(try await written(harness.log) == 2)
            _ = client
        }
    }

    @Test func `what the peer does not read is not told as written until it does`() async throws {
        try await Harness.run(limits: { $0.sendQueueBytesMax = 64 * 1024 * 1024 }) { harness in
            let client = try TestClient.open(harness.port)
            let id = try await harness.log.opened()
            let size = 32 * 1024 * 1024
            _ = harness.engine.ports[0].post([.follow(id, bytes: size)])
            #expect(try await nextOrder(harness.log) == .commands(loop: 0, count: 1))
            // A turn later nothing was told, for the kernel cannot hold so much.
            _ = harness.engine.ports[0].post([.send(id, "later")])
            #expect(try await nextOrder(harness.log) == .commands(loop: 0, count: 1))
            #expect(try client.frame().payload.count == size)
            #expect(try await written(harness.log) == 1)
        }
    }

    @Test func `a socket that ends before tells no more`() async throws {
        try await Harness.run(limits: { $0.sendQueueBytesMax = 64 * 1024 * 1024 }) { harness in
            var client: TestClient? = try TestClient.open(harness.port)
            let id = try await harness.log.opened()
            _ = harness.engine.ports[0].post([.follow(id, bytes: 32 * 1024 * 1024)])
            #expect(try await nextOrder(harness.log) == .commands(loop: 0, count: 1))
            withExtendedLifetime(client) {}
            client = nil
            let end = try await harness.log.first { event -> TestEvent? in
                switch event {
                case .written, .closed: event
                default: nil
                }
            }
            #expect(end == .closed(id, .disconnected))
        }
    }

    /// The next commands that arrived, or what was told as written before them.
    private func nextOrder(_ log: EventLog) async throws -> TestEvent {
        try await log.first { event in
            switch event {
            case .written, .commands: event
            default: nil
            }
        }
    }

    private func written(_ log: EventLog) async throws -> Int {
        try await log.first { if case .written(_, let count) = $0 { count } else { nil } }
    }
}
