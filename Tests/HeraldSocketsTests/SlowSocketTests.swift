import Glibc
import Testing

@testable import HeraldSockets

/// Frames that give way at sockets that read too slowly.
@Suite(.serialized, .timeLimit(.minutes(2))) struct SlowSocketTests {
    private let roomy: (inout SocketLimits) -> Void = { $0.sendQueueBytesMax = 64 << 20 }

    /// A client that does not read, with 6 MB before it of which the kernel takes less than one.
    private func deaf(_ harness: Harness) async throws -> (client: TestClient, id: SocketID) {
        let client = try TestClient.open(harness.port)
        let id = try await harness.log.opened()
        #expect(harness.engine.ports[0].post([.flood(id, frames: 100, bytes: 60_000)]))
        _ = try await harness.log.first { if case .commands = $0 { true } else { nil } }
        return (client, id)
    }

    private func skipFlood(_ client: TestClient) throws {
        for _ in 0..<100 { #expect(try client.frame().payload.count == 60_000) }
    }

    private func offer(
        _ text: String,
        _ key: String? = nil,
        isDroppable: Bool = false,
        isFollowed: Bool = false,
        to id: SocketID,
        _ harness: Harness
    ) async throws -> OfferOutcome {
        let policy = FramePolicy(collapse: key.map { CollapseID($0) }, isDroppable: isDroppable)
        #expect(harness.engine.ports[id.loop].post([.offer(id, text, policy, isFollowed: isFollowed)]))
        return try await harness.log.first { if case .offered(let outcome) = $0 { outcome } else { nil } }
    }

    @Test func `of what waits under one key the newest comes, behind what was sent before it`() async throws {
        try await Harness.run(limits: roomy) { harness in
            let (client, id) = try await deaf(harness)
            #expect(try await offer("a 1", "a", to: id, harness) == .queued(.nothing))
            #expect(try await offer("b 1", "b", to: id, harness) == .queued(.nothing))
            for number in 2...50 {
                #expect(try await offer("a \(number)", "a", to: id, harness) == .queued(.unfollowed))
            }
            #expect(harness.engine.ports[0].post([.send(id, "plain")]))
            #expect(try await offer("b 2", "b", to: id, harness) == .queued(.unfollowed))
            #expect(try await offer("no key", to: id, harness) == .queued(.nothing))
            // One that reads is shown them all.
            let reader = try TestClient.open(harness.port)
            let readerID = try await harness.log.opened()
            for number in 1...3 {
                #expect(try await offer("a \(number)", "a", to: readerID, harness) == .queued(.nothing))
                #expect(try reader.frame().text == "a \(number)")
            }
            try skipFlood(client)
            #expect(try (0..<4).map { _ in try client.frame().text } == ["a 50", "plain", "b 2", "no key"])
            await harness.engine.stop()
            let counters = harness.engine.counters
            #expect(counters.framesCollapsed == 50 && counters.overflows == 0 && counters.queuedBytes == 0)
        }
    }

    @Test func `the memory of a socket that never reads does not grow by what is replaced`() async throws {
        try await Harness.run(limits: roomy) { harness in
            let (client, id) = try await deaf(harness)
            _ = try await offer("a 0", "a", to: id, harness)
            let before = harness.engine.counters.queuedBytes
            for number in 1...2000 { _ = try await offer("a \(number % 10)", "a", to: id, harness) }
            // Counters are those of the last turn but one; a turn later they say this one.
            #expect(harness.engine.ports[0].post([.broadcast("turn")]))
            _ = try await harness.log.first { if case .commands = $0 { true } else { nil } }
            #expect(harness.engine.counters.queuedBytes - before <= 200)
            withExtendedLifetime(client) {}
        }
    }

    @Test func `what may be left out gives way at half of the bound, and the socket stays`() async throws {
        try await Harness.run(limits: { $0.sendQueueBytesMax = 14 << 20 }) { harness in
            let (client, id) = try await deaf(harness)
            #expect(try await offer("early", isDroppable: true, to: id, harness) == .queued(.nothing))
            #expect(try await offer("key 1", "k", isDroppable: true, to: id, harness) == .queued(.nothing))
            // 6 MB more: beyond the half of 14 MiB, and not full.
            #expect(harness.engine.ports[0].post([.flood(id, frames: 100, bytes: 60_000)]))
            for number in 0..<10 {
                #expect(try await offer("late \(number)", isDroppable: true, to: id, harness) == .dropped)
            }
            // What takes an older one's place needs no more room.
            #expect(try await offer("key 2", "k", isDroppable: true, to: id, harness) == .queued(.unfollowed))
            #expect(try await offer("other", "l", isDroppable: true, to: id, harness) == .dropped)
            #expect(try await offer("has to arrive", to: id, harness) == .queued(.nothing))
            try skipFlood(client)
            #expect(try client.frame().text == "early")
            try skipFlood(client)
            #expect(try client.frame().text == "key 2")
            #expect(try client.frame().text == "has to arrive")
            #expect(try await offer("again", isDroppable: true, to: id, harness) == .queued(.nothing))
            #expect(try client.frame().text == "again")
            await harness.engine.stop()
            let counters = harness.engine.counters
            #expect(counters.framesDropped == 11 && counters.overflows == 0 && counters.framesCollapsed == 1)
        }
    }

    @Test func `when half of the node's budget is used, what may be left out is, where anything waits`()
        async throws
    {
        let limit: (inout SocketLimits) -> Void = { limits in
            limits.sendQueueBytesMax = 64 << 20
            limits.nodeQueueBytesMax = 24 << 20
        }
        try await Harness.run(limits: limit) { harness in
            let (first, small) = try await deaf(harness)
            #expect(try await offer("early", isDroppable: true, to: small, harness) == .queued(.nothing))
            let (second, large) = try await deaf(harness)
            #expect(harness.engine.ports[0].post([.flood(large, frames: 50, bytes: 60_000)]))
            _ = try await harness.log.first { if case .commands = $0 { true } else { nil } }
            // 13 MB and more wait, of 24: nobody is closed for it.
            #expect(try await offer("late", isDroppable: true, to: small, harness) == .dropped)
            let reader = try TestClient.open(harness.port)
            let readerID = try await harness.log.opened()
            #expect(try await offer("fine", isDroppable: true, to: readerID, harness) == .queued(.nothing))
            #expect(try reader.frame().text == "fine")
            #expect(harness.engine.counters.shed == 0)
            withExtendedLifetime((first, second)) {}
        }
    }

    @Test func `one too large for any queue is left out, and one that has to arrive closes`() async throws {
        try await Harness.run(limits: { $0.sendQueueBytesMax = 10_000 }) { harness in
            let client = try TestClient.open(harness.port)
            let id = try await harness.log.opened()
            let large = String(repeating: "x", count: 20_000)
            #expect(try await offer(large, isDroppable: true, to: id, harness) == .dropped)
            #expect(try await offer(large, "k", to: id, harness) == .overflowed)
            #expect(try client.frame().code == 4001)
            #expect(try await offer("gone", "k", isDroppable: true, to: id, harness) == .gone)
        }
    }

    @Test func `which of the followed ones was replaced is told, and it is not told as written`()
        async throws
    {
        try await Harness.run(limits: roomy) { harness in
            let (client, id) = try await deaf(harness)
            #expect(try await offer("a 1", "a", isFollowed: true, to: id, harness) == .queued(.nothing))
            #expect(try await offer("b 1", "b", isFollowed: true, to: id, harness) == .queued(.nothing))
            #expect(try await offer("plain", to: id, harness) == .queued(.nothing))
            #expect(try await offer("c 1", "c", isFollowed: true, to: id, harness) == .queued(.nothing))
            #expect(
                try await offer("a 2", "a", isFollowed: true, to: id, harness)
                    == .queued(.followed(behind: 2))
            )
            #expect(try await offer("c 2", "c", to: id, harness) == .queued(.followed(behind: 1)))
            #expect(
                try await offer("a 3", "a", isFollowed: true, to: id, harness)
                    == .queued(.followed(behind: 0))
            )
            try skipFlood(client)
            #expect(try (0..<4).map { _ in try client.frame().text } == ["b 1", "plain", "c 2", "a 3"])
            var written = 0
            while written < 2 {
                written += try await harness.log.first { event -> Int? in
                    if case .written(_, let count) = event { count } else { nil }
                }
            }
            #expect(written == 2)
        }
    }

    @Test func `a record that waits for room is not torn by what is replaced behind it`() async throws {
        let certificates = try TestCertificates()
        try await Harness.run(tls: try certificates.settings("a"), limits: roomy) { harness in
            let client = try TLSTestClient.open(tls: harness.port)
            let id = try await harness.log.opened()
            var replaced: Set<Int> = []
            // Small frames under many keys, until the kernel takes no more: some are inside the pending record.
            let padding = String(repeating: ".", count: 2000)
            for number in 0..<6000 {
                let outcome = try await offer("\(number) \(padding)", "\(number % 3000)", to: id, harness)
                if outcome == .queued(.unfollowed) { replaced.insert(number - 3000) }
            }
            for number in 0..<6000 where !replaced.contains(number) {
                let text = try client.frame().text
                #expect(text.hasPrefix("\(number) "))
            }
            #expect(replaced.count > 100 && replaced.count < 3000)
        }
    }

    @Test(arguments: [false, true])
    func `compressed frames are replaced, unless the context would be torn`(takesOver: Bool) async throws {
        var settings = DeflateSettings()
        settings.serverTakesOverContext = takesOver
        settings.payloadBytesMin = 0
        try await Harness.run(deflate: settings, limits: roomy) { harness in
            let client = try TestClient(port: harness.port)
            let head = RequestHeadTests.upgrade(adding: ["Sec-WebSocket-Extensions: permessage-deflate"])
            try client.send(head)
            #expect(try client.head().contains("permessage-deflate"))
            let id = try await harness.log.opened()
            let port = harness.engine.ports[0]
            // Noise, so that it stays 6 MB.
            var random = SplitMix(state: 5)
            let noise = (0..<60_000).map { _ in Character(UnicodeScalar(UInt8(32 + random.next() % 90))) }
            for _ in 0..<150 { #expect(port.post([.send(id, String(noise))])) }
            let repeated = String(repeating: "state ", count: 50)
            #expect(try await offer(repeated + "1", "k", to: id, harness) == .queued(.nothing))
            #expect(try await offer(repeated + "2", "k", to: id, harness) == .queued(.unfollowed))
            #expect(port.post([.send(id, repeated + "end")]))
            for _ in 0..<150 { _ = try client.frame() }
            let newest = try client.frame()
            #expect(newest.isDeflated == !takesOver)
            if takesOver {
                #expect(newest.text == repeated + "2")
            } else {
                #expect(inflated(newest) == repeated + "2")
            }
            #expect(try client.frame().isDeflated)
        }
    }

    private func inflated(_ frame: TestClient.Frame) -> String {
        var buffer = DeflateBuffer()
        var inflater = Inflater(windowBits: 15)
        let outcome = frame.payload.withUnsafeBytes { inflater.inflate($0, into: &buffer, bytesMax: 1 << 20) }
        return outcome == .whole ? String(decoding: buffer.bytes, as: UTF8.self) : "\(outcome)"
    }
}
