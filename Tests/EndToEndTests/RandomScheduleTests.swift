import Foundation
import HeraldTesting
import Testing

/// Real processes under random trouble (Schedule.swift); once it is over, the laws hold: every connected client is
/// reached by a push, once, and nobody else; a key has one live socket; Redis holds the routes of the living.
///
/// `HERALD_TEST_SEED=7` runs that one schedule, `HERALD_TEST_SEED=7-40` those; `scripts/test --soak` runs 200.
@Suite(.timeLimit(.minutes(60))) struct RandomScheduleTests {
    @Test func `after any trouble every client is reachable and nobody else`() async throws {
        var herald: ProxiedHerald?
        var settled: [Duration] = []
        var namesHeld = 0
        var (verdicts, codes): ([String: Int], [String: Int]) = ([:], [:])
        for seed in Self.seeds {
            let schedule = Schedule(seed: seed)
            let world = try await taken(herald)
            herald = world
            var wrongs: [String] = []
            do {
                let report = try await ScheduleRun(schedule, on: world).run()
                wrongs = report.wrongs
                settled.append(report.settled)
                namesHeld += report.namesHeld
                verdicts.merge(report.verdicts, uniquingKeysWith: +)
                codes.merge(report.closeCodes, uniquingKeysWith: +)
                if report.settled > Self.slow {
                    Figures.note(
                        "seed \(seed): all laws held after \(report.settled), last: \(report.lastToHold)"
                    )
                }
            } catch {
                wrongs = ["the schedule could not be run: \(error)"]
            }
            guard !wrongs.isEmpty else { continue }
            // The next schedule begins in a clean world.
            Issue.record(
                """
                HERALD_TEST_SEED=\(seed) ends wrong:
                \(wrongs.joined(separator: "\n"))
                \(schedule)
                \(world.logs())
                """
            )
            await world.stop()
            herald = nil
        }
        await herald?.stop()
        Figures.note(
            """
            \(settled.count) schedules; laws held after \(Figures.spread(settled)); names held \(namesHeld) times; \
            pushes meanwhile \(verdicts); connections closed \(codes)
            """
        )
    }

    /// Longer than leases, mappings and pings last: worth a line.
    private static let slow = Duration.seconds(5)

    private func taken(_ herald: ProxiedHerald?) async throws -> ProxiedHerald {
        if let herald { return herald }
        return try await ProxiedHerald.start(nodes: 3, environment: ProxiedHerald.quick)
    }

    private static var seeds: ClosedRange<UInt64> {
        let environment = ProcessInfo.processInfo.environment
        let asked = environment["HERALD_TEST_SEED"]?.split(separator: "-").compactMap { UInt64($0) } ?? []
        if let first = asked.first, let last = asked.last, first <= last { return first...last }
        return Soak.size(Sanitizer.isOn ? 1...3 : 1...10, soak: 1...200)
    }
}

/// What a test measured, for whoever reads the run's output.
enum Figures {
    static func note(_ line: String) {
        try? FileHandle.standardError.write(contentsOf: Data("figures: \(line)\n".utf8))
    }

    /// The median, the 99th percentile and the largest, in milliseconds.
    static func spread(_ durations: [Duration]) -> String {
        guard !durations.isEmpty else { return "none" }
        let sorted = durations.sorted().map { $0 / .milliseconds(1) }
        func at(_ share: Double) -> String {
            String(format: "%.1f", sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))])
        }
        return "p50 \(at(0.5)) ms, p99 \(at(0.99)) ms, max \(at(1)) ms"
    }
}
