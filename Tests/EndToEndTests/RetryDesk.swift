// Publishers whose answers get lost, and who ask again under the same idempotency key until there is one; and the
// clients of those for whom the pushes are. All is written down for the judge.

import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting
import Synchronization
import Testing

final class RetryDesk: Sendable {
    let recorder = DeliveryRecorder()
    let users: [String]
    private let nodes: [Int]
    /// Bodies and the last answers to them, by label.
    private let known = Mutex<[String: (body: [UInt8], answer: [UInt8])]>([:])

    /// `users`: how many, spread over the nodes.
    init(_ herald: DeliveryHerald, users: Int) {
        nodes = herald.nodes.map(\.port)
        self.users = (0..<users).map { Self.padded($0, "u") }
    }

    /// Names of one length, so that requests are of one length.
    static func padded(_ number: Int, _ prefix: String) -> String {
        prefix + String(repeating: "0", count: max(0, 4 - "\(number)".count)) + "\(number)"
    }

    /// Runs a body with a client for each user.
    ///
    /// - Parameters:
    ///   - follow: what a client does until it is cancelled; given its number at the recorder, and its user's.
    ///   - body: called when all follow their inboxes.
    /// - Throws: what the body throws.
    func run(
        _ follow: @escaping @Sendable (_ client: Int, _ user: Int) async throws -> Void,
        _ body: () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, user) in users.enumerated() {
                let client = recorder.client("\(user)/phone", of: user)
                group.addTask {
                    do { try await follow(client, index) } catch is CancellationError {} catch {
                        Issue.record("\(user) gave up: \(error)")
                    }
                }
            }
            try await eventually("all follow their inboxes", within: .seconds(30)) {
                recorder.places.allSatisfy { $0 != nil }
            }
            try await body()
            group.cancelAll()
        }
    }

    func place(_ user: Int) throws -> ConnectionConfiguration {
        try ConnectionConfiguration(
            url: "ws://127.0.0.1:\(nodes[user % nodes.count])/ws",
            user: users[user],
            key: "phone",
            resume: .fresh
        )
    }

    func saw(_ client: Int, _ push: ReceivedPush) {
        let label = push.message.event ?? ""
        recorder.saw(client, .shown(label: label, id: "\(push.id)", place: push.position))
    }

    /// How many pushes were shown.
    var shown: Int {
        recorder.history.clients.reduce(0) { count, client in
            count + client.sights.count { if case .shown = $0.what { true } else { false } }
        }
    }

    // MARK: publishers

    /// One push, to be asked for until it is answered.
    struct Order: Sendable {
        var label: String
        var user: String
        var publisher: String
        var isDurable: Bool
        var confirm = "written"
        var deadlineMilliseconds = 3000

        /// Of the same length for labels, users and confirmations of one length.
        var body: [UInt8] {
            let keeps = isDurable ? "true " : "false"
            return Array(
                """
                {"users":["\(user)"],"event":"\(label)","durable":\(keeps),"confirm":"\(confirm)",\
                "deadline_ms":\(deadlineMilliseconds),"idempotency_key":"key-\(label)"}
                """.utf8
            )
        }
    }

    /// Asks until there is an answer, and writes it down.
    ///
    /// - Parameters:
    ///   - order: what is pushed.
    ///   - ask: asks once, for the so-manieth time; nil when the answer was lost.
    /// - Throws: `DidNotHappen` when there is none for a minute.
    func push(_ order: Order, _ ask: (_ attempt: Int) async throws -> HTTPAnswer?) async throws {
        let number = recorder.sent(
            order.label,
            to: order.user,
            by: order.publisher + (order.isDurable ? " keeping" : ""),
            isDurable: order.isDurable
        )
        var attempt = 0
        try await eventually("\(order.label) is answered", within: .seconds(60), every: .milliseconds(20)) {
            let answer = try await ask(attempt)
            attempt += 1
            guard let answer, answer.status == 200 else { return false }
            recorder.answered(number, try DeliveryAnswer.read(answer.status, Data(answer.body)))
            known.withLock { $0[order.label] = (order.body, answer.body) }
            return true
        }
    }

    /// Asks once more for everything that was answered.
    ///
    /// - Returns: how many get the very answer that they had.
    func askAllAgain(_ client: HeraldPushClient) async throws -> Int {
        var same = 0
        for (body, answer) in known.withLock({ Array($0.values) }) {
            try await eventually("it is answered again", within: .seconds(30)) {
                guard let again = try? await client.post("/v1/push", json: body), again.status == 200 else {
                    return false
                }
                if again.body == answer { same += 1 }
                return true
            }
        }
        return same
    }
}
