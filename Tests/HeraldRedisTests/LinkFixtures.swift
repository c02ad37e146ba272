import HeraldRedis
import HeraldTesting
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// Short waits, so that tests of outages are quick; still far above what a loaded machine needs to answer.
func quickOptions(_ change: (inout RedisLinkOptions) -> Void = { _ in }) -> RedisLinkOptions {
    var logger = Logger(label: "test.redis")
    logger.logLevel = .critical
    var options = RedisLinkOptions(name: "test", logger: logger)
    change(&options)
    return options
}

func nextLoop() -> any EventLoop { MultiThreadedEventLoopGroup.singleton.next() }

/// Runs a link beside a body, and ends it with the body.
func withLink<Answer: Sendable>(
    to url: String,
    _ options: RedisLinkOptions = quickOptions(),
    waits: Bool = true,
    _ body: @Sendable (RedisLink) async throws -> Answer
) async throws -> Answer {
    let link = try RedisLink(to: RedisAddress(url), options: options, on: nextLoop())
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await link.run() }
        defer { group.cancelAll() }
        if waits { try await link.ready() }
        return try await body(link)
    }
}

/// Returns once the link is ready for the n-th time.
func untilConnected(_ link: RedisLink, times: Int) async {
    for await status in link.statusChanges() where status.connections >= times && status.phase == .ready {
        return
    }
}

/// Collects events and lets a test wait for them in order.
final class Events<Event: Sendable>: Sendable {
    private let stream: AsyncStream<Event>
    private let continuation: AsyncStream<Event>.Continuation

    init() { (stream, continuation) = AsyncStream.makeStream() }

    var record: @Sendable (Event) -> Void {
        let continuation = continuation
        return { _ = continuation.yield($0) }
    }

    /// The first events, taken one by one until a condition holds for them.
    func take(until isEnough: ([Event]) -> Bool) async -> [Event] {
        var events: [Event] = []
        for await event in stream {
            events.append(event)
            if isEnough(events) { break }
        }
        return events
    }
}
