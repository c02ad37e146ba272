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

    @Test func `those who never read hold no more than the budget, and the others are served as before`()
        async throws
    {
        let environment = [
            "HERALD_SOCKETS_NODE_QUEUE_BYTES_MAX": "\(Self.budget)", "HERALD_SOCKETS_PING_INTERVAL": "1h",
        ]
        try await LocalHerald.run(nodes: 1, environment: environment) { herald in
            let deaf = try (0..<Self.clients).map {
                try DeafClient(port: herald.cloudPort, query: "user=deaf\($0)&key=k")
            }
            let reader = try DeafClient(port: herald.cloudPort, query: "user=reader&key=k")
            let backend = try HeraldPushClient(url: herald.logicURL(""))
            let node = Resident(pid: try herald.pid("cloud-1"))

            let before = try await Self.flood(backend, reader, rounds: Self.roundsKernelTakes) { true }
            try node.resetPeak()
            let resident = try node.bytes
            let during = try await Self.flood(backend, reader, rounds: .max) {
                try await Self.shed(herald) < Self.clients / 4
            }
            let grown = try node.peakBytes - resident

            Figures.note(
                """
                \(Self.clients) clients that never read: \(grown / 1024) KiB more resident than before, budget \
                \(Self.budget / 1024) KiB; pushes to another client took \(Figures.spread(during)) meanwhile, \
                \(Figures.spread(before)) before
                """
            )
            // A quarter above: frames lie between buffers that come and go, and the allocator loses some room there.
            // In a small run what one turn needs weighs more, and under a sanitizer everything does.
            let slack = Sanitizer.isOn ? 256 << 20 : Soak.isOn ? 0 : 12 << 20
            #expect(grown <= Self.budget + Self.budget / 4 + slack)
            #expect(Self.late(during) <= Self.late(before) * 3 + .milliseconds(100))
            withExtendedLifetime(deaf) {}
            await backend.shutdown()
        }
    }

    /// Pushes to every one that is deaf, round by round, and from time to time to the one who reads.
    ///
    /// - Returns: how long each of those took, from the request until it was read.
    private static func flood(
        _ backend: HeraldPushClient,
        _ reader: DeafClient,
        rounds: Int,
        while goesOn: () async throws -> Bool
    ) async throws -> [Duration] {
        var latencies: [Duration] = []
        var round = 0
        while round < rounds, try await goesOn() {
            round += 1
            for first in stride(from: 0, to: clients, by: 50) {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in first..<min(first + 50, clients) {
                        let request = PushRequest(
                            to: [.user(try UserID("deaf\(number)"))],
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
        return latencies
    }

    private static func late(_ latencies: [Duration]) -> Duration {
        latencies.sorted()[latencies.count * 99 / 100]
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
