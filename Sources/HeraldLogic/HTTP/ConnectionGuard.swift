import HTTPTypes
import HeraldCore
import Hummingbird
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// What a connection needs that no request handler can give, one per connection, between HTTP's codec and
/// Hummingbird.
///
/// - What is not HTTP, or too much of it, is answered with a problem document like everything else.
/// - A request that does not arrive whole in time is answered 408.
/// - `Expect: 100-continue` is answered, unless the body is announced too large.
/// - After an answer with `Connection: close` the connection is closed. If the request was not read to its end,
///   what still comes is thrown away for a while first: closing with unread data would make the kernel send a
///   reset, and the client might never see the answer.
///
/// A request that arrives in one read costs neither a timer nor an allocation here.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    private let requestDeadline: TimeAmount
    private let bodyBytesMax: Int
    private let refused: @Sendable (Problem) -> Void
    /// Requests whose answer has not ended.
    private var unanswered = 0
    /// Whether the last request has not arrived whole.
    private var isRequestArriving = false
    private var deadline: Scheduled<Void>?
    private var ending = Ending.open
    /// Answers that were written to their end.
    private var answered = 0
    /// When a part of a request came or an answer ended.
    private(set) var lastActive = NIODeadline.now()
    /// Whether the next answer is the last: who speaks HTTP/1.0 waits for the end of the connection.
    var endsWithAnswer = false
    /// How long the request that comes next has been arriving already.
    var waited = TimeAmount.zero

    private enum Ending {
        case open
        /// Once the answers that are owed are written, this one too, and then it ends.
        case afterAnswers(Problem)
        /// The answer that comes next, or is being written, is the last.
        case lastAnswer
        case lastAnswerWritten
        /// Nothing more is written; what comes is thrown away.
        case lingering
    }

    /// How long a closed connection may go on sending: a second suffices on any network that works.
    private static let lingerMax: TimeAmount = .seconds(1)

    init(requestDeadline: Duration, bodyBytesMax: Int, refused: @escaping @Sendable (Problem) -> Void) {
        self.requestDeadline = TimeAmount(requestDeadline)
        self.bodyBytesMax = bodyBytesMax
        self.refused = refused
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .lingering = ending { return }
        lastActive = .now()
        switch unwrapInboundIn(data) {
        case .head(let head):
            unanswered += 1
            isRequestArriving = true
            if unanswered == 1, expectsContinue(head) {
                context.writeAndFlush(
                    wrapOutboundOut(.head(HTTPResponse(status: .continue))),
                    promise: nil
                )
            }
        case .body: break
        case .end:
            isRequestArriving = false
            waited = .zero
            deadline?.cancel()
            deadline = nil
        }
        context.fireChannelRead(data)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if isRequestArriving, deadline == nil {
            let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
            deadline = context.eventLoop.scheduleTask(in: requestDeadline - waited) {
                bound.value.handler.requestIsLate(bound.value.context)
            }
        }
        context.fireChannelReadComplete()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if case .lingering = ending { return }
        guard let problem = Self.problem(error) else { return context.fireErrorCaught(error) }
        if unanswered == 0 {
            answer(problem, context)
        } else if isRequestArriving {
            // The handler reads the body and is told there.
            if unanswered == 1 { ending = .lastAnswer }
            context.fireErrorCaught(error)
        } else {
            ending = .afterAnswers(problem)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        stopTimer()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { stopTimer() }

    // MARK: Out

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch ending {
        case .lingering:
            // The late answer to a request that was given up.
            promise?.fail(ChannelError.outputClosed)
            return
        case .open, .afterAnswers, .lastAnswer, .lastAnswerWritten: break
        }
        switch unwrapOutboundIn(data) {
        case .head(let head):
            let isFinal = head.status.kind != .informational
            if isFinal, endsWithAnswer || head.headerFields[.connection] == "close" { ending = .lastAnswer }
        case .body: break
        case .end:
            unanswered -= 1
            answered += 1
            lastActive = .now()
            if case .lastAnswer = ending { ending = .lastAnswerWritten }
        }
        context.write(data, promise: promise)
    }

    func flush(context: ChannelHandlerContext) {
        context.flush()
        switch ending {
        case .open, .lastAnswer, .lingering: break
        case .lastAnswerWritten: end(context)
        case .afterAnswers(let problem): if unanswered == 0 { answer(problem, context) }
        }
    }

    // MARK: For the lane in front

    /// Whether so many requests were read and answered in all, nothing is owed, and the connection goes on.
    func rests(after requests: Int) -> Bool {
        guard case .open = ending else { return false }
        return unanswered == 0 && !isRequestArriving && answered == requests
    }

    /// Whether a request is whole and its answer is not.
    var isAnswering: Bool { unanswered > 0 && !isRequestArriving }

    // MARK: Ending

    private func requestIsLate(_ context: ChannelHandlerContext) {
        deadline = nil
        guard isRequestArriving else { return }
        let seconds = requestDeadline.nanoseconds / 1_000_000_000
        let problem = Problem.badHTTP(
            .requestTimeout,
            "request_timeout",
            "the request did not arrive within \(seconds) s"
        )
        // With other answers owed, this one would be taken for the first of them.
        if unanswered == 1 { answer(problem, context) } else { end(context) }
    }

    private func answer(_ problem: Problem, _ context: ChannelHandlerContext) {
        refused(problem)
        let response = problem.response
        let body = context.channel.allocator.buffer(bytes: problem.body)
        context.write(wrapOutboundOut(.head(response.head)), promise: nil)
        context.write(wrapOutboundOut(.body(body)), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        isRequestArriving = true
        end(context)
    }

    private func end(_ context: ChannelHandlerContext) {
        ending = .lingering
        stopTimer()
        guard isRequestArriving else { return context.close(promise: nil) }
        context.close(mode: .output, promise: nil)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: Self.lingerMax) { bound.value.close(promise: nil) }
    }

    private func stopTimer() {
        deadline?.cancel()
        deadline = nil
    }

    // MARK: Judging

    private func expectsContinue(_ head: HTTPRequest) -> Bool {
        guard let expect = head.headerFields[.expect], expect.lowercased() == "100-continue" else {
            return false
        }
        let length = head.headerFields[.contentLength].flatMap(Int.init) ?? 0
        return length <= bodyBytesMax
    }

    /// What the other side did wrong; nil for what is no fault of its HTTP.
    private static func problem(_ error: any Error) -> Problem? {
        switch error {
        case HTTPParserError.headerOverflow:
            .badHTTP(.requestHeaderFieldsTooLarge, "headers_too_large", "the header fields are too large")
        case HTTPParserError.closedConnection, HTTPParserError.invalidEOFState: nil
        case is IOError, is ChannelError: nil
        default: .badHTTP(.badRequest, "bad_http", "this is not an HTTP/1.1 request")
        }
    }
}
