import HeraldTesting
import NIOCore
import NIOPosix
import ServiceLifecycle
import Synchronization
import Testing

@testable import HeraldRedis

@Suite(.serialized, .timeLimit(.minutes(1)))
struct RedisLinkTests {
    @Test func `an error reply belongs to its command alone`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                let replies = try await link.send([
                    RedisCommand("SET", "a", 1),
                    RedisCommand("HGET", "a", "field"),
                    RedisCommand("NOSUCH"),
                    RedisCommand("INCR", "a"),
                    RedisCommand("GET", "missing"),
                ])
                #expect(replies[0] == .status("OK"))
                #expect(replies[1].failure?.code == "WRONGTYPE")
                #expect(replies[2].failure?.code == "ERR")
                #expect(replies[3] == .integer(2))
                #expect(replies[4] == .null)
                let error = await #expect(throws: RedisError.self) {
                    try await link.send(RedisCommand("HGET", "a", "x"))
                }
                #expect(error?.code == .replied && error?.fault == .caller && error?.mayRetry == false)
                #expect(try await link.send([]) == [])
                #expect(link.status.phase == .ready && link.status.reconnects == 0)
            }
        }
    }

    @Test func `many tasks get their own replies`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                await withTaskGroup(of: Void.self) { group in
                    for task in 0..<50 {
                        group.addTask {
                            for round in 0..<100 {
                                let texts = (0...round % 5).map { "\(task)/\(round)/\($0)" }
                                let replies = try? await link.send(
                                    texts.map { RedisCommand("ECHO", .text($0)) }
                                )
                                #expect(replies?.map(\.text) == texts)
                            }
                        }
                    }
                }
                #expect(link.status.commandsSent == 50 * 100 * 3)
            }
        }
    }

    @Test func `what is asked for in one turn of the loop leaves in one write`() async throws {
        try await OwnRedis.with { redis async throws in
            let loop = nextLoop()
            let link = try RedisLink(to: RedisAddress(redis.url), options: quickOptions(), on: loop)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await link.run() }
                try await link.ready()
                let writes = link.status.writes
                // The loop is busy until all 64 have asked.
                loop.execute { while link.core.commandsPosted < 64 * 2 {} }
                try await withThrowingTaskGroup(of: Void.self) { senders in
                    for _ in 0..<64 {
                        senders.addTask {
                            _ = try await link.send([RedisCommand("PING"), RedisCommand("PING")])
                        }
                    }
                    try await senders.waitForAll()
                }
                #expect(link.status.writes == writes + 1)
                group.cancelAll()
            }
        }
    }

    @Test func `a large value goes there and back`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                let value = Array(repeating: Array(0...255 as ClosedRange<UInt8>), count: 32_768).flatMap {
                    $0
                }
                try await link.send(RedisCommand("SET", "big", .bytes(value)))
                #expect(try await link.send(RedisCommand("GET", "big")) == .string(value))
            }
        }
    }

    @Test func `a command that is late costs nobody else anything`() async throws {
        try await OwnRedis.with(["--enable-debug-command", "local"]) { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                let slow = [RedisCommand("DEBUG", "SLEEP", "0.4"), RedisCommand("ECHO", "slow")]
                let error = await #expect(throws: RedisError.self) {
                    try await link.send(slow, timeout: .milliseconds(100))
                }
                #expect(error?.code == .timedOut && error?.mayRetry == true)
                for number in 0..<20 {
                    #expect(try await link.send(RedisCommand("ECHO", .text("\(number)"))).text == "\(number)")
                }
                #expect(link.status.reconnects == 0)
                #expect(link.status.commandsTimedOut == 2)
                try await eventually("nothing in flight") { link.status.commandsInFlight == 0 }
            }
        }
    }

    @Test func `a frozen Redis is noticed and taken back when it wakes`() async throws {
        try await OwnRedis.with { redis async throws in
            let options = quickOptions {
                $0.limits.silenceMax = .milliseconds(300)
                $0.limits.connectTimeout = .milliseconds(300)
            }
            try await withLink(to: redis.url, options) { link async throws in
                redis.pause()
                let error = await #expect(throws: RedisError.self) {
                    try await link.send(RedisCommand("PING"))
                }
                #expect(error?.code == .lost)
                redis.resume()
                await untilConnected(link, times: 2)
                #expect(try await link.send(RedisCommand("PING")) == .status("PONG"))
            }
        }
    }

    @Test func `commands wait through a short cut`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                try await withLink(to: redis.url) { other async throws in
                    let id = try await link.send(RedisCommand("CLIENT", "ID"))
                    try await other.send(RedisCommand("CLIENT", "KILL", "ID", .integer(id.number ?? 0)))
                    for await status in link.statusChanges()
                    where status.phase == .down || status.connections == 2 { break }
                    #expect(try await link.send(RedisCommand("PING")) == .status("PONG"))
                    #expect(link.status.reconnects == 1)
                    #expect(link.status.lastError?.contains("Redis closed the connection") == true)
                }
            }
        }
    }

    @Test func `a Redis that was killed fails at once and serves again when it is back`() async throws {
        try await OwnRedis.with { redis async throws in
            let options = quickOptions { $0.limits.outageGrace = .seconds(3) }
            try await withLink(to: redis.url, options) { link async throws in
                redis.kill()
                for await status in link.statusChanges() where status.phase == .down { break }
                // The first wait for that long at most; from then on there is no wait at all.
                let first = await #expect(throws: RedisError.self) {
                    try await link.send(RedisCommand("PING"))
                }
                #expect(first?.code == .unavailable && first?.mayRetry == true)
                let before = ContinuousClock.now
                let second = await #expect(throws: RedisError.self) {
                    try await link.send(RedisCommand("PING"))
                }
                #expect(second?.code == .unavailable)
                #expect(ContinuousClock.now - before < .milliseconds(2900))
                try await redis.restart()
                let back = ContinuousClock.now
                await untilConnected(link, times: 2)
                #expect(ContinuousClock.now - back < .promised(.seconds(2)))
                #expect(try await link.send(RedisCommand("PING")) == .status("PONG"))
            }
        }
    }

    @Test func `a link that has no Redis says so`() async throws {
        let port = try FreePorts.take()
        let options = quickOptions { $0.limits.outageGrace = .milliseconds(50) }
        try await withLink(to: "redis://127.0.0.1:\(port)", options, waits: false) { link async throws in
            let error = await #expect(throws: RedisError.self) { try await link.send(RedisCommand("PING")) }
            #expect(error?.code == .unavailable)
            #expect(link.status.phase == .down && link.status.connections == 0)
        }
    }

    @Test func `too much in flight is refused and the rest goes on`() async throws {
        try await OwnRedis.with { redis async throws in
            let options = quickOptions { $0.limits.commandsInFlightMax = 100 }
            try await withLink(to: redis.url, options) { link async throws in
                let pings = Array(repeating: RedisCommand("PING"), count: 101)
                let error = await #expect(throws: RedisError.self) { try await link.send(pings) }
                #expect(error?.code == .overloaded && error?.fault == .caller)
                #expect(link.status.commandsRefused == 101)
                #expect(try await link.send(Array(pings.dropLast())).count == 100)
                try await eventually("nothing in flight") { link.status.commandsInFlight == 0 }
            }
        }
    }

    @Test func `a cancelled caller goes at once and the link stays in step`() async throws {
        try await OwnRedis.with { redis async throws in
            try await withLink(to: redis.url) { link async throws in
                redis.pause()
                let waiting = Task { try await link.send(RedisCommand("ECHO", "gone")) }
                while link.status.commandsSent == 0 { await Task.yield() }
                waiting.cancel()
                let error = await #expect(throws: RedisError.self) { try await waiting.value }
                #expect(error?.code == .cancelled)
                redis.resume()
                #expect(try await link.send(RedisCommand("ECHO", "here")).text == "here")
                let early = Task {
                    withUnsafeCurrentTask { $0?.cancel() }
                    return try await link.send(RedisCommand("ECHO", "never"))
                }
                let second = await #expect(throws: RedisError.self) { try await early.value }
                #expect(second?.code == .cancelled)
                #expect(try await link.send(RedisCommand("ECHO", "still")).text == "still")
                #expect(link.status.reconnects == 0)
            }
        }
    }

    @Test func `a stopped link refuses and its run has ended`() async throws {
        try await OwnRedis.with { redis async throws in
            let link = try RedisLink(to: RedisAddress(redis.url), options: quickOptions(), on: nextLoop())
            let running = Task { try await link.run() }
            try await link.ready()
            running.cancel()
            try await running.value
            let error = await #expect(throws: RedisError.self) { try await link.send(RedisCommand("PING")) }
            #expect(error?.code == .stopped && error?.mayRetry == false)
            let ready = await #expect(throws: RedisError.self) { try await link.ready() }
            #expect(ready?.code == .stopped)
        }
    }

    @Test func `shut down gracefully, a link lets what is in flight end`() async throws {
        try await OwnRedis.with(["--enable-debug-command", "local"]) { redis async throws in
            let options = quickOptions()
            let link = try RedisLink(to: RedisAddress(redis.url), options: options, on: nextLoop())
            let services = ServiceGroup(services: [link], logger: options.logger)
            let running = Task { try await services.run() }
            try await link.ready()
            let slow = Task { try await link.send(RedisCommand("DEBUG", "SLEEP", "0.2")) }
            try await eventually("it was sent") { link.status.commandsSent == 1 }
            await services.triggerGracefulShutdown()
            #expect(try await slow.value == .status("OK"))
            try await running.value
            let error = await #expect(throws: RedisError.self) { try await link.send(RedisCommand("PING")) }
            #expect(error?.code == .stopped)
        }
    }

    @Test func `what is no Redis is left alone`() async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        Chatterbox(text: "HTTP/1.1 400 Bad Request\r\n\r\n")
                    )
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let options = quickOptions { $0.limits.outageGrace = .milliseconds(50) }
        try await withLink(to: "redis://127.0.0.1:\(server.localAddress?.port ?? 0)", options, waits: false) {
            link async throws in
            let error = await #expect(throws: RedisError.self) { try await link.send(RedisCommand("PING")) }
            #expect(error?.code == .unavailable)
            while link.status.lastError == nil { await Task.yield() }
            #expect(link.status.lastError?.contains("protocolViolated") == true)
        }
        try await server.close()
    }
}

/// Answers whatever it hears with the same text.
private final class Chatterbox: ChannelInboundHandler, Sendable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let text: String

    init(text: String) { self.text = text }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
    }
}
