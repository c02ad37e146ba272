/// What becomes of a push at a connection that reads too slowly: its messages wait in the connection's queue, which is
/// bounded. By default they wait until the queue is full, and the client is then told to come back.
///
/// Neither is for durable pushes: what was taken out of a queue would be a gap to whoever follows the inbox, and be
/// read from there again.
public struct QueuePolicy: Hashable, Sendable {
    /// Of the messages with the same key that wait at a connection, and that came by the same room or by none, only
    /// the newest is kept.
    public var collapseKey: CollapseKey?
    /// Whether it is left out where too much waits.
    public var isDroppable: Bool

    public init(collapseKey: CollapseKey? = nil, isDroppable: Bool = false) {
        self.collapseKey = collapseKey
        self.isDroppable = isDroppable
    }

    /// Every message waits.
    public static let standard = QueuePolicy()
}
