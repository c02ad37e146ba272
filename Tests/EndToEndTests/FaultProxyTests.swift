import HeraldTesting
import Testing

/// The proxy does to a real Redis's connections what it is told, from the moment it is told.
@Suite(.timeLimit(.minutes(1))) struct FaultProxyTests {
    @Test func `without a fault everything passes`() async throws {
        try await OwnRedis.with { redis in
            let proxy = try FaultProxy(to: redis.port)
            let wire = try RedisWire(port: proxy.port)
            let large = String(repeating: "x", count: 300_000)
            try wire.ask("SET", "large", large)
            #expect(try wire.ask("GET", "large") == .text(large))
            #expect(proxy.connections == 1)
        }
    }

    @Test func `what is held arrives later, in order, also when its sender has gone`() async throws {
        try await OwnRedis.with { redis in
            let proxy = try FaultProxy(to: redis.port)
            let direct = try RedisWire(port: redis.port)
            do {
                let wire = try RedisWire(port: proxy.port)
                try wire.ask("PING")
                proxy.hold(.toServer)
                for number in 0..<100 { try wire.tell(["RPUSH", "list", "\(number)"]) }
                try await eventually("the proxy has all of it") { proxy.bytesWaiting(.toServer) > 3000 }
            }
            #expect(try direct.ask("EXISTS", "list") == .number(0))
            proxy.release(.toServer)
            try await eventually("all of it arrives") { try direct.ask("LLEN", "list") == .number(100) }
            #expect(try direct.ask("LRANGE", "list", "0", "-1") == .list((0..<100).map { .text("\($0)") }))
            try await eventually("the connection is over") { proxy.connections == 0 }
        }
    }

    @Test func `answers that are held do not keep commands from arriving`() async throws {
        try await OwnRedis.with { redis in
            let proxy = try FaultProxy(to: redis.port)
            let (wire, direct) = (try RedisWire(port: proxy.port), try RedisWire(port: redis.port))
            proxy.hold(.toClient)
            try wire.tell(["SET", "there", "1"])
            try await eventually("the command arrives") { try direct.ask("EXISTS", "there") == .number(1) }
            try await eventually("its answer waits") { proxy.bytesWaiting(.toClient) == 5 }
            proxy.mend()
            try await eventually("its answer passes") { proxy.bytesWaiting(.toClient) == 0 }
        }
    }

    @Test(arguments: FaultProxy.Direction.allCases)
    func `a delay delays, and ends when it is taken back`(_ direction: FaultProxy.Direction) async throws {
        try await OwnRedis.with { redis in
            let proxy = try FaultProxy(to: redis.port)
            let wire = try RedisWire(port: proxy.port)
            proxy.delay(direction, by: .milliseconds(200))
            let start = ContinuousClock.now
            try wire.ask("PING")
            #expect(ContinuousClock.now - start >= .milliseconds(200))
            proxy.delay(direction, by: .seconds(3600))
            try wire.tell(["SET", "late", "1"])
            try await eventually("it waits") { proxy.bytesWaiting(direction) > 0 }
            proxy.mend()
            try await eventually("it passes") { proxy.bytesWaiting(direction) == 0 }
        }
    }

    @Test func `a cut resets who is there and refuses who comes, until it is mended`() async throws {
        try await OwnRedis.with { redis in
            let proxy = try FaultProxy(to: redis.port)
            let wire = try RedisWire(port: proxy.port)
            try wire.ask("PING")
            proxy.cut()
            #expect(throws: RedisWire.Failure.self) { try wire.ask("PING") }
            #expect(throws: RedisWire.Failure.self) { try RedisWire(port: proxy.port).ask("PING") }
            proxy.mend()
            #expect(try RedisWire(port: proxy.port).ask("PING") == .text("PONG"))
            proxy.reset()
            #expect(try RedisWire(port: proxy.port).ask("PING") == .text("PONG"))
        }
    }

    @Test(arguments: FaultProxy.Direction.allCases)
    func `connections are reset once, after so many bytes`(_ direction: FaultProxy.Direction) async throws {
        try await OwnRedis.with { redis in
            let proxy = try FaultProxy(to: redis.port)
            let direct = try RedisWire(port: redis.port)
            let ping = "*1\r\n$4\r\nPING\r\n".utf8.count
            let whole = direction == .toServer ? ping : "+PONG\r\n".utf8.count
            let wire = try RedisWire(port: proxy.port)
            proxy.reset(after: whole * 2 + 1, direction)
            for _ in 0..<2 { try wire.ask("PING") }
            #expect(proxy.bytesPassed(.toServer) == ping * 2)
            #expect(throws: RedisWire.Failure.self) { try wire.ask("PING") }
            #expect(proxy.bytesPassed(direction) == whole * 2 + 1)
            let next = try RedisWire(port: proxy.port)
            for _ in 0..<10 { try next.ask("PING") }
            // A command that has arrived is carried out, also when its client hears nothing more.
            let words = ["SET", "there", "1"]
            proxy.reset(after: "*3\r\n$3\r\nSET\r\n$5\r\nthere\r\n$1\r\n1\r\n".utf8.count, .toServer)
            try next.tell(words)
            try await eventually("it is set") { try direct.ask("EXISTS", "there") == .number(1) }
            #expect(throws: RedisWire.Failure.self) { try next.ask("PING") }
        }
    }

    @Test func `what is swallowed on one connection comes on others`() async throws {
        try await OwnRedis.with { redis in
            let proxy = try FaultProxy(to: redis.port)
            let (deaf, well) = (try RedisWire(port: proxy.port), try RedisWire(port: proxy.port))
            try deaf.ask("SUBSCRIBE", "news")
            try well.ask("PING")
            #expect(proxy.swallow(.toClient, where: "SUBSCRIBE") == 1)
            #expect(try well.ask("PUBLISH", "news", "1") == .number(1))
            #expect(throws: RedisWire.Failure.self) { try deaf.next(within: .milliseconds(300)) }
            let second = try RedisWire(port: proxy.port)
            try second.ask("SUBSCRIBE", "news")
            #expect(try well.ask("PUBLISH", "news", "2") == .number(2))
            let message: [RedisWire.Reply] = [.text("message"), .text("news"), .text("2")]
            #expect(try second.next(within: .seconds(10)) == .list(message))
        }
    }

    @Test func `what a pipe lets pass hangs on the moment alone`() {
        var pipe = FaultProxyPipe()
        let start = ContinuousClock.now
        let slow = FaultProxyFlow(delay: .seconds(5))
        #expect(pipe.next(slow, at: start) == .nothing(until: nil))
        pipe.arrived([1, 2, 3], at: start)
        pipe.senderEnded(at: start + .seconds(1))
        #expect(pipe.next(slow, at: start + .seconds(4)) == .nothing(until: start + .seconds(5)))
        #expect(pipe.next(FaultProxyFlow(isHeld: true), at: start + .seconds(9)) == .nothing(until: nil))
        #expect(pipe.next(slow, at: start + .seconds(5)) == .bytes([1, 2, 3]))
        #expect(pipe.next(FaultProxyFlow(bytesLeft: 2), at: start) == .bytes([1, 2]))
        pipe.passed(2)
        #expect(pipe.next(FaultProxyFlow(bytesLeft: 0), at: start) == .nothing(until: nil))
        #expect(pipe.next(FaultProxyFlow(), at: start) == .bytes([3]))
        pipe.passed(1)
        #expect(pipe.bytesWaiting == 0)
        #expect(pipe.next(slow, at: start + .seconds(5)) == .nothing(until: start + .seconds(6)))
        #expect(pipe.next(slow, at: start + .seconds(6)) == .end)
    }
}
