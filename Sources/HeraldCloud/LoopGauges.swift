import Synchronization

/// What one loop's sessions and fan-out have come to, for others to read: written by the loop once a turn, each
/// number by itself, so that nobody waits for anybody.
final class LoopGauges: Sendable {
    /// One plain copy.
    struct Values: Sendable {
        /// Sessions in any state.
        var sessions = 0
        /// Sessions whose client was told that it is connected.
        var live = 0
        var connected: UInt64 = 0
        var framesIn: UInt64 = 0
        var framesBad: UInt64 = 0
        var refusedOrigins: UInt64 = 0
        var refusedQueries: UInt64 = 0
        var fanOut = FanOutCounts()
        var waitingBytes = 0
    }

    /// Bytes of waiting batches beyond which the inbox drops what comes for this loop: some seconds of work.
    static let waitingBytesMax = 64 * 1024 * 1024

    /// Who is there; nil on the only loop, which gets everything.
    let directory: LoopDirectory?
    /// Bytes of batches handed to the loop and not yet sent; the inbox adds, the loop takes away.
    let waitingBytes = Atomic<Int>(0)
    private let sessions = Atomic<Int>(0)
    private let live = Atomic<Int>(0)
    private let connected = Atomic<UInt64>(0)
    private let framesIn = Atomic<UInt64>(0)
    private let framesBad = Atomic<UInt64>(0)
    private let refusedOrigins = Atomic<UInt64>(0)
    private let refusedQueries = Atomic<UInt64>(0)
    private let deliveries = Atomic<UInt64>(0)
    private let frames = Atomic<UInt64>(0)
    private let dropped = Atomic<UInt64>(0)
    private let yielded = Atomic<UInt64>(0)
    private let collapsed = Atomic<UInt64>(0)
    private let missed = Atomic<UInt64>(0)
    private let unfollowed = Atomic<UInt64>(0)
    private let inboxResets = Atomic<UInt64>(0)
    private let inboxSkipped = Atomic<UInt64>(0)
    private let inboxShown = Atomic<UInt64>(0)

    init(directory: LoopDirectory? = nil) { self.directory = directory }

    /// To be called by the loop only.
    func publish(_ values: Values) {
        sessions.store(values.sessions, ordering: .relaxed)
        live.store(values.live, ordering: .relaxed)
        connected.store(values.connected, ordering: .relaxed)
        framesIn.store(values.framesIn, ordering: .relaxed)
        framesBad.store(values.framesBad, ordering: .relaxed)
        refusedOrigins.store(values.refusedOrigins, ordering: .relaxed)
        refusedQueries.store(values.refusedQueries, ordering: .relaxed)
        deliveries.store(values.fanOut.deliveries, ordering: .relaxed)
        frames.store(values.fanOut.frames, ordering: .relaxed)
        dropped.store(values.fanOut.dropped, ordering: .relaxed)
        yielded.store(values.fanOut.yielded, ordering: .relaxed)
        collapsed.store(values.fanOut.collapsed, ordering: .relaxed)
        missed.store(values.fanOut.missed, ordering: .relaxed)
        unfollowed.store(values.fanOut.unfollowed, ordering: .relaxed)
        inboxResets.store(values.fanOut.inboxResets, ordering: .relaxed)
        inboxSkipped.store(values.fanOut.inboxSkipped, ordering: .relaxed)
        inboxShown.store(values.fanOut.inboxShown, ordering: .relaxed)
    }

    func add(to values: inout Values) {
        values.sessions += sessions.load(ordering: .relaxed)
        values.live += live.load(ordering: .relaxed)
        values.connected += connected.load(ordering: .relaxed)
        values.framesIn += framesIn.load(ordering: .relaxed)
        values.framesBad += framesBad.load(ordering: .relaxed)
        values.refusedOrigins += refusedOrigins.load(ordering: .relaxed)
        values.refusedQueries += refusedQueries.load(ordering: .relaxed)
        values.fanOut.deliveries += deliveries.load(ordering: .relaxed)
        values.fanOut.frames += frames.load(ordering: .relaxed)
        values.fanOut.dropped += dropped.load(ordering: .relaxed)
        values.fanOut.yielded += yielded.load(ordering: .relaxed)
        values.fanOut.collapsed += collapsed.load(ordering: .relaxed)
        values.fanOut.missed += missed.load(ordering: .relaxed)
        values.fanOut.unfollowed += unfollowed.load(ordering: .relaxed)
        values.fanOut.inboxResets += inboxResets.load(ordering: .relaxed)
        values.fanOut.inboxSkipped += inboxSkipped.load(ordering: .relaxed)
        values.fanOut.inboxShown += inboxShown.load(ordering: .relaxed)
        values.waitingBytes += waitingBytes.load(ordering: .relaxed)
    }
}
