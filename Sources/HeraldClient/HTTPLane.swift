import NIOCore
import NIOHTTP1
import NIOPosix

/// An HTTP answer, read to its end.
public struct HTTPAnswer: Sendable, Equatable {
    public var status: Int
    public var body: [UInt8]

    public init(status: Int, body: [UInt8]) {
        self.status = status
        self.body = body
    }
}

/// One request on its way, with who waits for it.
struct HTTPCall: Sendable {
    var method: HTTPMethod
    var path: String
    var body: [UInt8]?
    var answer: EventLoopPromise<(HTTPResponseHead, [UInt8])>
}

/// One kept-alive connection and the requests that wait for it, all on one event loop.
final class HTTPLane {
    private var machine = HTTPLaneStateMachine<HTTPCall>()
    private let address: ServerAddress
    private let limits: ClientLimits
    private let eventLoop: any EventLoop
    private var channel: (any Channel)?
    private var lastID: UInt64 = 0

    init(address: ServerAddress, limits: ClientLimits, eventLoop: any EventLoop) {
        self.address = address
        self.limits = limits
        self.eventLoop = eventLoop
    }

    func ask(_ call: HTTPCall) {
        lastID += 1
        let id = lastID
        switch machine.asked(call, id: id, max: limits.requestsWaitingMax) {
        case .refuse(let call, let error): return call.answer.fail(error)
        case .connect: connect()
        case .write(let call): write(call)
        case .wait: break
        }
        let timer = eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(limits.requestTimeout)) {
            self.timedOut(id)
        }
        call.answer.futureResult.whenComplete { _ in timer.cancel() }
    }

    func stop() {
        for call in machine.stopped() { call.answer.fail(ClientError(.closed, "the client was shut down")) }
        close()
    }

    // MARK: the channel

    private func connect() {
        let lane = NIOLoopBound(self, eventLoop: eventLoop)
        let bytesMax = limits.answerBytesMax
        ClientBootstrap(group: eventLoop)
            .channelOption(ChannelOptions.tcpOption(.tcp_nodelay), value: 1)
            .connectTimeout(TimeAmount(limits.connectTimeout))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    try channel.pipeline.syncOperations.addHandler(
                        AnswerReader(lane: lane.value, bytesMax: bytesMax)
                    )
                }
            }
            .connect(host: address.host, port: address.port)
            .assumeIsolated()
            .whenComplete { result in
                switch result {
                case .success(let channel):
                    self.channel = channel
                    self.perform(self.machine.connected())
                case .failure(let error):
                    let error = ClientError(connecting: self.address, error)
                    for call in self.machine.connectFailed() { call.answer.fail(error) }
                }
            }
    }

    fileprivate func answered(_ head: HTTPResponseHead, _ body: [UInt8], by channel: any Channel) {
        guard channel === self.channel else { return }
        let (call, next) = machine.answered(keptAlive: head.isKeepAlive)
        call?.answer.succeed((head, body))
        perform(next)
    }

    fileprivate func broken(_ channel: any Channel, _ reason: String) {
        guard channel === self.channel else { return }
        self.channel = nil
        let (call, next) = machine.broken()
        call?.answer.fail(
            ClientError(
                .unreachable,
                "\(address) broke off before it answered, it may have done what was asked: \(reason)",
                mayRetry: true
            )
        )
        perform(next)
    }

    private func timedOut(_ id: UInt64) {
        let error = ClientError(
            .timedOut,
            "\(address) did not answer within \(limits.requestTimeout)",
            mayRetry: true
        )
        switch machine.timedOut(id) {
        case .nothing: break
        case .withdraw(let call): call.answer.fail(error)
        case .abort(let call):
            close()
            call.answer.fail(error)
            if machine.isConnecting { connect() }
        }
    }

    private func perform(_ next: HTTPLaneStateMachine<HTTPCall>.Next) {
        switch next {
        case .write(let call): write(call)
        case .rest: break
        case .connect: connect()
        case .close: close()
        case .closeAndConnect:
            close()
            connect()
        }
    }

    private func close() {
        channel?.close(promise: nil)
        channel = nil
    }

    private func write(_ call: HTTPCall) {
        guard let channel else { preconditionFailure("a lane writes only while it has a channel") }
        var headers = HTTPHeaders()
        headers.add(name: "Host", value: address.authority)
        if let body = call.body {
            headers.add(name: "Content-Type", value: "application/json")
            headers.add(name: "Content-Length", value: String(body.count))
        }
        let head = HTTPRequestHead(version: .http1_1, method: call.method, uri: call.path, headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        if let body = call.body {
            channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
        }
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }
}

/// Gathers the parts of an answer for its lane.
private final class AnswerReader: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private let lane: HTTPLane
    private let bytesMax: Int
    private var head: HTTPResponseHead?
    private var body: [UInt8] = []
    private var reason = "it closed the connection"

    init(lane: HTTPLane, bytesMax: Int) {
        self.lane = lane
        self.bytesMax = bytesMax
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            body = []
        case .body(let bytes):
            guard body.count + bytes.readableBytes <= bytesMax else {
                reason = "its answer is larger than \(bytesMax) bytes"
                return context.close(promise: nil)
            }
            body.append(contentsOf: bytes.readableBytesView)
        case .end:
            guard let head else { return }
            self.head = nil
            // 1xx announces an answer and is none.
            guard head.status.code >= 200 else { return }
            lane.answered(head, body, by: context.channel)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        lane.broken(context.channel, reason)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        reason = ClientError.reason(error)
        context.close(promise: nil)
    }
}
