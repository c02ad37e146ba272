import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// An answer of the receiver, as far as it matters.
struct WebhookExchange: Sendable, Equatable {
    var status: Int
    var retryAfter: Duration?
    /// Whether another request may follow on the connection.
    var isReusable: Bool
}

/// One connection to the receiver; one request at a time.
struct WebhookConnection: Sendable {
    private let channel: any Channel
    private let reader: NIOLoopBound<WebhookAnswerReader>

    /// On the channel's loop. `reader`: in the channel's pipeline, behind HTTP's client handlers.
    init(_ channel: any Channel, _ reader: WebhookAnswerReader) {
        self.channel = channel
        self.reader = NIOLoopBound(reader, eventLoop: channel.eventLoop)
    }

    var isOpen: Bool { channel.isActive }

    /// Sends a request and reads its answer to the end.
    ///
    /// - Throws: when the connection broke before that, or on cancellation; it is of no use any more then.
    func exchange(_ head: HTTPRequestHead, _ body: [UInt8]) async throws -> WebhookExchange {
        try Task.checkCancellation()
        let answer = channel.eventLoop.makePromise(of: WebhookExchange.self)
        let (channel, reader) = (channel, reader)
        return try await withTaskCancellationHandler {
            channel.eventLoop.execute {
                reader.value.expect(answer)
                channel.write(HTTPClientRequestPart.head(head), promise: nil)
                channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
                channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            }
            return try await answer.futureResult.get()
        } onCancel: {
            answer.fail(CancellationError())
            close()
        }
    }

    func close() { channel.close(promise: nil) }
}

/// Reads one answer at a time. Its body is counted and dropped; of one that is too long only the status matters.
final class WebhookAnswerReader: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    private static let bodyBytesMax = 16 * 1024

    private var waiting: EventLoopPromise<WebhookExchange>?
    private var exchange: WebhookExchange?
    private var bodyBytes = 0
    /// The first error; those that follow from it say less.
    private var failure: (any Error)?
    private var isClosed = false

    struct Broken: Error, CustomStringConvertible {
        var description: String { "it closed the connection before it had answered" }
    }

    /// On the loop.
    func expect(_ answer: EventLoopPromise<WebhookExchange>) {
        guard !isClosed else { return answer.fail(failure ?? Broken()) }
        waiting = answer
        exchange = nil
        bodyBytes = 0
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        // What nobody asked for ends the connection: the next answer would be taken for another's.
        guard waiting != nil else { return context.close(promise: nil) }
        switch unwrapInboundIn(data) {
        case .head(let head):
            // 1xx announces an answer and is none.
            guard head.status.code >= 200 else { return }
            exchange = WebhookExchange(
                status: Int(head.status.code),
                retryAfter: head.headers.first(name: "Retry-After").flatMap { RetryAfter.pause($0) },
                isReusable: head.isKeepAlive
            )
        case .body(let bytes):
            bodyBytes += bytes.readableBytes
            guard bodyBytes > Self.bodyBytesMax, var exchange else { return }
            exchange.isReusable = false
            answer(exchange)
            context.close(promise: nil)
        case .end:
            if let exchange { answer(exchange) }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        isClosed = true
        waiting?.fail(failure ?? Broken())
        waiting = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = failure ?? error
        context.close(promise: nil)
    }

    private func answer(_ exchange: WebhookExchange) {
        self.exchange = nil
        waiting?.succeed(exchange)
        waiting = nil
    }
}

extension HTTPWebhookTransport {
    /// In a person's words, for the log.
    static func reason(_ error: any Error) -> String {
        switch error {
        case is CancellationError: "it was cancelled"
        case let error as IOError: String(cString: strerror(error.errnoCode))
        case ChannelError.connectTimeout: "it cannot be connected to in time"
        case is ChannelError: "the connection broke"
        case is HTTPParserError: "it does not speak HTTP/1.1"
        case is NIOSSLError, is NIOSSLExtraError: "TLS failed: \(error)"
        default: "\(error)"
        }
    }
}
