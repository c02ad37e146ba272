/// A place in an inbox: offsets count up within an epoch, a new epoch begins when the history was lost.
public struct InboxPosition: Hashable, Sendable, CustomStringConvertible {
    /// Redis's time in milliseconds when this history began; never 0, so that a reader who has seen nothing and
    /// does not know the epoch either may say 0.0 and is told that it cannot be continued.
    public var epoch: UInt64
    /// Of the last message seen; 0 before the first.
    public var offset: UInt64

    public init(epoch: UInt64, offset: UInt64) {
        self.epoch = epoch
        self.offset = offset
    }

    /// `1712345678901.42`
    public var description: String { "\(epoch).\(offset)" }

    /// Reads what `description` writes; nil for anything else.
    public init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let epoch = UInt64(parts[0]), let offset = UInt64(parts[1]) else {
            return nil
        }
        self.init(epoch: epoch, offset: offset)
    }
}

/// Whose messages an inbox keeps.
public enum InboxOwner: Hashable, Sendable, CustomStringConvertible {
    case user(UserID)
    case room(RoomID)

    public var description: String {
        switch self {
        case .user(let user): user.description
        case .room(let room): "room \(room)"
        }
    }
}

/// A message as an inbox keeps it.
public struct InboxMessage: Hashable, Sendable {
    public var position: InboxPosition
    public var push: PushID
    public var message: Message
    /// When it was stored.
    public var at: RedisTime

    public init(position: InboxPosition, push: PushID, message: Message, at: RedisTime) {
        self.position = position
        self.push = push
        self.message = message
        self.at = at
    }
}

/// A message to be kept.
public struct InboxAppend: Hashable, Sendable {
    public var owner: InboxOwner
    public var push: PushID
    public var message: Message
    /// Whether this push may have been appended before: then it is looked for among the last ones first.
    public var isRepeat: Bool

    public init(owner: InboxOwner, push: PushID, message: Message, isRepeat: Bool = false) {
        self.owner = owner
        self.push = push
        self.message = message
        self.isRepeat = isRepeat
    }
}

/// What a reader who has seen everything up to a place has to be shown.
public struct InboxPage: Hashable, Sendable {
    /// Whether `messages` begin right after the place that was asked for. False: the history does not reach back so
    /// far, was lost, or belongs to another run of Redis; then `read` has no messages, and the reader starts anew
    /// from `head`.
    public var isContinuous: Bool
    public var messages: [InboxMessage]
    /// The end of the inbox when this was read.
    public var head: InboxPosition

    public init(isContinuous: Bool, messages: [InboxMessage], head: InboxPosition) {
        self.isContinuous = isContinuous
        self.messages = messages
        self.head = head
    }
}

/// How long and how much an inbox keeps.
public struct InboxRetention: Hashable, Sendable {
    /// The newest messages of one inbox that are kept at least: 1,000 of 1 KiB are 1.3 MiB of Redis. A few older
    /// ones may stay a while, because Redis frees them by the block of 100 or 4 KiB.
    public var countMax = 1000
    /// How old a message may become. Older ones go with the next message; an inbox that nobody writes to ends
    /// within a sixteenth after it.
    public var age: Duration = .seconds(7 * 86_400)

    public init() {}
    public static let standard = InboxRetention()
}

/// The durable messages of users and rooms (DESIGN.md §6).
///
/// Offsets of one inbox are handed out in one step with the storing, so they give one order to what several
/// processes append. They are consecutive except where another run of Redis begins (a restart, another master), which
/// may have lost the last writes of the one before. There they jump by `InboxPosition.jump`, so that no offset ever
/// names two messages, and no reader from before the jump is told that it missed nothing: what was stored and lost
/// between two messages that are there leaves no other trace.
public protocol Inbox: Sendable {
    /// Stores messages, each in its inbox, in one turn on the wire.
    ///
    /// - Returns: the place of each, in order, or why just that one was not stored.
    /// - Throws: whether any was stored is not known then; append them again as repeats.
    func append(
        _ messages: [InboxAppend]
    ) async throws(InboxError) -> [Result<InboxPlace, InboxError>]

    /// What came after a place, oldest first, when all of it is there.
    ///
    /// - Parameters:
    ///   - owner: any; one without messages gets an empty inbox, whose epoch begins with this call: so a reader
    ///     who came before the first message misses none.
    ///   - position: what the reader has seen; nil: it only wants to know the end.
    ///   - limit: at most so many messages; at least 1. Fewer come when they are large.
    /// - Returns: a page; when its last message is not at `head`, there is more. Continuous for nil.
    /// - Throws: why the inbox did not answer.
    func read(
        _ owner: InboxOwner,
        after position: InboxPosition?,
        limit: Int
    ) async throws(InboxError) -> InboxPage

    /// The messages that are kept after a place, for somebody who looks: also when some are missing there.
    ///
    /// - Parameters:
    ///   - owner: any.
    ///   - position: the page begins behind it; nil, or a place of another epoch: with the oldest.
    ///   - limit: as in `read`.
    /// - Returns: a page; it is continuous when nothing is missing right behind `position`.
    /// - Throws: why the inbox did not answer.
    func browse(
        _ owner: InboxOwner,
        after position: InboxPosition?,
        limit: Int
    ) async throws(InboxError) -> InboxPage

    /// Forgets all messages; a new epoch begins.
    func delete(_ owner: InboxOwner) async throws(InboxError)
}

extension InboxPosition {
    /// By how much offsets jump where another run of Redis begins: more than one run's lost writes to one inbox.
    public static let jump: UInt64 = 1_000_000
}

/// Where a message was stored.
public struct InboxPlace: Hashable, Sendable {
    public var position: InboxPosition
    /// False: it is a repeat, and was found where it was stored before.
    public var isNew: Bool

    public init(position: InboxPosition, isNew: Bool) {
        self.position = position
        self.isNew = isNew
    }
}

/// Why an inbox did not answer.
public enum InboxError: Error, Equatable, CustomStringConvertible {
    /// Out of reach or too slow; try again after a moment.
    case unavailable(String)
    /// Redis has no memory left: nothing can be kept until it has.
    case full(String)
    /// What stands there is not Herald's: for the operator.
    case corrupt(String)

    public var description: String {
        switch self {
        case .unavailable(let reason): "the inbox is out of reach: \(reason)"
        case .full(let reason): "the inbox cannot keep more: \(reason)"
        case .corrupt(let reason): "the inbox answered what it should not: \(reason)"
        }
    }
}
