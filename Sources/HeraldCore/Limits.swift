/// Every bound of the words, on one page. Sockets have theirs in `SocketLimits`, links in `RedisLinkLimits`:
/// those targets know nothing of this one, or should be read beside what they bound.
///
/// At each limit the caller gets an error with a stable code, and a counter says so.
public struct Limits: Sendable, Equatable {
    /// The body of one push: 256 KiB. A node then holds at most four unsent ones per socket (1 MiB queue).
    public var pushBytesMax = 256 * 1024
    /// Pushes of one batch: with one target each, one turn of about 1.2 ms of Redis.
    public var batchPushesMax = 1000
    /// Targets of all pushes of a batch: two and a half turns, 12 ms of Redis. With the bytes of a batch it bounds
    /// what one request may cost.
    public var batchTargetsMax = 10_000
    /// The body of a batch: 1,000 pushes of 2 KiB. A turn sends at most 1 MiB, so a larger one takes several.
    public var batchBytesMax = 2 * 1024 * 1024
    /// Targets of one push. 1,000 look-ups are one pipelined turn of about 1.2 ms of Redis.
    public var targetsMax = 1000
    /// Excluded keys of one push: each socket of a room is compared with them.
    public var excludesMax = 100
    /// Nesting of JSON, ours and the payload's: a stack frame each, far below a thread's 512 KiB.
    public var jsonDepthMax = 64
    /// An event's name, in bytes: it is repeated in each delivery.
    public var eventBytesMax = 128
    /// What a client may say in one frame: our own frames are below 40 KiB (128 rooms of 128 bytes, twice).
    public var clientFrameBytesMax = 64 * 1024
    /// Rooms of one connection: 128 × about 100 bytes of hub is 12.5 KiB at the worst.
    public var roomsPerConnectionMax = 128
    /// Names of one node's members of one room that are listed in Redis, where 10,000 are about 1 MiB; further
    /// members are only counted. 0 lists none.
    public var listedMembersMax = 10_000
    /// Members on one page: 1,000 names are about 60 KiB of JSON.
    public var membersPageMax = 1000
    /// Messages on one page of an inbox; a page ends after 1 MiB in any case.
    public var inboxPageMax = 1000
    /// What one durable push may write into all its inboxes together: 60 ms of Redis, 1 ms for
    /// 256 KiB.
    public var durableBytesMax = 16 * 1024 * 1024
    /// Rooms of one "largest rooms": up to 1,000 candidates are looked up for it.
    public var largestRoomsMax = 100
    /// Nodes that are named to a client: it tries one after the other.
    public var nodesChosenMax = 10
    /// Pushes that wait in one logic process: 10,000 of 1 KiB are 10 MiB, and a fifth of a second of work.
    public var pushesWaitingMax = 10_000

    /// How long a mapping lives without renewal: three renewals, so that two may be lost.
    public var routeTTL: Duration = .seconds(120)
    public var routeRenewal: Duration = .seconds(40)
    /// How long a node's lease lives without renewal: a crash is known after this, and three renewals fit.
    public var leaseTTL: Duration = .seconds(10)
    public var leaseRenewal: Duration = .seconds(3)
    /// How long a client may take to say `connect` when the upgrade's address does not say who it is.
    public var connectDeadline: Duration = .seconds(10)
    /// How long a push waits for Redis before it answers 503, and for its confirmation unless it says otherwise.
    public var pushDeadline: Duration = .seconds(3)
    /// The longest `deadline_ms` of a push: its request stays open for so long.
    public var confirmDeadlineMax: Duration = .seconds(30)
    /// Frames of one node whose writing or acknowledgement is awaited: 100,000 of about 100 bytes are 10 MB. What
    /// comes beyond is delivered and not counted as written.
    public var receiptsAwaitedMax = 100_000
    /// How long a push that asks for `routed` is looked up again when a node did not listen, unless it names a
    /// deadline: a node that lost its subscription has it back after some 100 ms, and 25, 50, 100 and 200 ms of
    /// pauses fit.
    public var routedSearchMax: Duration = .milliseconds(400)
    /// How long a request with an idempotency key, and its answer, are remembered in Redis: about 600 bytes each
    /// with one target.
    public var idempotencyMemory: Duration = .seconds(300)
    /// Pushes that one logic process can tell the story of, and their memory: at 200 a second the last five
    /// minutes, at 5,000 a second the last 13 s. 600 bytes each with one target, and its payload for the 3 s in
    /// which it may have to be sent on: 15,000 payloads of 300 bytes at 5,000 a second are 4.5 MB.
    public var pushesRememberedMax = 65_536
    public var pushesRememberedBytesMax = 48 * 1024 * 1024

    public init() {}
    public static let standard = Limits()
}
