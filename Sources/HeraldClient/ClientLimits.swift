/// Every bound of the client, on one page.
public struct ClientLimits: Sendable, Equatable {
    /// From the call to `connected`: TCP, upgrade, and the node's write of the route.
    public var connectTimeout: Duration = .seconds(10)
    /// From a join, leave or ping to its answer; from an HTTP request to the end of its answer.
    public var requestTimeout: Duration = .seconds(5)
    /// A connection on which nothing comes for so long is dead. Nodes ping every 25 s, so two may be lost.
    public var silenceMax: Duration = .seconds(60)
    /// How long closing waits for the other side's close frame.
    public var closeTimeout: Duration = .seconds(3)
    /// One incoming message: a push of 256 KiB as base64 is 350 KiB, and there is room for its names.
    public var messageBytesMax = 512 * 1024
    /// Events that wait for the reader; beyond, the socket is not read until half of them are gone, and the
    /// node's own policy for slow consumers decides.
    public var eventsWaitingMax = 256
    /// Joins, leaves and pings of one connection, or HTTP requests of one lane, that wait for an answer;
    /// beyond, a call throws `busy`.
    public var requestsWaitingMax = 1024
    /// Push ids remembered over reconnects, so that a repeat is dropped: minutes of a busy user.
    public var recentPushesMax = 1024
    /// Kept-alive HTTP connections to logic.
    public var lanesMax = 8
    /// An HTTP answer: 1,000 verdicts with their nodes are below 300 KiB.
    public var answerBytesMax = 4 * 1024 * 1024

    public init() {}
    public static let standard = ClientLimits()
}
