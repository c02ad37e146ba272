/// What a message is the newest state of. Equal ids mean the same; two that should differ are equal by a chance of
/// one in 2^64, drawn anew by each process, so that nobody can bring it about.
public struct CollapseID: Hashable, Sendable {
    /// Never zero.
    let rawValue: UInt64

    /// The id of a value, for this process only.
    public init(_ value: some Hashable) {
        rawValue = max(1, UInt64(bitPattern: Int64(value.hashValue)))
    }

    init?(rawValue: UInt64) {
        guard rawValue != 0 else { return nil }
        self.rawValue = rawValue
    }
}

/// What becomes of a message at a socket that reads too slowly. Kept with the frame; asked of it by
/// `SocketTable.offer`.
public struct FramePolicy: Hashable, Sendable {
    /// A newer message with the same id takes its place while it waits.
    public var collapse: CollapseID?
    /// It is left out where too much waits, and the socket stays open.
    public var isDroppable: Bool

    public init(collapse: CollapseID? = nil, isDroppable: Bool = false) {
        self.collapse = collapse
        self.isDroppable = isDroppable
    }

    /// It waits, and closes the socket when that is too much.
    public static let wait = FramePolicy()
}

/// What became of a frame given to `SocketTable.offer`.
public enum OfferOutcome: Sendable, Hashable {
    /// It waits for the end of the turn.
    case queued(Replacement)
    /// It was left out, because it may be and too much waits; what waited before still does.
    case dropped
    /// As in `SendOutcome`.
    case overflowed
    case gone

    /// What it took the place of.
    public enum Replacement: Sendable, Hashable {
        case nothing
        /// Of a frame that was not followed.
        case unfollowed
        /// Of one that was: so many that were sent to the socket followed after that one wait still. It will not be
        /// among those that `framesWritten` counts.
        case followed(behind: Int)
    }
}
