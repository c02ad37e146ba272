/// Names a socket: its loop, its slot there, and which tenant of the slot is meant.
///
/// A slot is used again after its socket is gone; the generation then differs, so a stale id names nothing
/// and every call with it answers `.gone` or does nothing.
public struct SocketID: Hashable, Sendable {
    /// All three parts in one word: loop (8 bits), slot (24), generation (32), from the top.
    public let rawValue: UInt64

    /// At most this many loops fit into an id.
    static let loopsMax = 1 << 8
    /// At most this many slots of one loop fit into an id.
    static let slotsMax = 1 << 24

    init(loop: Int, slot: Int, generation: UInt32) {
        precondition(loop >= 0 && loop < Self.loopsMax, "a loop number has 8 bits")
        precondition(slot >= 0 && slot < Self.slotsMax, "a slot number has 24 bits")
        rawValue = UInt64(loop) << 56 | UInt64(slot) << 32 | UInt64(generation)
    }

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    /// The loop that serves the socket for life; an index into `SocketEngine.ports`.
    public var loop: Int { Int(truncatingIfNeeded: rawValue >> 56) }

    /// The socket's place on its loop: small, dense and reused, so a handler may keep parallel arrays by it.
    public var slot: Int { Int(truncatingIfNeeded: rawValue >> 32) & 0xFF_FFFF }

    /// Grows each time the slot changes hands. Zero is never a socket's.
    var generation: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
}
