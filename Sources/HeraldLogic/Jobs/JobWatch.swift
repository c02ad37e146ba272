import HeraldCore
import ServiceLifecycle
import Synchronization

/// Counts the jobs every two seconds, for `/metrics`: however often that is read, the queue is asked no more.
final class JobWatch<Time: Clock>: Service where Time.Duration == Duration {
    private let queue: any JobQueue
    private let clock: Time
    private let latest = Mutex<JobCounts?>(nil)

    init(queue: any JobQueue, clock: Time) {
        self.queue = queue
        self.clock = clock
    }

    /// As of the last time that the queue was asked; nil while it does not answer.
    var counts: JobCounts? { latest.withLock { $0 } }

    func run() async {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let counts = try? await self.queue.counts()
                self.latest.withLock { $0 = counts }
                try? await self.clock.sleep(
                    until: self.clock.now.advanced(by: .seconds(2)),
                    tolerance: nil
                )
            }
        }
    }
}
