import Foundation
import Testing

@testable import herald

struct BenchReportTests {
    private static func histogram(_ times: [UInt64]) -> LatencyHistogram {
        times.reduce(into: LatencyHistogram()) { $0.record(nanoseconds: $1) }
    }

    private static let messages = BenchReport.Messages(
        work: .messages(.fanOut, .rate(3)),
        seconds: 10,
        pushes: 30,
        deliveries: 300_000,
        cpu: [.cloud: 8.127, .redis: 0.42],
        latency: histogram([50, 60]),
        expected: 360_000,
        arrived: 360_000,
        repeated: 0,
        overtaken: 3,
        stale: 0,
        refused: 0,
        unanswered: 0,
        closed: 0
    )

    private static let report = BenchReport(
        clients: 10_000,
        nodes: 1,
        payloadBytes: 100,
        storm: .init(
            connected: 10_000,
            failed: 0,
            seconds: 1.25,
            cpu: [.cloud: 41.2],
            latency: histogram([60])
        ),
        idle: .init(seconds: 10, bytes: [.cloud: 646.4, .redis: 470], load: [.cloud: 0.9], closed: 0),
        messages: [messages]
    )

    @Test func `people get a table`() {
        #expect(
            Self.report.lines(colour: false) == [
                "10000 connections on 1 node, 100 bytes of data a message",
                "WORK         EACH SECOND  CPU µs: CLOUD  LOGIC  REDIS  P50   P99   P99.9  MAX   LOST  REPEATED",
                "storm        8000         41.2           -      -      0 µs  0 µs  0 µs   0 µs  0     0",
                "fan-out:3/s  30000        8.13           -      0.42   0 µs  0 µs  0 µs   0 µs  0     0",
                "idle for 10.0 s: 646 bytes a connection in cloud, 470 bytes a connection in redis; 0.90 % of a core in cloud",
            ]
        )
    }

    @Test func `programs get one line of JSON`() throws {
        let bytes = Self.report.json
        #expect(!bytes.contains(UInt8(ascii: "\n")))
        let all = try #require(
            try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: [String: Any]]
        )
        let bench = try #require(all["bench"])
        #expect(bench["connections"] as? Int == 10_000)
        #expect(bench["clean"] as? Bool == true)
        let storm = try #require(bench["storm"] as? [String: Any])
        #expect(storm["cpu_us"] as? [String: Double] == ["cloud": 41.2])
        let idle = try #require(bench["idle"] as? [String: Any])
        #expect(idle["bytes"] as? [String: Double] == ["cloud": 646.4, "redis": 470])
        let row = try #require((bench["messages"] as? [[String: Any]])?.first)
        #expect(row["work"] as? String == "fan-out:3/s")
        #expect(row["lost"] as? Int == 0)
        #expect(row["overtaken"] as? Int == 3)
        let latency = try #require(row["latency_us"] as? [String: Double])
        #expect(latency["p50"] == 0.05)
        #expect(latency["max"] == 0.06)
    }

    @Test func `what is lost, repeated, refused or cut is no clean run and is said`() {
        #expect(Self.report.isClean)
        let faults: [WritableKeyPath<BenchReport.Messages, UInt64>] = [
            \.repeated, \.stale, \.refused, \.unanswered, \.closed,
        ]
        for fault in faults {
            var report = Self.report
            report.messages[0][keyPath: fault] = 2
            #expect(!report.isClean)
            #expect(report.lines(colour: false) != Self.report.lines(colour: false))
        }
        var lossy = Self.report
        lossy.messages[0].arrived = 359_998
        #expect(lossy.messages[0].lost == 2)
        #expect(!lossy.isClean)
        var turnedAway = Self.report
        turnedAway.storm?.failed = 1
        #expect(!turnedAway.isClean)
    }

    @Test func `numbers have as many digits as they deserve`() {
        #expect(
            [0, 0.004, 8.127, 41.26, 99.97, 129_500.4].map(BenchNumber.text) == [
                "0.00", "0.00", "8.13", "41.3", "100.0", "129500",
            ]
        )
        #expect(BenchNumber.fixed(-1.5, digits: 1) == "-1.5")
        #expect(BenchNumber.fixed(-0.001, digits: 2) == "0.00")
        #expect(BenchNumber.time(nanoseconds: 849_600) == "850 µs")
        #expect(BenchNumber.time(nanoseconds: 12_500_000) == "12.5 ms")
        #expect(BenchNumber.time(nanoseconds: 3_200_000_000) == "3.20 s")
    }
}
