/// How much a client may still ask: a bucket that fills with time, 8 bytes a socket.
///
/// A frame costs by what it makes the node do. An honest client never sees the limit: it pings every few seconds
/// and joins its rooms at the start.
struct Allowance: Hashable, Sendable {
    /// A ping, or anything else that ends on its loop.
    static let cheap: Int32 = 1
    /// Something that reaches Redis: 100 a second after the first 400.
    static let costly: Int32 = 5
    /// A frame that was refused.
    static let faulty: Int32 = 20

    private static let most: Int32 = 2000
    private static let perSecond: Int64 = 500

    private var level: Int32 = Self.most
    /// When it was last filled, in quarters of a second.
    private var filled: UInt32 = 0

    /// - Returns: false when there is not enough left; the client floods.
    mutating func spend(_ cost: Int32, at now: Moment) -> Bool {
        let quarter = UInt32(truncatingIfNeeded: now.milliseconds / 250)
        if quarter != filled {
            let quarters = Int64(quarter &- filled)
            level = Int32(min(Int64(Self.most), Int64(level) + quarters * Self.perSecond / 4))
            filled = quarter
        }
        guard level >= cost else { return false }
        level -= cost
        return true
    }
}
