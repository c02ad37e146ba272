// What the bus on Redis keeps, and how patient it is.
//
// The hop's memory. A node that is sent 1,600 envelopes of 1 KiB a second fills `hopEntriesMax` in ten seconds, which
// is as long as its lease, and holds 16 MiB in Redis, which is `hopBytesMax`; at 100 a second `hopAgeMax` bounds it at
// 6,000 entries and 6 MiB. Bytes are counted with each 256th message and with each that is 1/256 of the bound, so
// that not even twice `hopBytesMax` lies there in between. Redis trims whole nodes of the stream (`~`): up to 100
// entries or 4 KiB stay beyond that.

/// Every bound of the bus on Redis, on one page.
public struct RedisBusLimits: Sendable, Equatable {
    /// Messages that a node's hop keeps: what a busy node gets in ten seconds.
    public var hopEntriesMax = 16_384
    /// Bytes of them in Redis. A message that is larger alone is not kept: who misses it is told a gap.
    public var hopBytesMax = 16 * 1024 * 1024
    /// How long a message is kept at most: long enough for a Redis that restarts with its data and a node that
    /// was frozen for some leases.
    public var hopAgeMax: Duration = .seconds(60)
    /// How long the hop of a node that is gone stays. Like the node's own hash.
    public var hopLinger: Duration = .seconds(3600)
    /// Messages that are read from the hop in one reply. They hold less than twice `hopBytesMax`, which is below
    /// what one reply may.
    public var hopPage = 64
    /// Bytes that arrive while the hop is read, and wait for it. What is beyond is read from the hop as well.
    public var heldBytesMax = 16 * 1024 * 1024
    /// The wait before a read of the hop, or the first probe of a subscription, is tried again.
    public var retryPause: Duration = .milliseconds(100)
    /// A listener that got nothing for so long probes its subscription. A starved one is given up after this and
    /// `probePatience`, and is back before twice this is over.
    public var probeInterval: Duration = .seconds(2)
    /// A probe that Redis took must arrive within this; what arrives before it counts as well.
    public var probePatience: Duration = .seconds(1)

    public init() {}
}
