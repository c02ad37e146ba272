import HeraldClient
import HeraldCore
import HeraldWire
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import Synchronization

/// A server on a free port that does what a test tells it: a cloud node that can misbehave.
///
/// Every frame of a client is noted and answered by `answer`; `send` and `close` act on all its sockets.
final class FakeNode: Sendable {
    enum Reply: Sendable {
        case text(String)
        case frame(ServerFrame)
        case close(UInt16)
        case disconnect
    }

    /// What became of the upgrade.
    enum Door: Sendable {
        case open
        case refuse(HTTPResponseStatus, String, headers: [(String, String)])
        /// Never answers.
        case silent
    }

    private struct State {
        var targets: [String] = []
        var frames: [ClientFrame] = []
        var sockets: [any Channel] = []
    }

    private let state = Mutex(State())
    private let listener: any Channel
    let url: String

    /// What it is given:
    /// - `door`: decides on each upgrade, by how many came before.
    /// - `greeting`: what is sent when a socket opens, by how many came before.
    /// - `answer`: what each frame is answered with.
    static func run(
        door: @escaping @Sendable (Int) -> Door = { _ in .open },
        greeting: @escaping @Sendable (Int) -> [Reply] = { _ in [.frame(.hello)] },
        answer: @escaping @Sendable (ClientFrame) -> [Reply] = { _ in [] },
        _ body: (FakeNode) async throws -> Void
    ) async throws {
        let node = try await FakeNode(door: door, greeting: greeting, answer: answer)
        do { try await body(node) } catch {
            await node.stop()
            throw error
        }
        await node.stop()
    }

    private init(
        door: @escaping @Sendable (Int) -> Door,
        greeting: @escaping @Sendable (Int) -> [Reply],
        answer: @escaping @Sendable (ClientFrame) -> [Reply]
    ) async throws {
        let shared = Shared()
        listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandlers([
                        HTTPResponseEncoder(),
                        ByteToMessageHandler(HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes)),
                    ])
                    try channel.pipeline.syncOperations.addHandler(
                        DoorHandler(door: { door(shared.knock()) }) { channel, target in
                            guard let node = shared.node else { return }
                            let number = node.state.withLock { state in
                                state.targets.append(target)
                                state.sockets.append(channel)
                                return state.sockets.count - 1
                            }
                            try channel.pipeline.syncOperations.addHandler(
                                SocketHandler { node.noted($0, answer: answer($0)) }
                            )
                            for reply in greeting(number) { FakeNode.perform(reply, on: channel) }
                        }
                    )
                }
            }
            .bind(host: "127.0.0.1", port: 0)
            .get()
        url = "ws://127.0.0.1:\(listener.localAddress?.port ?? 0)/ws"
        shared.set(self)
    }

    /// Requests' targets, in order.
    var targets: [String] { state.withLock { $0.targets } }
    var frames: [ClientFrame] { state.withLock { $0.frames } }

    func send(_ replies: Reply...) {
        for socket in state.withLock({ $0.sockets }) {
            for reply in replies { FakeNode.perform(reply, on: socket) }
        }
    }

    private func noted(_ frame: ClientFrame, answer: [Reply]) -> [Reply] {
        state.withLock { $0.frames.append(frame) }
        return answer
    }

    private func stop() async {
        for socket in state.withLock({ $0.sockets }) { socket.close(promise: nil) }
        try? await listener.close().get()
    }

    fileprivate static func perform(_ reply: Reply, on channel: any Channel) {
        switch reply {
        case .text(let text):
            channel.writeAndFlush(
                WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(string: text)),
                promise: nil
            )
        case .frame(let frame):
            channel.writeAndFlush(
                WebSocketFrame(fin: true, opcode: .text, data: ByteBuffer(bytes: frame.encoded())),
                promise: nil
            )
        case .close(let code):
            var payload = ByteBuffer()
            payload.writeInteger(code)
            channel.writeAndFlush(
                WebSocketFrame(fin: true, opcode: .connectionClose, data: payload),
                promise: nil
            )
        case .disconnect: channel.close(promise: nil)
        }
    }
}

extension ServerFrame {
    /// What a node says first, to alice's phone.
    static var hello: ServerFrame {
        // The ids are constants of this file and valid.
        guard let user = try? UserID("alice"), let key = try? ConnectionKey("phone"),
            let node = try? NodeID("cloud-1")
        else { return .pong(id: nil) }
        return .connected(user: user, key: key, node: node)
    }
}

/// What the channels of a listener share: the node, and how many upgrades were asked for.
private final class Shared: Sendable {
    private let state = Mutex<(node: FakeNode?, knocks: Int)>((nil, 0))

    var node: FakeNode? { state.withLock { $0.node } }

    func set(_ node: FakeNode) { state.withLock { $0.node = node } }

    func knock() -> Int {
        state.withLock { state in
            state.knocks += 1
            return state.knocks - 1
        }
    }
}

/// Upgrades by hand, so that a test can refuse or stay silent.
private final class DoorHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let door: @Sendable () -> FakeNode.Door
    private let opened: (any Channel, String) throws -> Void
    private var head: HTTPRequestHead?

    init(
        door: @escaping @Sendable () -> FakeNode.Door,
        opened: @escaping (any Channel, String) throws -> Void
    ) {
        self.door = door
        self.opened = opened
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end: if let head { answer(head, context) }
        }
    }

    private func answer(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        switch door() {
        case .silent: break
        case .refuse(let status, let body, let fields):
            var headers = HTTPHeaders(fields)
            headers.add(name: "Content-Length", value: "\(body.utf8.count)")
            let response = HTTPResponseHead(version: .http1_1, status: status, headers: headers)
            context.write(wrapOutboundOut(.head(response)), promise: nil)
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: body)))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        case .open: upgrade(head, context)
        }
    }

    private func upgrade(_ head: HTTPRequestHead, _ context: ChannelHandlerContext) {
        let upgrader = NIOWebSocketServerUpgrader(
            shouldUpgrade: { channel, _ in
                channel.eventLoop.makeSucceededFuture([:])
            },
            upgradePipelineHandler: { channel, _ in channel.eventLoop.makeSucceededVoidFuture() }
        )
        let channel = context.channel
        let opened = NIOLoopBound(opened, eventLoop: context.eventLoop)
        let own = NIOLoopBound(self, eventLoop: context.eventLoop)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        upgrader.buildUpgradeResponse(channel: channel, upgradeRequest: head, initialResponseHeaders: [:])
            .whenSuccess { headers in
                var headers = headers
                headers.replaceOrAdd(name: "Connection", value: "upgrade")
                headers.replaceOrAdd(name: "Upgrade", value: "websocket")
                let response = HTTPResponseHead(
                    version: .http1_1,
                    status: .switchingProtocols,
                    headers: headers
                )
                let context = bound.value
                context.write(own.value.wrapOutboundOut(.head(response)), promise: nil)
                context.writeAndFlush(own.value.wrapOutboundOut(.end(nil)), promise: nil)
                own.value.becomeWebSocket(channel, head.uri, opened.value)
            }
    }

    private func becomeWebSocket(
        _ channel: any Channel,
        _ target: String,
        _ opened: @escaping (any Channel, String) throws -> Void
    ) {
        let pipeline = channel.pipeline.syncOperations
        let done = NIOLoopBound(opened, eventLoop: channel.eventLoop)
        do {
            let encoder = try pipeline.handler(type: HTTPResponseEncoder.self)
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            pipeline.removeHandler(self, promise: nil)
            pipeline.removeHandler(encoder, promise: nil)
            pipeline.removeHandler(decoder).assumeIsolated().whenComplete { _ in
                do {
                    try channel.pipeline.syncOperations.addHandler(WebSocketFrameEncoder())
                    try channel.pipeline.syncOperations.addHandler(
                        ByteToMessageHandler(WebSocketFrameDecoder(maxFrameSize: 1 << 20))
                    )
                    try done.value(channel, target)
                } catch { channel.close(promise: nil) }
            }
        } catch { channel.close(promise: nil) }
    }
}

private final class SocketHandler: ChannelInboundHandler {
    typealias InboundIn = WebSocketFrame

    private let received: (ClientFrame) -> [FakeNode.Reply]

    init(_ received: @escaping (ClientFrame) -> [FakeNode.Reply]) { self.received = received }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        switch frame.opcode {
        case .text:
            let bytes = Array(buffer: frame.unmaskedData)
            guard let frame = try? bytes.withUnsafeBytes({ try ClientFrame.decode($0, limits: .standard) })
            else {
                return context.close(promise: nil)
            }
            for reply in received(frame) { FakeNode.perform(reply, on: context.channel) }
        case .connectionClose:
            context.channel.writeAndFlush(
                WebSocketFrame(fin: true, opcode: .connectionClose, data: frame.unmaskedData),
                promise: nil
            )
            context.close(promise: nil)
        default: break
        }
    }
}
