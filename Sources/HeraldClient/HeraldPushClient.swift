public import HeraldCore
import HeraldWire
public import NIOCore
import NIOHTTP1
public import NIOPosix
import Synchronization

/// Talks to logic's HTTP API, from any number of tasks at once, over a few kept-alive connections.
///
/// A request goes to the lane with the fewest requests. `ClientLimits.requestTimeout` bounds each from the call
/// to the end of the answer. Nothing is sent twice by itself (see `HTTPLaneStateMachine`).
public final class HeraldPushClient: Sendable {
    /// Where logic is.
    public let address: ServerAddress
    private let lanes: [NIOLoopBoundBox<HTTPLane>]
    /// Requests on each lane now.
    private let loads: Mutex<[Int]>

    /// - Parameters:
    ///   - address: such as `http://127.0.0.1:8080`.
    ///   - limits: connections, time and sizes.
    ///   - group: the event loops to share; by default those of the process.
    public init(
        _ address: ServerAddress,
        limits: ClientLimits = .standard,
        on group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup
    ) {
        self.address = address
        lanes = (0..<max(1, limits.lanesMax)).map { _ in
            let eventLoop = group.next()
            return NIOLoopBoundBox.makeBoxSendingValue(
                HTTPLane(address: address, limits: limits, eventLoop: eventLoop),
                eventLoop: eventLoop
            )
        }
        loads = Mutex(Array(repeating: 0, count: max(1, limits.lanesMax)))
    }

    /// As the other initialiser, from a text such as `http://127.0.0.1:8080`; throws `badAddress` for any other.
    public convenience init(
        url: String,
        limits: ClientLimits = .standard,
        on group: any EventLoopGroup = .singletonMultiThreadedEventLoopGroup
    ) throws(ClientError) {
        self.init(try ServerAddress(url, scheme: .http), limits: limits, on: group)
    }

    /// Pushes, and says what became of it for each target, in the order: users, keys, rooms, all.
    ///
    /// - Throws: `refused` with logic's own code where it answered no; other codes say that no answer came.
    public func push(_ request: PushRequest) async throws(ClientError) -> PushAnswer {
        let answer = try await send(
            .POST,
            "/v1/push",
            body: request.encoded(),
            what: "logic refused the push"
        )
        do { return try PushAnswer(answer: answer.body) } catch {
            throw ClientError(.unexpectedAnswer, "the answer to the push cannot be read: \(error)")
        }
    }

    /// Asks what became of a push, step by step.
    ///
    /// - Throws: `refused` with the server's code `unknown_push` when this logic process did not take the push, or
    ///   does not remember it any more.
    public func story(of push: PushID) async throws(ClientError) -> PushStory {
        let answer = try await send(
            .GET,
            "/v1/pushes/\(Query.encoded(push.description))",
            body: nil,
            what: "logic tells nothing of \(push)"
        )
        do { return try PushStoryJSON.decode(answer.body) } catch {
            throw ClientError(.unexpectedAnswer, "what became of the push cannot be read: \(error)")
        }
    }

    /// Asks for a page such as `/readyz`, whatever its status.
    public func get(_ path: String) async throws(ClientError) -> HTTPAnswer {
        let (head, body) = try await exchange(.GET, path, body: nil)
        return HTTPAnswer(status: Int(head.status.code), body: body)
    }

    /// Posts a body of JSON, as it is.
    ///
    /// - Returns: the answer, whatever its status.
    public func post(_ path: String, json body: [UInt8]) async throws(ClientError) -> HTTPAnswer {
        let (head, body) = try await exchange(.POST, path, body: body)
        return HTTPAnswer(status: Int(head.status.code), body: body)
    }

    /// Closes one connection of a user.
    public func close(_ key: UserKey) async throws(ClientError) {
        let path =
            "/v1/users/\(Query.encoded(key.user.description))/connections/\(Query.encoded(key.key.description))"
        _ = try await send(.DELETE, path, body: nil, what: "logic refused to close \(key)")
    }

    /// Closes the connections; requests under way fail with `closed`.
    public func shutdown() async {
        for lane in lanes { try? await lane.eventLoop.submit { lane.value.stop() }.get() }
    }

    func send(
        _ method: HTTPMethod,
        _ path: String,
        body: [UInt8]?,
        what: String
    ) async throws(ClientError) -> HTTPAnswer {
        let (head, body) = try await exchange(method, path, body: body)
        guard (200...299).contains(head.status.code) else {
            throw ClientError(refusal: head, body: body, what: what)
        }
        return HTTPAnswer(status: Int(head.status.code), body: body)
    }

    private func exchange(
        _ method: HTTPMethod,
        _ path: String,
        body: [UInt8]?
    ) async throws(ClientError) -> (HTTPResponseHead, [UInt8]) {
        guard path.utf8.first == UInt8(ascii: "/"), !path.utf8.contains(where: { $0 <= 0x20 || $0 == 0x7F })
        else {
            throw ClientError(.badRequest, "\(path) is no path: it has to start with / and hold no spaces")
        }
        let index = loads.withLock { loads in
            let index = loads.indices.min { loads[$0] < loads[$1] } ?? 0
            loads[index] += 1
            return index
        }
        defer { loads.withLock { $0[index] -= 1 } }
        let lane = lanes[index]
        let answer = lane.eventLoop.makePromise(of: (HTTPResponseHead, [UInt8]).self)
        lane.eventLoop.execute {
            lane.value.ask(HTTPCall(method: method, path: path, body: body, answer: answer))
        }
        do { return try await answer.futureResult.get() } catch {
            throw (error as? ClientError) ?? ClientError(.unreachable, "\(error)", mayRetry: true)
        }
    }
}
