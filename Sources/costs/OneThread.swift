import Glibc
import HeraldLogic
import Synchronization

/// Runs tasks one after the other, on the thread that calls `serve`: what they do is then the same in every run.
final class OneThread: WorkExecutor {
    private enum Work {
        case job(UnownedJob)
        case function(@Sendable () -> Void)
    }

    private struct State {
        var jobs: [Work] = []
        var outcome: Result<Void, any Error>?
    }

    private let state = Mutex(State())
    private let semaphore = Semaphore()

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        add(.job(job))
    }

    func run(_ work: @escaping @Sendable () -> Void) { add(.function(work)) }

    private func add(_ work: Work) {
        state.withLock { $0.jobs.append(work) }
        semaphore.give()
    }

    /// Works until `finish`.
    func serve() throws {
        while true {
            semaphore.take()
            let (job, outcome) = state.withLock { state in
                (state.jobs.isEmpty ? nil : state.jobs.removeFirst(), state.outcome)
            }
            if let outcome { return try outcome.get() }
            switch job {
            case .job(let job): job.runSynchronously(on: asUnownedTaskExecutor())
            case .function(let work): work()
            case nil: break
            }
        }
    }

    func finish(_ outcome: Result<Void, any Error>) {
        state.withLock { $0.outcome = outcome }
        semaphore.give()
    }
}

/// Counts what may be taken; who finds nothing sleeps.
// Safe because POSIX lets any thread call on it, and it does not move: made in `init`, freed in `deinit`.
private final class Semaphore: @unchecked Sendable {
    private let raw = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)

    init() { sem_init(raw, 0, 0) }

    deinit {
        sem_destroy(raw)
        raw.deallocate()
    }

    func give() { sem_post(raw) }

    func take() {
        while sem_wait(raw) < 0, errno == EINTR {}
    }
}
