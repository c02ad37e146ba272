import HeraldCore
import NIOCore
import NIOHTTP1
import NIOPosix
import Synchronization
import Testing

@testable import HeraldClient

@Suite(.timeLimit(.minutes(1))) struct HeraldPushClientTests {
    private func request() throws -> PushRequest {
        PushRequest(to: [.user(try UserID("a"))], Message(event: "e"))
    }

    private func limits(_ change: (inout ClientLimits) -> Void) -> ClientLimits {
        var limits = ClientLimits.standard
        change(&limits)
        return limits
    }

    private static let routed =
        #"{"id":"p","verdicts":[{"user":"a","verdict":"routed","nodes":["cloud-1"]}]}"#

    @Test func `many pushes at once share a few connections`() async throws {
        try await FakeLogic.run { _ in
            .answer(.ok, Self.routed)
        } body: { logic in
            let client = try HeraldPushClient(url: logic.url, limits: limits { $0.lanesMax = 3 })
            let request = try request()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<500 {
                    group.addTask {
                        let answer = try await client.push(request)
                        #expect(answer.verdicts.first?.verdict == .routed)
                    }
                }
                try await group.waitForAll()
            }
            await client.shutdown()
            #expect(logic.connections <= 3)
            #expect(logic.bodies.count == 500)
            #expect(logic.bodies.allSatisfy { $0 == #"{"users":["a"],"event":"e"}"# })
            let error = await #expect(throws: ClientError.self) { try await client.push(request) }
            #expect(error?.code == .closed)
        }
    }

    @Test func `a problem becomes an error that can be acted upon`() async throws {
        let problem = #"{"status":503,"code":"redis_unavailable","title":"later","detail":"Redis is away"}"#
        try await FakeLogic.run { _ in
            .answer(.serviceUnavailable, problem, headers: [("Retry-After", "2")])
        } body: { logic in
            let client = try HeraldPushClient(url: logic.url)
            let error = await #expect(throws: ClientError.self) { try await client.push(request()) }
            #expect(error?.status == 503)
            #expect(error?.serverCode == "redis_unavailable")
            #expect(error?.mayRetry == true)
            #expect(error?.retryAfter == .seconds(2))
            #expect(error?.message == "logic refused the push: 503 Redis is away")
            #expect(try await client.get("/x").status == 503)
            await client.shutdown()
        }
    }

    @Test func `no answer in time, and the lane works on`() async throws {
        try await FakeLogic.run { number in
            number == 0 ? .nothing : .answer(.ok, Self.routed)
        } body: { logic in
            let client = try HeraldPushClient(
                url: logic.url,
                limits: limits {
                    $0.lanesMax = 1
                    $0.requestTimeout = .seconds(1)
                }
            )
            let error = await #expect(throws: ClientError.self) { try await client.push(request()) }
            #expect(error?.code == .timedOut)
            #expect(try await client.push(request()).verdicts.count == 1)
            await client.shutdown()
        }
    }

    @Test func `a connection that breaks costs one request`() async throws {
        try await FakeLogic.run { number in
            number % 2 == 0 ? .disconnect : .answer(.ok, Self.routed)
        } body: { logic in
            let client = try HeraldPushClient(url: logic.url, limits: limits { $0.lanesMax = 1 })
            for _ in 0..<3 {
                let error = await #expect(throws: ClientError.self) { try await client.push(request()) }
                #expect(error?.code == .unreachable)
                #expect(try await client.push(request()).verdicts.count == 1)
            }
            await client.shutdown()
        }
    }

    @Test func `a server that closes after each answer is met with new connections`() async throws {
        try await FakeLogic.run { _ in
            .answer(.ok, Self.routed, headers: [("Connection", "close")])
        } body: { logic in
            let client = try HeraldPushClient(url: logic.url, limits: limits { $0.lanesMax = 1 })
            for _ in 0..<5 { _ = try await client.push(request()) }
            await client.shutdown()
            #expect(logic.connections == 5)
        }
    }

    @Test func `an answer that is too large, or none at all`() async throws {
        let large = String(repeating: " ", count: 5000)
        try await FakeLogic.run { _ in
            .answer(.ok, large)
        } body: { logic in
            let client = try HeraldPushClient(url: logic.url, limits: limits { $0.answerBytesMax = 1000 })
            let error = await #expect(throws: ClientError.self) { try await client.push(request()) }
            #expect(error?.code == .unreachable)
            await client.shutdown()
        }
        try await FakeLogic.run { _ in
            .answer(.ok, "[]")
        } body: { logic in
            let client = try HeraldPushClient(url: logic.url)
            let error = await #expect(throws: ClientError.self) { try await client.push(request()) }
            #expect(error?.code == .unexpectedAnswer)
            await client.shutdown()
        }
    }

    @Test(arguments: ["readyz", "/a b", "/x\r\nHost: y"])
    func `a path that would break the request is refused`(path: String) async throws {
        let client = try HeraldPushClient(url: "http://127.0.0.1:1")
        let error = await #expect(throws: ClientError.self) { try await client.get(path) }
        #expect(error?.code == .badRequest)
    }
}

/// An HTTP server on a free port that answers as a test says.
private final class FakeLogic: Sendable {
    enum Reply: Sendable {
        case answer(HTTPResponseStatus, String, headers: [(String, String)] = [])
        case nothing
        case disconnect
    }

    struct Seen: Sendable {
        var connections = 0
        var bodies: [String] = []
    }

    private let seen: Box
    private let listener: any Channel
    let url: String

    final class Box: Sendable {
        let value = Mutex(Seen())
    }

    var connections: Int { seen.value.withLock { $0.connections } }
    var bodies: [String] { seen.value.withLock { $0.bodies } }

    /// `reply`: the answer, by how many requests came before.
    static func run(
        _ reply: @escaping @Sendable (Int) -> Reply,
        body: (FakeLogic) async throws -> Void
    ) async throws {
        let logic = try await FakeLogic(reply)
        do { try await body(logic) } catch {
            try await logic.listener.close().get()
            throw error
        }
        try await logic.listener.close().get()
    }

    private init(_ reply: @escaping @Sendable (Int) -> Reply) async throws {
        let seen = Box()
        self.seen = seen
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    seen.value.withLock { $0.connections += 1 }
                    try channel.pipeline.syncOperations.configureHTTPServerPipeline()
                    try channel.pipeline.syncOperations.addHandler(RequestHandler(seen: seen, reply: reply))
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        url = "http://127.0.0.1:\(listener.localAddress?.port ?? 0)"
    }

    private final class RequestHandler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        private let seen: Box
        private let reply: @Sendable (Int) -> Reply
        private var body = ""

        init(seen: Box, reply: @escaping @Sendable (Int) -> Reply) {
            self.seen = seen
            self.reply = reply
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head: body = ""
            case .body(let bytes): body += String(buffer: bytes)
            case .end:
                let number = seen.value.withLock { seen in
                    seen.bodies.append(body)
                    return seen.bodies.count - 1
                }
                answer(reply(number), context)
            }
        }

        private func answer(_ reply: Reply, _ context: ChannelHandlerContext) {
            switch reply {
            case .nothing: break
            case .disconnect: context.close(promise: nil)
            case .answer(let status, let text, let fields):
                var headers = HTTPHeaders(fields)
                headers.add(name: "Content-Length", value: "\(text.utf8.count)")
                let head = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
                context.write(wrapOutboundOut(.head(head)), promise: nil)
                context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
                let closes = headers[canonicalForm: "Connection"].contains("close")
                let done = context.writeAndFlush(wrapOutboundOut(.end(nil)))
                if closes { done.assumeIsolated().whenComplete { _ in context.close(promise: nil) } }
            }
        }
    }
}
