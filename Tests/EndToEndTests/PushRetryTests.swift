import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting
import Synchronization
import Testing

/// A push that is asked for again under the same idempotency key, because its answer was lost, is delivered once, and
/// answered alike.
@Suite(.timeLimit(.minutes(5))) struct PushRetryTests {
    /// Where a connection is reset.
    private enum Cut: CaseIterable {
        /// Logic never has the whole request.
        case inRequest
        /// Logic has the whole request; nothing of an answer can come.
        case behindRequest
        case inAnswer
    }

    /// One publisher, with a proxy before each logic process.
    private struct Publisher {
        let number: Int
        let ways: [(proxy: FaultProxy, client: HeraldPushClient)]

        init(_ number: Int, _ herald: DeliveryHerald) throws {
            self.number = number
            var limits = ClientLimits()
            limits.lanesMax = 1
            ways = try herald.logics.map { logic in
                let proxy = try FaultProxy(to: logic.port)
                return (proxy, try HeraldPushClient(url: "http://127.0.0.1:\(proxy.port)", limits: limits))
            }
        }

        /// Pushes one after the other; the first answer to each is cut, and every third of the further ones.
        ///
        /// - Returns: how many requests were cut.
        func push(_ count: Int, at desk: RetryDesk) async throws -> Int {
            var cuts = 0
            let length = try await requestLength(at: desk)
            for index in 0..<count {
                let cut = Cut.allCases[(number + index) % Cut.allCases.count]
                try await desk.push(order(index, at: desk)) { attempt in
                    let (proxy, client) = ways[(number + index + attempt) % ways.count]
                    let isCut = attempt == 0 || Int.random(in: 0..<3) == 0
                    proxy.mend()
                    if isCut {
                        switch cut {
                        case .inRequest: proxy.reset(after: .random(in: 1..<length), .toServer)
                        case .behindRequest: proxy.reset(after: length, .toServer)
                        // The head alone is longer.
                        case .inAnswer: proxy.reset(after: .random(in: 1...100), .toClient)
                        }
                    }
                    let body = order(index, at: desk).body
                    let answer = try? await client.post("/v1/push", json: body)
                    if isCut { cuts += 1 }
                    #expect(answer == nil || !isCut, "an answer came through a cut connection")
                    return answer
                }
            }
            for way in ways { await way.client.shutdown() }
            return cuts
        }

        /// How many bytes each request has, by the first one: all are as long.
        private func requestLength(at desk: RetryDesk) async throws -> Int {
            let (proxy, client) = ways[0]
            let body = order(9999, at: desk).body
            var length = 0
            try await desk.push(order(9999, at: desk)) { _ in
                let before = proxy.bytesPassed(.toServer)
                let answer = try? await client.post("/v1/push", json: body)
                length = proxy.bytesPassed(.toServer) - before
                return answer
            }
            return length
        }

        private func order(_ index: Int, at desk: RetryDesk) -> RetryDesk.Order {
            RetryDesk.Order(
                label: RetryDesk.padded(number, "p") + RetryDesk.padded(index, "-"),
                user: desk.users[(number * 7 + index) % desk.users.count],
                publisher: "publisher \(number)",
                isDurable: index % 2 == 0
            )
        }
    }

    @Test func `a thousand pushes whose answers were cut are each delivered once`() async throws {
        let (publishers, each) = (20, 50)
        try await DeliveryHerald.run(nodes: 2, environment: [:]) { herald in
            let desk = RetryDesk(herald, users: 40)
            try await desk.run { client, user in
                // Not the SDK's connection that drops repeats: whatever comes is seen.
                let connection = try await HeraldConnection.connect(try desk.place(user))
                desk.recorder.saw(client, .connected(connection.identity.inbox))
                for await event in connection.events {
                    if case .push(let push) = event { desk.saw(client, push) }
                }
            } _: {
                let all = try (0..<publishers).map { try Publisher($0, herald) }
                let cuts = try await withThrowingTaskGroup(of: Int.self) { group in
                    for publisher in all { group.addTask { try await publisher.push(each, at: desk) } }
                    return try await group.reduce(0, +)
                }
                // The first push of each finds out how long a request is.
                let count = publishers * (each + 1)
                try? await eventually("all are shown") { desk.shown >= count }
                #expect(try await desk.askAllAgain(herald.logics[0].pages) == count)
                #expect(cuts >= publishers * each)
                Self.judge(desk, count, "\(cuts) requests cut")
            }
        }
    }

    /// How far a push has come at a logic process that is killed.
    private enum Point: String, CaseIterable {
        /// Its key is claimed; nothing was sent.
        case claimed
        /// Its client has it, and has not acknowledged it.
        case shown
        /// Its answer is remembered, and on its way.
        case answered
    }

    @Test func `a push whose logic process was killed is delivered once by another`() async throws {
        let each = 20
        try await DeliveryHerald.run(nodes: 2, isProxied: true, environment: [:]) { herald in
            let desk = RetryDesk(herald, users: each)
            let acknowledges = Gate()
            try await desk.run { client, user in
                _ = try await PersistentConnection(try desk.place(user)).run { event in
                    switch event {
                    case .connected(let connection):
                        desk.recorder.saw(client, .connected(connection.identity.inbox))
                    case .push(let push):
                        desk.saw(client, push)
                        // Acknowledged when this returns.
                        await acknowledges.pass()
                    case .reset(let place): desk.recorder.saw(client, .reset(place))
                    case .error, .away: break
                    }
                }
            } _: {
                for point in Point.allCases {
                    if point == .shown { acknowledges.close() }
                    try await Self.kill(at: point, each, desk, herald) { acknowledges.open() }
                    try await herald.logics[0].program.start()
                    try await herald.waitUntilReady(herald.logics[0])
                }
                let count = each * Point.allCases.count
                try? await eventually("all are shown") { desk.shown >= count }
                #expect(try await desk.askAllAgain(herald.logics[0].pages) == count)
                Self.judge(desk, count, "logic killed \(Point.allCases.count) times")
            }
        }
    }

    /// Pushes to each user through the first logic process, kills that when all have come to a point, and asks the
    /// other one for the answers.
    private static func kill(
        at point: Point,
        _ count: Int,
        _ desk: RetryDesk,
        _ herald: DeliveryHerald,
        afterwards: () -> Void
    ) async throws {
        let (first, second) = (herald.logics[0], herald.logics[1].pages)
        let proxy = try FaultProxy(to: first.port)
        let redis = try #require(first.proxy)
        let wire = try RedisWire(port: herald.redis.port)
        var limits = ClientLimits()
        limits.lanesMax = count
        let client = try HeraldPushClient(url: "http://127.0.0.1:\(proxy.port)", limits: limits)
        let orders = (0..<count).map { index in
            RetryDesk.Order(
                label: RetryDesk.padded(index, "\(point.rawValue)-"),
                user: desk.users[index],
                publisher: "publisher \(index)",
                isDurable: index % 2 == 0,
                confirm: point == .shown ? "acked" : "written",
                deadlineMilliseconds: point == .shown ? 6000 : 3000
            )
        }
        // Redis has the scripts, and the links are there.
        _ = try await client.post(
            "/v1/push",
            json: Array(#"{"users":["x"],"idempotency_key":"\#(point)"}"#.utf8)
        )
        let shown = desk.shown
        switch point {
        case .claimed: redis.hold(.toClient)
        case .shown: break
        case .answered: proxy.hold(.toClient)
        }
        let isKilled = Gate(isOpen: false)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for order in orders {
                group.addTask {
                    try await desk.push(order) { attempt in
                        if attempt > 0 { return try? await second.post("/v1/push", json: order.body) }
                        let answer = try? await client.post("/v1/push", json: order.body)
                        #expect(answer == nil, "\(order.label) was answered before logic was killed")
                        await isKilled.pass()
                        return nil
                    }
                }
            }
            try await eventually("all are \(point)", within: .seconds(30), every: .milliseconds(2)) {
                switch point {
                case .claimed: try wire.keys("herald:once:{key-\(point)*").count == count
                case .shown: desk.shown == shown + count
                case .answered:
                    try orders.allSatisfy {
                        try wire.ask("HEXISTS", "herald:once:{key-\($0.label)}", "answer") == .number(1)
                    }
                }
            }
            first.program.kill()
            proxy.reset()
            redis.mend()
            afterwards()
            isKilled.open()
            try await group.waitForAll()
        }
        await client.shutdown()
    }

    private static func judge(_ desk: RetryDesk, _ count: Int, _ what: String) {
        let judgement = DeliveryJudgement(desk.recorder.history)
        Figures.note("\(what): \(count) pushes; \(judgement.summary)")
        #expect(judgement.wrongs.isEmpty, "\(judgement.wrongs.prefix(20))")
        #expect(judgement.shown == count && judgement.unseen == 0)
        #expect(Set(judgement.answers.keys).isDisjoint(with: ["offline", "refused", "unknown"]))
    }
}
