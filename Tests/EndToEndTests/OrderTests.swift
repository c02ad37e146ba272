import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting
import HeraldWire
import Testing

/// In which order a client is shown what several publishers push through two logic processes. A publisher pushes one
/// after the other through one process; every other one's pushes are kept.
@Suite(.timeLimit(.minutes(5))) struct OrderTests {
    private static func plan(_ habit: DeliveryStorm.Habit) -> DeliveryStorm.Plan {
        // Few users, so that many pushes are on their way to each.
        var plan = DeliveryStorm.Plan(
            users: 40,
            pushesPerSecond: Sanitizer.isOn ? 80 : 600,
            publishers: 80,
            duration: .seconds(Soak.size(5, soak: 30)) * (Sanitizer.isOn ? 2 : 1)
        ) { _ in habit }
        // Both kinds through both processes.
        plan.isDurable = { $0 / 2 % 2 == 0 }
        return plan
    }

    @Test func `a client that stays is shown all in order, whoever sent it`() async throws {
        try await DeliveryHerald.run(nodes: 3) { herald in
            let report = try await DeliveryStorm.run(Self.plan(.stays), on: herald) { _ in
                try await DeliveryStorm.pass(.milliseconds(200))
            }
            report.judge("order, two logic processes")
            report.expectUnbroken()
            #expect(report.judgement.unseen == 0)
        }
    }

    @Test func `a client that moves is shown what is kept in order, and the rest but for what was followed`()
        async throws
    {
        try await DeliveryHerald.run(nodes: 3) { herald in
            let habit = DeliveryStorm.Habit.wanders(.milliseconds(400))
            let report = try await DeliveryStorm.run(Self.plan(habit), on: herald) { _ in
                try await DeliveryStorm.pass(.milliseconds(200))
            }
            let (late, wrongs) = Self.split(report)
            let followed = try await Self.followed(late, by: herald)
            Figures.note(
                """
                order, two logic processes, clients move every 400 ms: \(report.connects) connects, \
                \(report.judgement.summary); late because followed \(followed)
                """
            )
            #expect(wrongs.isEmpty, "\(wrongs.prefix(20))")
            #expect(followed == late.count, "what was sent to one place only is shown in order")
            #expect(report.connects > 60, "nobody moved")
            report.expectUnbroken()
        }
    }

    /// What was not kept and is shown after what was sent later; and everything else that is wrong.
    private static func split(
        _ report: DeliveryStorm.Report
    ) -> (late: [DeliveryHistory.Sent], wrongs: [DeliveryJudgement.Wrong]) {
        let plain = report.history.pushes.filter { !$0.isDurable }
        let byLabel = Dictionary(plain.map { ($0.label, $0) }, uniquingKeysWith: { first, _ in first })
        let wrongs = report.judgement.wrongs
        let late = wrongs.compactMap { wrong in wrong.label.flatMap { byLabel[$0] } }
        return (late, wrongs.filter { $0.label.flatMap { byLabel[$0] } == nil })
    }

    /// How many of these were looked up again, and sent on, by what their logic process tells of them.
    private static func followed(
        _ pushes: [DeliveryHistory.Sent],
        by herald: DeliveryHerald
    ) async throws -> Int {
        var followed = 0
        for push in pushes {
            guard case .verdict(_, let id, _) = push.answer else { continue }
            for logic in herald.logics {
                guard let story = try? await logic.pages.story(of: try PushID(id)) else { continue }
                let sendings = story.targets.flatMap(\.steps).count { step in
                    if case .sent = step.event { true } else { false }
                }
                if sendings > 1 { followed += 1 }
            }
        }
        return followed
    }
}
