import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL
import Synchronization

/// An HTTP server that records what it is sent and answers as a test says, byte by byte.
final class WebhookReceiver: Sendable {
    struct Request: Sendable {
        var head: HTTPRequestHead
        var body: [UInt8]
        /// Counts connections from 0.
        var connection: Int

        var text: String { String(decoding: body, as: UTF8.self) }
        func field(_ name: String) -> String { head.headers.first(name: name) ?? "" }
    }

    enum Reply: Sendable {
        case status(Int, fields: [String] = [], bodyBytes: Int = 0)
        /// Half an answer, and then the connection closes.
        case breakOff
        case close
        case silence
    }

    private let state = Mutex(State())
    private let reply: @Sendable (Int, Request) -> Reply
    private let (incoming, arrived) = AsyncStream.makeStream(of: Request.self)
    private let (closings, closed) = AsyncStream.makeStream(of: Int.self)

    private struct State {
        var requests: [Request] = []
        var connections = 0
        var channel: (any Channel)?
    }

    /// - Parameter reply: from a request, and how many came before, to what is said.
    private init(_ reply: @escaping @Sendable (Int, Request) -> Reply) { self.reply = reply }

    /// Runs a receiver on a free port of the loopback while the body runs.
    static func serving<Result: Sendable>(
        tls: NIOSSLContext? = nil,
        _ reply: @escaping @Sendable (Int, Request) -> Reply = { _, _ in .status(200) },
        _ body: (WebhookReceiver, _ port: Int) async throws -> Result
    ) async throws -> Result {
        let receiver = WebhookReceiver(reply)
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pipeline = channel.pipeline.syncOperations
                    if let tls { try pipeline.addHandler(NIOSSLServerHandler(context: tls)) }
                    try pipeline.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))
                    try pipeline.addHandler(Handler(receiver))
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        do {
            let result = try await body(receiver, channel.localAddress?.port ?? 0)
            try await channel.close()
            return result
        } catch {
            try await channel.close()
            throw error
        }
    }

    /// All that came, in order.
    var requests: [Request] { state.withLock { $0.requests } }
    var connections: Int { state.withLock { $0.connections } }

    /// Returns the next requests as they come. Called by one task.
    func next(_ count: Int) async -> [Request] {
        var found: [Request] = []
        for await request in incoming {
            found.append(request)
            if found.count == count { break }
        }
        return found
    }

    /// Returns once a connection closes.
    func closing() async { for await _ in closings { break } }

    private func connected() -> Int {
        state.withLock { state in
            defer { state.connections += 1 }
            return state.connections
        }
    }

    private func took(_ request: Request) -> Reply {
        let number = state.withLock { state in
            state.requests.append(request)
            return state.requests.count - 1
        }
        arrived.yield(request)
        return reply(number, request)
    }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = ByteBuffer

        private let receiver: WebhookReceiver
        private let connection: Int
        private var request: Request?

        init(_ receiver: WebhookReceiver) {
            self.receiver = receiver
            connection = receiver.connected()
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head): request = Request(head: head, body: [], connection: connection)
            case .body(let bytes): request?.body += Array(buffer: bytes)
            case .end: if let request { answer(receiver.took(request), context) }
            }
        }

        func channelInactive(context: ChannelHandlerContext) { receiver.closed.yield(connection) }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

        private func answer(_ reply: Reply, _ context: ChannelHandlerContext) {
            switch reply {
            case .status(let status, let fields, let bodyBytes):
                let head = ["HTTP/1.1 \(status) Said", "Content-Length: \(bodyBytes)"] + fields
                send(head, String(repeating: "x", count: bodyBytes), context)
            case .breakOff:
                send(["HTTP/1.1 200 OK", "Content-Length: 10"], "half", context)
                context.close(promise: nil)
            case .close: context.close(promise: nil)
            case .silence: break
            }
        }

        private func send(_ head: [String], _ body: String, _ context: ChannelHandlerContext) {
            let text = head.joined(separator: "\r\n") + "\r\n\r\n" + body
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
        }
    }
}
