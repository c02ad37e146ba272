import HeraldTesting
import Logging
import Testing

@testable import HeraldCloud

/// The laws of DESIGN.md §4 over every interleaving of one user's connects and of what can go wrong between two
/// nodes and Redis.
///
/// Real is the node's whole mind about a key (`KeyLane`); the scripts are `KeyRecord`, which a differential test
/// holds against the Lua. Judged at every state in which nothing is under way, of all that can be reached:
/// - the route names the user's real connection while older ones are still open, unnoticed, whichever node renews
///   first; and at once, without any renewal, where Redis lost nothing;
/// - when all is noticed and renewed, the route names that connection or nobody, and no other node minds the key;
/// - the user's real connection is never closed as `replaced`.
///
/// Bounds of the model: connects are further apart than the tenth of a second within which Herald counts them as
/// equally new; the estimate of Redis's clock is right and masters agree on the time; a command does not happen
/// later than `KeyLane.Rules.doubt` after it was given up. A mapping that came back with a failover although its
/// session is gone stands until it expires. `find` asks the table as it is: a crashed node's lease is over at once.
@Suite(.serialized)
struct RouteModelTests {
    private static let logger = Logger(label: "herald.model")

    /// Some seconds in all; each has its own kinds of trouble, so that together they meet in pairs.
    private static let scenarios = [
        ModelBudget(connects: 3),
        ModelBudget(connects: 3, failovers: 1),
        ModelBudget(connects: 3, crashes: 1),
        ModelBudget(connects: 2, failures: 2),
        ModelBudget(connects: 2, failures: 1, leases: 1),
        ModelBudget(connects: 2, failures: 1, failovers: 1),
        ModelBudget(connects: 2, failures: 1, crashes: 1),
        ModelBudget(connects: 2, expiries: 1, failovers: 1, crashes: 1),
    ]

    /// Five minutes and some 5 GB.
    private static let wideScenarios = [
        ModelBudget(connects: 3, failures: 1),
        ModelBudget(connects: 3, expiries: 1, failovers: 1, crashes: 1),
        ModelBudget(connects: 2, failures: 1, expiries: 1, failovers: 1, crashes: 1),
        ModelBudget(connects: 2, failures: 1, ticks: 2),
        ModelBudget(connects: 3, failures: 1, failovers: 1),
    ]

    @Test(arguments: scenarios)
    func `Herald's routes keep the laws`(_ budget: ModelBudget) {
        expectKept(budget)
    }

    @Test(
        .enabled(if: Soak.isOn, "minutes; for --soak"),
        arguments: wideScenarios
    )
    func `and with more trouble at a time`(_ budget: ModelBudget) {
        expectKept(budget)
    }

    @Test(arguments: [
        (RouteDesign.plain, ModelBudget(connects: 2)),
        (RouteDesign.deleteIfMine, ModelBudget(connects: 2)),
    ])
    func `the checker catches a design without epochs`(_ design: RouteDesign, _ budget: ModelBudget) {
        expectCaught(NaiveLane.self, design, budget)
    }

    /// The node is Herald's, so that what is wrong is this one choice.
    @Test(arguments: [
        (RouteDesign.expireOnly, ModelBudget(connects: 2, failovers: 1)),
        (RouteDesign.nodeClocks, ModelBudget(connects: 2)),
        (RouteDesign.counter, ModelBudget(connects: 2, failovers: 1)),
        (RouteDesign.stampedAtCall, ModelBudget(connects: 2, failures: 1)),
    ])
    func `the checker catches a design that differs in one choice`(
        _ design: RouteDesign,
        _ budget: ModelBudget
    ) {
        expectCaught(HeraldLane.self, design, budget)
    }

    private func expectKept(_ budget: ModelBudget) {
        let report = ModelChecker<HeraldLane>(design: .herald, budget: budget).run()
        log(.herald, budget.testDescription, report)
        #expect(report.wrong == 0, "\(report.transcript ?? "")")
        #expect(report.quiet > 0)
    }

    private func expectCaught<Lane: ModelLane>(
        _ lane: Lane.Type,
        _ design: RouteDesign,
        _ budget: ModelBudget
    ) {
        let report = ModelChecker<Lane>(design: design, budget: budget).run()
        log(design, budget.testDescription, report)
        #expect(report.wrong > 0, "the checker sees nothing wrong with \(design.rawValue)")
        #expect(report.transcript?.isEmpty == false)
    }

    private func log(_ design: RouteDesign, _ scenario: String, _ report: ModelReport) {
        Self.logger.notice(
            "explored",
            metadata: [
                "design": "\(design.rawValue)", "scenario": "\(scenario)", "states": "\(report.states)",
                "quiet": "\(report.quiet)", "wrong": "\(report.wrong)",
                "shortest": "\(report.transcript ?? "-")",
            ]
        )
    }
}
