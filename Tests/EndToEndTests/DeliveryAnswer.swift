import Foundation
import HeraldClient
import HeraldCore

/// An answer to a durable push, read without the SDK, which does not ask for any.
enum DeliveryAnswer {
    static func push(_ body: String, through client: HeraldPushClient) async -> DeliveryHistory.Answer {
        do {
            let answer = try await client.post("/v1/push", json: Array(body.utf8))
            return try read(answer.status, Data(answer.body))
        } catch {
            return .unknown
        }
    }

    static func read(_ status: Int, _ body: Data) throws -> DeliveryHistory.Answer {
        guard status == 200 else {
            let problem = try JSONDecoder().decode(Problem.self, from: body)
            let isCertain = problem.detail.contains("nothing was sent") && !problem.detail.contains("may ")
            return isCertain ? .refused : .unknown
        }
        let pushed = try JSONDecoder().decode(Pushed.self, from: body)
        guard let verdict = pushed.verdicts.first else { return .unknown }
        let place = verdict.stored.flatMap { InboxPosition("\($0.epoch).\($0.offset)") }
        return .verdict(verdict.verdict, id: pushed.id, place: place)
    }

    private struct Problem: Decodable {
        var detail: String
    }

    private struct Pushed: Decodable {
        struct Verdict: Decodable {
            struct Place: Decodable {
                var epoch: String
                var offset: UInt64
            }

            var verdict: String
            var stored: Place?
        }

        var id: String
        var verdicts: [Verdict]
    }
}
