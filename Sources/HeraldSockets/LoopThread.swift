import CEpoll
import Glibc
import Synchronization

/// A thread that runs one function and says when it has returned.
///
// Safe because a pthread_t is a name, and joining is done once, by the engine that made the thread.
struct LoopThread: @unchecked Sendable {
    private let thread: pthread_t

    /// Starts the thread. It takes no signals: those are for the program's own threads.
    init(name: String, group: LoopGroup, _ body: @escaping @Sendable () -> Void) throws(SocketEngineError) {
        let work = Unmanaged.passRetained(Work(name: name, group: group, body: body))
        var thread = pthread_t()
        group.started()
        let result = pthread_create(&thread, nil, runWork, work.toOpaque())
        guard result == 0 else {
            work.release()
            group.finished()
            throw .resources("start thread \(name)", errno: result)
        }
        self.thread = thread
    }

    /// Waits for the end of the thread, which is near once its group has finished.
    func join() {
        pthread_join(thread, nil)
    }
}

/// What a new thread is handed: retained for it by `LoopThread.init`, released by the thread.
private final class Work: Sendable {
    let name: String
    let group: LoopGroup
    let body: @Sendable () -> Void

    init(name: String, group: LoopGroup, body: @escaping @Sendable () -> Void) {
        self.name = name
        self.group = group
        self.body = body
    }
}

private func runWork(_ context: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let context else { return nil }
    let work = Unmanaged<Work>.fromOpaque(context).takeRetainedValue()
    var signals = sigset_t()
    sigfillset(&signals)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
    cepoll_name_thread(pthread_self(), work.name)
    work.body()
    work.group.finished()
    return nil
}

/// How many threads of an engine are running, and who waits for them.
final class LoopGroup: Sendable {
    private struct State {
        var running = 0
        var waiters: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func started() {
        state.withLock { $0.running += 1 }
    }

    func finished() {
        let waiters = state.withLock { state in
            state.running -= 1
            defer { if state.running == 0 { state.waiters = [] } }
            return state.running == 0 ? state.waiters : []
        }
        for waiter in waiters { waiter.resume() }
    }

    func allFinished() async {
        await withCheckedContinuation { waiter in
            let isOver = state.withLock { state in
                if state.running > 0 { state.waiters.append(waiter) }
                return state.running == 0
            }
            if isOver { waiter.resume() }
        }
    }
}
