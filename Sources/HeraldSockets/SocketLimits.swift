/// Everything the engine limits, on one page. Each limit has a policy and a counter in `SocketCounters`.
public struct SocketLimits: Sendable {
    /// Bytes of a request head, the blank line included; beyond: 431. Browsers send 1 to 2 KiB, cookies of a
    /// shared domain up to 4; a token in the query another 2.
    public var requestHeadBytesMax = 8 * 1024
    /// Bytes of the request line; beyond: 414.
    public var requestLineBytesMax = 4 * 1024
    /// Header fields of a request; beyond: 431. Browsers send about 15, a chain of proxies adds 10.
    public var requestFieldsMax = 64
    /// From accept to the end of the request head; later: 408 and closed. Three lost SYN/data packets back
    /// off to 7 s, so a phone on a bad link makes it.
    public var upgradeDeadline = Duration.seconds(10)

    /// Bytes of one incoming message, all fragments together; beyond: closed with 1009.
    public var messageBytesMax = 64 * 1024
    /// Wire bytes per ping interval of frames that carry no message: control frames and empty fragments;
    /// beyond: closed with 1008. 64 KiB in 25 s are 437 bare pings a second, and no honest client's.
    public var overheadBytesMax = 64 * 1024

    /// Bytes waiting to be sent to one socket, 64 more counted for each frame; a frame that does not fit is
    /// dropped and the socket closed with `overflowCode`, and a droppable one is left out at half of this. 1 MiB is
    /// some 7,000 pushes of 150 bytes: minutes of a phone's silence.
    public var sendQueueBytesMax = 1024 * 1024
    /// Bytes that the kernel takes for one socket beyond what the peer has room for (TCP_NOTSENT_LOWAT). Left to
    /// itself it takes 4 MB for a peer that does not read: 1,000 of them would hold what no limit here counts, and
    /// the newest message would wait behind it. What is on its way is not limited, so a fast path stays fast.
    public var kernelUnsentBytesMax = 128 * 1024
    /// Close code for a full queue: 4000–4499 tells our clients to come back.
    public var overflowCode: UInt16 = 4001
    /// Bytes waiting to be sent on all loops together; beyond: each loop closes its largest queues (with
    /// `overflowCode`), its share of what is too much. Measured after a turn's writes, so a fan-out in
    /// flight does not count, only what the kernel would not take. Frames shared by many sockets count once
    /// for each. It is a bound of resident memory: an eighth of it is left to what the allocator loses.
    public var nodeQueueBytesMax = 256 * 1024 * 1024
    /// Wire bytes of unsent pongs at one socket; pings beyond go unanswered until it reads (RFC 6455
    /// 5.5.3 asks for the most recent only).
    public var pongBytesMax = 4 * 1024

    /// Sockets of one loop, handshakes included; beyond: 503 with Retry-After. A slot that was never used
    /// costs address space only.
    public var socketsMaxPerLoop = 100_000
    /// Further connections of one loop that are read just far enough to be refused politely; beyond: closed.
    public var refusalsMaxPerLoop = 256
    /// What a refused client is told to wait, in whole seconds.
    public var retryAfterSeconds = 5
    /// Connections accepted in one turn, so that a connect storm leaves the open sockets their share: at
    /// 20 µs each, 64 are 1.3 ms.
    public var acceptsPerTurnMax = 64
    /// Steps of TLS handshakes made in one turn, for the same reason: a signature with an RSA key of 2,048 bits is
    /// about 1 ms, with an elliptic curve 0.1.
    public var handshakesPerTurnMax = 16
    /// Bytes of the buffer into which a loop reads, one for all its sockets.
    public var readBufferBytes = 64 * 1024

    /// Each socket is pinged this often, spread evenly over the interval. NAT boxes forget after 30 s and
    /// more.
    public var pingInterval = Duration.seconds(25)
    /// A pinged socket that sends nothing at all for this long is closed: half-open connections are noticed
    /// after 35 s at most.
    public var pongTimeout = Duration.seconds(10)
    /// From the start of closing to the end of it, whatever the peer does.
    public var closeTimeout = Duration.seconds(3)

    /// Commands waiting for one loop; a batch beyond is refused by `LoopPort.post`.
    public var commandBacklogMax = 65_536

    /// The defaults.
    public init() {}
}
