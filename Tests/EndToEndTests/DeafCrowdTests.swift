import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting
import Testing

/// Clients that never read, under push: what they cost the node, and what the others notice.
@Suite(.timeLimit(.minutes(5))) struct DeafCrowdTests {
    private static let clients = Soak.size(100, soak: 1000)
    private static let budget = Soak.size(8, soak: 64) << 20
    private static let payload = Payload.json([UInt8](repeating: UInt8(ascii: "7"), count: 8_000))
    /// The kernel holds 128 KiB for a peer that does not read, and what the peer's own buffer takes.
    private static let roundsKernelTakes = 12
    /// Pushes under way at once, and one more to the client whose time is taken.
    private static let pushesAtOnce = 25

    @Test func `those who never read hold no more than the budget, and the others are served as before`()
        async throws
    {
        let environment = [
            "HERALD_SOCKETS_NODE_QUEUE_BYTES_MAX": "\(Self.budget)",
            // Nobody here answers a ping.
            "HERALD_SOCKETS_PING_INTERVAL": "1h", "HERALD_SOCKETS_PONG_TIMEOUT": "10m",
        ]
        try await LocalHerald.run(nodes: 1, environment: environment) { herald in
            let reader = try DeafClient(port: herald.cloudPort, query: "user=reader&key=k")
            let backend = try HeraldPushClient(url: herald.logicURL(""))
            let node = Resident(pid: try herald.pid("cloud-1"))

            let before = try await Self.whenAllRead(herald, backend, reader)
            let deaf = try Self.connect("deaf", herald)
            var rounds = 0
            _ = try await Self.flood("deaf", backend, reader) { _ in
                rounds += 1
                return rounds <= Self.roundsKernelTakes
            }
            try node.resetPeak()
            let resident = try node.bytes
            let during = try await Self.flood("deaf", backend, reader) { first in
                guard first == 0 else { return true }
                return try await Self.shed(herald) < Self.clients / 2
            }
            let grown = try node.peakBytes - resident

            Figures.note(
                """
                \(Self.clients) clients that never read: \(grown / 1024) KiB more resident than before, budget \
                \(Self.budget / 1024) KiB; \(during.count) pushes to another client took \
                \(Figures.spread(during)) meanwhile; \(before.count) took \(Figures.spread(before)) when the \
                \(Self.clients) read all they got
                """
            )
            // In a small run what one turn needs weighs more than the tenth, and under a sanitizer everything does.
            let slack = Sanitizer.isOn ? 256 << 20 : Soak.isOn ? 0 : 3 << 20
            #expect(grown <= Self.budget + Self.budget / 10 + slack)
            #expect(during.judged <= before.judged * 2 + .milliseconds(Soak.size(100, soak: 10)))
            withExtendedLifetime(deaf) {}
            await backend.shutdown()
        }
    }

    private static func connect(_ name: String, _ herald: LocalHerald) throws -> [DeafClient] {
        try (0..<clients).map { try DeafClient(port: herald.cloudPort, query: "user=\(name)\($0)&key=k") }
    }

    /// The same pushes to as many clients, who read what has come after every few: what there is to compare with.
    private static func whenAllRead(
        _ herald: LocalHerald,
        _ backend: HeraldPushClient,
        _ reader: DeafClient
    ) async throws -> [Duration] {
        let clients = try connect("reading", herald)
        var rounds = 0
        return try await flood("reading", backend, reader) { first in
            for client in clients[max(0, first - 2 * pushesAtOnce)..<first] { try client.skipArrived() }
            guard first == 0 else { return true }
            for client in clients { try client.skipArrived() }
            rounds += 1
            return try await shed(herald) == 0 && rounds <= roundsKernelTakes
        }
    }

    /// Pushes to every one of a crowd, round by round, and beside each few of these to the one who reads.
    ///
    /// `goesOn` is asked before each few, with the number of the first; 0 begins a round. How long each of the latter
    /// pushes took, from the request until it was read, is the answer.
    private static func flood(
        _ crowd: String,
        _ backend: HeraldPushClient,
        _ reader: DeafClient,
        while goesOn: (Int) async throws -> Bool
    ) async throws -> [Duration] {
        var latencies: [Duration] = []
        while true {
            for first in stride(from: 0, to: clients, by: pushesAtOnce) {
                guard try await goesOn(first) else { return latencies }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in first..<min(first + pushesAtOnce, clients) {
                        let request = PushRequest(
                            to: [.user(try UserID("\(crowd)\(number)"))],
                            Message(event: "filling", payload: payload)
                        )
                        group.addTask { _ = try await backend.push(request) }
                    }
                    let probe = Message(event: "probe \(latencies.count)")
                    let start = ContinuousClock.now
                    _ = try await backend.push(PushRequest(to: [.user(try UserID("reader"))], probe))
                    _ = try reader.events(upTo: probe.event ?? "")
                    latencies.append(ContinuousClock.now - start)
                    try await group.waitForAll()
                }
            }
        }
    }

    /// Sockets that the node has closed because too much was queued on all together.
    private static func shed(_ herald: LocalHerald) async throws -> Int {
        let metrics = try await Tool.run(
            "/usr/bin/curl",
            ["-sS", "-m", "10", "http://127.0.0.1:\(herald.cloudPort)/metrics"]
        ).lines
        let prefix = #"herald_sockets_cut_total{reason="shed"} "#
        let line = try #require(metrics.first { $0.hasPrefix(prefix) })
        return try #require(Int(line.dropFirst(prefix.count)))
    }
}

/// What a process holds in memory.
private struct Resident {
    let pid: Int32

    var bytes: Int { get throws { try status("VmRSS:") } }
    var peakBytes: Int { get throws { try status("VmHWM:") } }

    /// The peak is what it is now (proc(5)).
    func resetPeak() throws {
        let handle = try FileHandle(forWritingTo: URL(filePath: "/proc/\(pid)/clear_refs"))
        try handle.write(contentsOf: Data("5".utf8))
        try handle.close()
    }

    private func status(_ name: String) throws -> Int {
        let text = try String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)
        let line = try #require(text.split(separator: "\n").first { $0.hasPrefix(name) })
        return try #require(
            line.split(separator: " ").dropLast().last.flatMap {
                Int($0.trimmingCharacters(in: .whitespaces))
            }
        ) * 1024
    }
}
