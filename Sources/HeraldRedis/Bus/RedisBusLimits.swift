// What the bus on Redis keeps, and how patient it is.
//
// The hop's memory. A node that is sent 1,600 envelopes of 512 bytes a second fills `hopEntriesMax` in ten seconds,
// which is as long as its lease, and holds 8 MiB in Redis, which is `hopBytesMax`; at 100 a second `hopAgeMax`
// bounds it at 6,000 entries and 3 MiB. Bytes are not counted: each message leaves as many entries as there would
// be room for if all were of its size. So of entries with s bytes or more there are `hopBytesMax / s` at most, and
// summed over all sizes from 512 bytes to 8 MiB no mixture holds more than 1 + ln(16,384) = 11 times `hopBytesMax`;
// one change from large messages to small ones, twice. Redis trims whole nodes of the stream (`~`): up to 100
// entries or 4 KiB stay beyond that.

/// Every bound of the bus on Redis, on one page.
public struct RedisBusLimits: Sendable, Equatable {
    /// Messages that a node's hop keeps: what a busy node gets in ten seconds.
    public var hopEntriesMax = 16_384
    /// Bytes of them, roughly. A message that is larger alone is not kept: who misses it is told a gap.
    public var hopBytesMax = 8 * 1024 * 1024
    /// How long a message is kept at most: long enough for a Redis that restarts with its data and a node that
    /// was frozen for some leases.
    public var hopAgeMax: Duration = .seconds(60)
    /// How long the hop of a node that is gone stays. Like the node's own hash.
    public var hopLinger: Duration = .seconds(3600)
    /// Messages that are read from the hop in one reply. Of the largest ones 64 hold less than 5 times
    /// `hopBytesMax` (1 + 1/2 + … + 1/64), which is below what one reply may hold.
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
