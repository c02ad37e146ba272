import Foundation
import HeraldTesting
import Testing

/// `herald bench` on real processes: the figures it gives are its users' business, that nothing is lost and all of it is
/// counted is ours.
@Suite(.serialized)
struct BenchTests {
    private struct Line: Decodable {
        var bench: Bench
    }

    private struct Bench: Decodable {
        var connections: Int
        var nodes: Int
        var storm: Storm
        var idle: Idle
        var messages: [Messages]
        var clean: Bool
    }

    private struct Storm: Decodable {
        var connected: Int
        var failed: Int
    }

    private struct Idle: Decodable {
        var bytes: [String: Double]
        var closed: Int
    }

    private struct Messages: Decodable {
        var work: String
        var pushes: Int
        var deliveries: Int
        var cpuUs: [String: Double]
        var latencyUs: [String: Double]
        var expected: Int
        var arrived: Int
        var lost: Int
        var repeated: Int
        var refused: Int
    }

    private static let works = [
        "storm", "idle", "fan-out:20/s", "fan-out:16", "unicast:200/s", "unicast:32", "batch:20/s", "batch:2",
    ]

    private func check(_ result: Tool.Result, clients: Int, nodes: Int) throws {
        try #require(result.status == 0, "\(result.output)\n\(result.errors)")
        let line = try #require(result.lines.last)
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        let bench = try decoder.decode(Line.self, from: Data(line.utf8)).bench
        #expect(bench.connections == clients)
        #expect(bench.nodes == nodes)
        #expect(bench.storm.connected == clients)
        #expect(bench.storm.failed == 0)
        #expect(Set(bench.idle.bytes.keys) == ["cloud", "logic", "redis"])
        #expect(bench.idle.closed == 0)
        #expect(bench.messages.map(\.work) == Array(Self.works.dropFirst(2)))
        for row in bench.messages {
            #expect(row.pushes > 0)
            #expect(row.deliveries > 0)
            #expect(row.expected >= row.deliveries)
            #expect(row.arrived == row.expected)
            #expect(row.lost == 0)
            #expect(row.repeated == 0)
            #expect(row.refused == 0)
            #expect(Set(row.cpuUs.keys) == ["cloud", "logic", "redis"])
            #expect((row.latencyUs["p50"] ?? 0) > 0)
            #expect((row.latencyUs["max"] ?? 0) >= (row.latencyUs["p99"] ?? .infinity))
        }
        #expect(bench.clean)
    }

    @Test func `a system of its own is started, measured without loss, and stopped`() async throws {
        let words = ["bench", "--clients", "400", "--duration", "1s", "--warm-up", "200ms", "--nodes", "2"]
        let result = try await Tool.run(
            LocalHerald.program.path,
            words + Self.works,
            within: .seconds(120)
        )
        try check(result, clients: 400, nodes: 2)
        #expect(result.lines.contains { $0.hasPrefix("400 connections on 2 nodes") })
        #expect(result.lines.contains { $0.hasPrefix("unicast:32 ") })
    }

    @Test func `a system that runs already is found, measured, and left running`() async throws {
        try await LocalHerald.run(nodes: 2) { herald in
            let words = [
                "bench", "--running", "--json", "--clients", "100", "--duration", "1s", "--warm-up", "200ms",
                "--redis", "redis://127.0.0.1:\(herald.redisPort)", "--url", herald.logicURL(""),
            ]
            let result = try await Tool.run(
                LocalHerald.program.path,
                words + Self.works,
                within: .seconds(120)
            )
            try check(result, clients: 100, nodes: 2)
            #expect(result.lines.count == 1)
            #expect(try await herald.curl("GET", "/readyz").status == 200)
        }
    }

    @Test func `nobody to measure is said`() async throws {
        let port = try FreePorts.take()
        let result = try await Tool.run(
            LocalHerald.program.path,
            ["bench", "--running", "--clients", "1", "--redis", "redis://127.0.0.1:\(port)"]
        )
        #expect(result.status == 69)
        #expect(result.output.isEmpty)
    }
}
