/// What a client that follows its user's inbox has seen so far.
public enum ResumeRequest: Hashable, Sendable {
    /// Nothing that it remembers: it begins at the end of the inbox.
    case fresh
    /// Everything up to here.
    case after(InboxPosition)

    public var position: InboxPosition? {
        if case .after(let position) = self { position } else { nil }
    }
}

/// Where a client stands in its user's inbox, as a node tells it.
public struct InboxStart: Hashable, Sendable {
    public var position: InboxPosition
    /// Whether all that came after the place which the client gave follows, or there is nothing. False: something
    /// is missing, or the client gave no place; it should load its state anew.
    public var isRecovered: Bool

    public init(position: InboxPosition, isRecovered: Bool) {
        self.position = position
        self.isRecovered = isRecovered
    }
}
