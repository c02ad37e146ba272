import HeraldCore
import HeraldWire
import NIOCore
import NIOHTTP1
import NIOPosix
import Testing

@testable import HeraldClient

@Suite(.timeLimit(.minutes(1))) struct HeraldConnectionTests {
    private func configuration(
        _ node: FakeNode,
        _ change: (inout ClientLimits) -> Void = { _ in }
    ) throws -> ConnectionConfiguration {
        var limits = ClientLimits.standard
        change(&limits)
        return try ConnectionConfiguration(
            url: node.url,
            user: "alice",
            key: "phone",
            rooms: ["news"],
            limits: limits
        )
    }

    private static func push(_ id: String, _ data: String = "1") -> FakeNode.Reply {
        .text(#"{"push":{"id":"\#(id)","event":"e","data":\#(data)}}"#)
    }

    /// Answers joins, leaves and pings as a node does.
    private static let obliging: @Sendable (ClientFrame) -> [FakeNode.Reply] = { frame in
        switch frame.body {
        case .join(let room) where room.description == "secret":
            [.frame(.error(id: frame.id, code: "forbidden", message: "not that room"))]
        case .join, .leave, .ack: [.frame(.ok(id: frame.id))]
        case .ping: [.frame(.pong(id: frame.id))]
        case .connect: [.frame(.hello)]
        }
    }

    @Test func `pushes arrive in order, and closing ends the events`() async throws {
        try await FakeNode.run { node in
            let connection = try await HeraldConnection.connect(configuration(node))
            #expect(connection.identity.user.description == "alice")
            #expect(node.targets == ["/ws?user=alice&key=phone&room=news"])
            node.send(Self.push("p1"), Self.push("p2"), .close(4501))
            var events: [ConnectionEvent] = []
            for await event in connection.events { events.append(event) }
            #expect(events.count == 3)
            guard case .push(let first) = events[0], case .push(let second) = events[1] else {
                return #expect(Bool(false), "two pushes")
            }
            #expect([first.id.description, second.id.description] == ["p1", "p2"])
            #expect(first.message.payload == .json(Array("1".utf8)))
            guard case .closed(let end) = events[2] else { return #expect(Bool(false), "an end") }
            #expect(end.code == .replaced)
            #expect(!end.invitesBack)
            #expect(end.rooms.map(\.description) == ["news"])
        }
    }

    @Test func `requests are answered, refused, and timed out`() async throws {
        try await FakeNode.run(answer: Self.obliging) { node in
            let connection = try await HeraldConnection.connect(configuration(node))
            try await connection.join(RoomID("sport"))
            try await connection.leave(RoomID("sport"))
            #expect(try await connection.ping() > .zero)
            let error = await #expect(throws: ClientError.self) {
                try await connection.join(RoomID("secret"))
            }
            #expect(error?.serverCode == "forbidden")
            await connection.close()
            let late = await #expect(throws: ClientError.self) { try await connection.ping() }
            #expect(late?.code == .closed)
        }
        try await FakeNode.run { node in
            let connection = try await HeraldConnection.connect(
                configuration(node) { $0.requestTimeout = .milliseconds(50) }
            )
            let error = await #expect(throws: ClientError.self) { try await connection.ping() }
            #expect(error?.code == .timedOut)
            await connection.close()
        }
    }

    @Test func `who connects may be said in the first frame`() async throws {
        try await FakeNode.run(greeting: { _ in [] }, answer: Self.obliging) { node in
            var configuration = try configuration(node)
            configuration.introduction = .firstFrame
            let connection = try await HeraldConnection.connect(configuration)
            #expect(node.targets == ["/ws"])
            let request = ConnectRequest(
                user: configuration.user,
                key: configuration.key,
                rooms: configuration.rooms
            )
            #expect(node.frames == [ClientFrame(.connect(request))])
            await connection.close()
        }
    }

    @Test func `a refused upgrade says why and whether to come back`() async throws {
        let problem = #"{"type":"about:blank","status":400,"code":"bad_id","detail":"user id is empty"}"#
        try await FakeNode.run(door: { _ in .refuse(.badRequest, problem, headers: []) }) { node in
            let error = await #expect(throws: ClientError.self) {
                try await HeraldConnection.connect(configuration(node))
            }
            #expect(error?.code == .refused)
            #expect(error?.serverCode == "bad_id")
            #expect(error?.status == 400)
            #expect(error?.mayRetry == false)
        }
        try await FakeNode.run(door: { _ in .refuse(.serviceUnavailable, "", headers: [("Retry-After", "7")])
        }) { node in
            let error = await #expect(throws: ClientError.self) {
                try await HeraldConnection.connect(configuration(node))
            }
            #expect(error?.mayRetry == true)
            #expect(error?.retryAfter == .seconds(7))
        }
    }

    @Test func `closed, refused and silent before connected`() async throws {
        try await FakeNode.run(greeting: { _ in [.close(4000)] }) { node in
            let error = await #expect(throws: ClientError.self) {
                try await HeraldConnection.connect(configuration(node))
            }
            #expect(error?.closeCode == .routeUnavailable)
            #expect(error?.mayRetry == true)
        }
        try await FakeNode.run(greeting: { _ in
            [.text(#"{"error":{"code":"unauthorized","message":"no"}}"#), .close(4503)]
        }) { node in
            let error = await #expect(throws: ClientError.self) {
                try await HeraldConnection.connect(configuration(node))
            }
            #expect(error?.serverCode == "unauthorized")
            #expect(error?.mayRetry == false)
        }
        try await FakeNode.run(greeting: { _ in [.disconnect] }) { node in
            let error = await #expect(throws: ClientError.self) {
                try await HeraldConnection.connect(configuration(node))
            }
            #expect(error?.code == .unreachable)
        }
        for door in [FakeNode.Door.silent, .open] {
            try await FakeNode.run(door: { _ in door }, greeting: { _ in [] }) { node in
                let error = await #expect(throws: ClientError.self) {
                    try await HeraldConnection.connect(
                        configuration(node) { $0.connectTimeout = .milliseconds(80) }
                    )
                }
                #expect(error?.code == .timedOut)
            }
        }
    }

    @Test func `nobody listens`() async throws {
        // The connect and the upgrade that waits for it fail at once, in either order.
        for _ in 0..<50 {
            let error = await #expect(throws: ClientError.self) {
                try await HeraldConnection.connect(ConnectionConfiguration(url: "ws://127.0.0.1:1/ws"))
            }
            #expect(error?.code == .unreachable)
            #expect(error?.message == "ws://127.0.0.1:1/ws cannot be reached: nobody listens there")
        }
    }

    @Test(arguments: ["not json", #"{"push":{}}"#, #"{"push":{"id":"{"}}"#])
    func `what is not of the protocol ends the connection`(text: String) async throws {
        try await FakeNode.run(greeting: { _ in [.frame(.hello), .text(text)] }) { node in
            let connection = try await HeraldConnection.connect(configuration(node))
            var last: ConnectionEvent?
            for await event in connection.events { last = event }
            guard case .closed(let end) = last, case .violation = end.cause else {
                return #expect(Bool(false), "a violation, not \(String(describing: last))")
            }
            #expect(!end.invitesBack)
        }
    }

    @Test func `a slow reader stops the socket and loses nothing`() async throws {
        let count = 1000
        let data = "\"" + String(repeating: "x", count: 20_000) + "\""
        try await FakeNode.run { node in
            let connection = try await HeraldConnection.connect(
                configuration(node) { $0.eventsWaitingMax = 4 }
            )
            for number in 0..<count { node.send(Self.push("p\(number)", data)) }
            var next = 0
            for await event in connection.events {
                guard case .push(let push) = event else { continue }
                #expect(push.id.description == "p\(next)")
                next += 1
                if next == count { break }
            }
            await connection.close()
        }
    }

    @Test func `a connection on which nothing comes is dead`() async throws {
        try await FakeNode.run { node in
            let connection = try await HeraldConnection.connect(
                configuration(node) { $0.silenceMax = .milliseconds(50) }
            )
            var last: ConnectionEvent?
            for await event in connection.events { last = event }
            guard case .closed(let end) = last else { return #expect(Bool(false), "an end") }
            #expect(end.cause == .silent)
            #expect(end.invitesBack)
        }
    }

    @Test func `it comes back after ends that invite, in its rooms, and drops repeats`() async throws {
        let greeting: @Sendable (Int) -> [FakeNode.Reply] = { number in
            switch number {
            case 0: [.frame(.hello), Self.push("p1"), .close(1001)]
            case 1: [.frame(.hello), Self.push("p1"), Self.push("p2"), .close(4001)]
            default: [.frame(.hello), Self.push("p2"), Self.push("p3"), .close(4500)]
            }
        }
        let door: @Sendable (Int) -> FakeNode.Door = { number in
            number == 1 ? .refuse(.serviceUnavailable, "", headers: [("Retry-After", "9")]) : .open
        }
        try await FakeNode.run(door: door, greeting: greeting) { node in
            var seen: [String] = []
            let persistent = PersistentConnection(
                try configuration(node),
                backOff: .standard,
                on: .singletonMultiThreadedEventLoopGroup,
                sleep: { _ in }
            )
            let end = try await persistent.run { event in
                switch event {
                case .connected: seen.append("connected")
                case .push(let push): seen.append(push.id.description)
                case .error(let code, _): seen.append(code)
                case .reset(let position): seen.append("reset \(position)")
                case .away(_, let pause): seen.append(pause >= .seconds(9) ? "asked away" : "away")
                }
            }
            #expect(end.code == .kicked)
            #expect(
                seen == [
                    "connected", "p1", "away", "asked away", "connected", "p2", "away", "connected", "p3",
                ]
            )
            #expect(node.targets == Array(repeating: "/ws?user=alice&key=phone&room=news", count: 3))
        }
    }

    @Test func `who follows an inbox comes back with the place it has seen`() async throws {
        let greeting: @Sendable (Int) -> [FakeNode.Reply] = { number in
            let hello =
                #"{"connected":{"user":"alice","key":"phone","node":"cloud-1","epoch":"100","offset":"#
            return switch number {
            case 0: [.text(hello + "7,\"recovered\":false}}"), Self.stored(8), .close(1001)]
            case 1: [.text(hello + "8,\"recovered\":true}}"), Self.stored(8), Self.stored(9), .close(1001)]
            case 2:
                [
                    .text(hello + "9,\"recovered\":true}}"), .text(#"{"reset":{"epoch":"200","offset":3}}"#),
                    .close(1001),
                ]
            default: [.text(hello + "3,\"recovered\":true}}"), .close(4500)]
            }
        }
        try await FakeNode.run(greeting: greeting) { node in
            var configuration = try configuration(node)
            configuration.resume = .fresh
            let persistent = PersistentConnection(
                configuration,
                backOff: .standard,
                on: .singletonMultiThreadedEventLoopGroup,
                sleep: { _ in }
            )
            var seen: [String] = []
            _ = try await persistent.run { event in
                switch event {
                case .connected(let connection):
                    seen.append(connection.identity.inbox?.isRecovered == true ? "recovered" : "new")
                case .push(let push): seen.append(push.id.description)
                case .reset(let position): seen.append("reset \(position)")
                case .error, .away: break
                }
            }
            #expect(seen == ["new", "p8", "recovered", "p9", "recovered", "reset 200.3", "recovered"])
            let target = "/ws?user=alice&key=phone&room=news&resume="
            #expect(node.targets == ["new", "100.8", "100.9", "200.3"].map { target + $0 })
        }
    }

    private static func stored(_ offset: Int) -> FakeNode.Reply {
        .text(#"{"push":{"id":"p\#(offset)","epoch":"100","offset":\#(offset)}}"#)
    }
}
