// A storm of pushes over clients that follow their inboxes, while something goes wrong again and again.
//
// Each publisher pushes one after the other, to random users, through both logic processes; every tenth waits for
// `written`, every tenth for `acked`. Clients are the SDK's; an application that gives its place when it returns, and writes down
// what it is shown. When the storm is over each user is pushed one last message; once every client has come as far,
// the judge looks at everything.

import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting
import Synchronization
import Testing

final class DeliveryStorm: Sendable {
    /// What a client does besides following its inbox.
    enum Habit: Sendable {
        /// Stays where it is, and returns there.
        case stays
        /// Goes to a random node when its own is gone.
        case flees
        /// Goes to a random node after so long.
        case wanders(Duration)
        /// Is connected for so long and away for so long.
        case rests(Duration)
    }

    struct Plan: Sendable {
        var users = 200
        var pushesPerSecond = 500
        var publishers = 200
        var duration: Duration
        /// Whether a publisher's pushes are kept.
        var isDurable: @Sendable (_ publisher: Int) -> Bool = { _ in true }
        /// Every hundredth push has so many bytes of data.
        var largeBytes = 0
        var habit: @Sendable (_ client: Int) -> Habit
    }

    struct Report {
        var history: DeliveryHistory
        var judgement: DeliveryJudgement
        /// From the end of the storm until every client had the last push.
        var settled: Duration
        /// Times that a connection was made.
        var connects: Int
        /// Promised pushes that Redis does not have any more.
        var lostByRedis: Int
        /// How long pushes were sent.
        var lasted: Duration
        var pushesPerSecond: Double
    }

    private let plan: Plan
    private let ports: [Int]
    private let publishers: [HeraldPushClient]
    private let recorder = DeliveryRecorder()
    private let isOver = Mutex(false)
    private let users: [String]

    private init(_ plan: Plan, on herald: DeliveryHerald) {
        self.plan = plan
        ports = herald.nodes.map(\.port)
        publishers = herald.logics.map(\.pages)
        users = (0..<plan.users).map { "u\($0)" }
    }

    /// Runs a storm to its end.
    ///
    /// - Parameters:
    ///   - plan: who takes part.
    ///   - herald: a ready system.
    ///   - trouble: what goes wrong; called again and again until the time is over.
    /// - Returns: what became of it.
    /// - Throws: what is not for the judge: a part that does not come back, or somebody who never connects.
    static func run(
        _ plan: Plan,
        on herald: DeliveryHerald,
        trouble: (_ turn: Int) async throws -> Void
    ) async throws -> Report {
        let storm = DeliveryStorm(plan, on: herald)
        return try await withThrowingTaskGroup(of: Void.self) { clients in
            for index in storm.users.indices {
                let client = storm.recorder.client("\(storm.users[index])/phone", of: storm.users[index])
                clients.addTask {
                    do { try await storm.follow(client, index) } catch is CancellationError {} catch {
                        Issue.record("u\(index) gave up: \(error)")
                    }
                }
            }
            try await eventually("all follow their inboxes", within: .seconds(60)) {
                storm.recorder.places.allSatisfy { $0 != nil }
            }
            let began = ContinuousClock.now
            try await withThrowingTaskGroup(of: Void.self) { pushes in
                for publisher in 0..<plan.publishers { pushes.addTask { try await storm.publish(publisher) } }
                var turn = 0
                while ContinuousClock.now < began + plan.duration {
                    try await trouble(turn)
                    turn += 1
                }
                storm.isOver.withLock { $0 = true }
                // They end by themselves.
                while try await pushes.next() != nil {}
            }
            let took = ContinuousClock.now - began
            let sent = storm.recorder.history.pushes.count
            let settled = try await storm.settle(herald)
            clients.cancelAll()
            let history = storm.recorder.history
            return Report(
                history: history,
                judgement: DeliveryJudgement(history),
                settled: settled,
                connects: history.clients.reduce(0) { $0 + $1.sights.count(where: \.isConnect) },
                lostByRedis: try storm.lost(history, by: herald.redis),
                lasted: took,
                pushesPerSecond: Double(sent) / (took / .seconds(1))
            )
        }
    }

    private var isRaging: Bool { !isOver.withLock { $0 } }

    // MARK: clients

    private struct GoesElsewhere: Error {}

    /// Follows a user's inbox until the task is cancelled.
    private func follow(_ client: Int, _ index: Int) async throws {
        var node = index % ports.count
        while !Task.isCancelled {
            var stay = Duration.seconds(3600)
            let habit = isRaging ? plan.habit(index) : .stays
            switch habit {
            case .stays, .flees: break
            case .wanders(let time), .rests(let time): stay = time
            }
            let port = ports[node]
            do {
                try await withDeadline(stay) { try await self.follow(client, index, port, habit) }
            } catch is DidNotHappen {
                // The stay is over.
            } catch is GoesElsewhere {
                node = (node + Int.random(in: 1..<ports.count)) % ports.count
            }
            recorder.saw(client, .left)
            switch habit {
            case .wanders: node = Int.random(in: ports.indices)
            case .rests(let time):
                let back = ContinuousClock.now + time
                try await eventually("its return", within: time + .seconds(10), every: .milliseconds(50)) {
                    ContinuousClock.now >= back || !isRaging
                }
            case .stays, .flees: break
            }
        }
    }

    private func follow(_ client: Int, _ index: Int, _ port: Int, _ habit: Habit) async throws {
        var configuration = try ConnectionConfiguration(
            url: "ws://127.0.0.1:\(port)/ws",
            user: users[index],
            key: "phone",
            resume: recorder.place(client).map { .after($0) } ?? .fresh
        )
        configuration.limits.closeTimeout = .milliseconds(500)
        var backOff = BackOff()
        backOff.base = .milliseconds(50)
        backOff.max = .milliseconds(500)
        _ = try await PersistentConnection(configuration, backOff: backOff).run { event in
            switch event {
            case .connected(let connection): recorder.saw(client, .connected(connection.identity.inbox))
            case .push(let push):
                recorder.saw(
                    client,
                    .shown(label: push.message.event ?? "", id: "\(push.id)", place: push.position)
                )
            case .reset(let place): recorder.saw(client, .reset(place))
            case .error: break
            case .away:
                recorder.saw(client, .left)
                if case .flees = habit { throw GoesElsewhere() }
            }
        }
    }

    // MARK: publishers

    private func publish(_ number: Int) async throws {
        let pause = Duration.seconds(plan.publishers) / plan.pushesPerSecond
        var next = ContinuousClock.now + pause * number / plan.publishers
        var count = 0
        let confirm = ["written", "acked"].dropFirst(number % 10).first ?? "routed"
        while isRaging {
            try await Self.until(next)
            count += 1
            await push(
                "p\(number)-\(count)",
                to: users.randomElement() ?? users[0],
                number,
                confirm,
                isDurable: plan.isDurable(number),
                bytes: (number + count) % 100 == 0 ? plan.largeBytes : 0
            )
            // What an answer took is made up for, an outage is not.
            next = max(next + pause, .now - .seconds(1))
        }
    }

    /// Lets time pass, in which something goes wrong.
    static func pass(_ duration: Duration) async throws { try await until(.now + duration) }

    private static func until(_ moment: ContinuousClock.Instant) async throws {
        let rest = moment - .now
        let pause = max(rest, .milliseconds(1))
        try await eventually("the moment", within: pause + .seconds(60), every: pause) { .now >= moment }
    }

    /// - Returns: where it is kept, when that was answered.
    @discardableResult
    private func push(
        _ label: String,
        to user: String,
        _ publisher: Int,
        _ confirm: String,
        isDurable: Bool = true,
        bytes: Int = 0
    ) async -> InboxPosition? {
        let number = recorder.sent(label, to: user, by: "publisher \(publisher)", isDurable: isDurable)
        let answer = await DeliveryAnswer.push(
            """
            {"users":["\(user)"],"event":"\(label)","durable":\(isDurable),"confirm":"\(confirm)",\
            "deadline_ms":1000,"data":"\(String(repeating: "x", count: bytes))"}
            """,
            through: publishers[publisher % publishers.count]
        )
        recorder.answered(number, answer)
        if case .verdict(_, _, let place) = answer { return place }
        return nil
    }

    // MARK: the end

    /// Pushes a last message to each, and waits until every client has come as far.
    ///
    /// - Returns: how long that took. What does not come in time is for the judge to name.
    private func settle(_ herald: DeliveryHerald) async throws -> Duration {
        let began = ContinuousClock.now
        try await herald.waitUntilAllAreReady()
        let ends = try await withThrowingTaskGroup(of: (Int, InboxPosition?).self) { group in
            for index in users.indices {
                group.addTask { (index, try await self.pushLast(index)) }
            }
            return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
        }
        // Longer than a node leaves an inbox unread.
        try? await eventually("all have the last push", within: .promised(.seconds(40))) {
            recorder.places.enumerated().allSatisfy { index, place in
                guard let place, let end = ends[index] else { return false }
                return !place.isBefore(end)
            }
        }
        return ContinuousClock.now - began
    }

    private func pushLast(_ index: Int) async throws -> InboxPosition? {
        var place: InboxPosition?
        var tries = 0
        try await eventually("\(users[index]) has a last push", within: .seconds(30)) {
            tries += 1
            place = await push("last-\(index)-\(tries)", to: users[index], index, "routed")
            return place != nil
        }
        return place
    }

    private func lost(_ history: DeliveryHistory, by redis: OwnRedis) throws -> Int {
        let wire = try RedisWire(port: redis.port)
        let promised = Dictionary(grouping: history.pushes.filter { $0.place != nil }, by: \.user)
        return try promised.reduce(0) { lost, entry in
            let kept = try DeliveryHerald.kept(entry.key, wire)
            return lost + entry.value.count { !kept.contains($0.place?.description ?? "") }
        }
    }
}

extension DeliveryHistory.Sight {
    fileprivate var isConnect: Bool {
        if case .connected = what { true } else { false }
    }
}
