import HeraldCore
import Synchronization

/// The push ids of one process, for all that take pushes.
final class SharedPushIDs: Sendable {
    private let source: Mutex<PushIDSource>

    /// - Parameter random: what sets this process's ids apart from all others'.
    init(random: UInt64) { source = Mutex(PushIDSource(random: random)) }

    func next() -> PushID { source.withLock { $0.next() } }
}
