// sigset_t: glibc's header for it has no module of its own and counts to this one.
import CEpoll
import CProcess
import Glibc
import Synchronization

/// A process that this one started, on its main thread; a thread of its own waits for its end and tells of it.
final class ChildProcess: Sendable {
    /// How a process ended.
    enum Exit: Equatable, Sendable, CustomStringConvertible {
        case code(Int32)
        case signal(Int32)
        /// It could not be started.
        case never(String)

        var description: String {
            switch self {
            case .code(let code): "ended with exit code \(code)"
            case .signal(let number): "was killed by signal \(number) (\(String(cString: strsignal(number))))"
            case .never(let reason): "could not be started: \(reason)"
            }
        }
    }

    let name: String
    let logPath: String
    private let state = Mutex(State())

    private struct State {
        var pid: pid_t?
        var exit: Exit?
    }

    private init(name: String, logPath: String) {
        self.name = name
        self.logPath = logPath
    }

    /// Starts a program, tied to this process, with its output appended to a log.
    ///
    /// What it is given:
    /// - `words`: the program (looked for in PATH) and its arguments.
    /// - `started`: called with its pid, on the main thread.
    /// - `ended`: called once, on a thread of its own.
    static func start(
        name: String,
        words: [String],
        logPath: String,
        started: @escaping @Sendable (pid_t) -> Void,
        ended: @escaping @Sendable (Exit) -> Void
    ) -> ChildProcess {
        let child = ChildProcess(name: name, logPath: logPath)
        let tied = [Executable.path, "tied", "--parent", String(getpid()), "--"] + words
        MainThread.post {
            do throws(SpawnError) {
                let pid = try spawn(tied, logPath: logPath)
                child.state.withLock { $0.pid = pid }
                started(pid)
                try onThread { child.awaitEnd(of: pid, ended) }
            } catch {
                child.end(.never(error.description), ended)
            }
        }
        return child
    }

    /// Runs work that blocks.
    private static func onThread(_ work: @escaping @Sendable () -> Void) throws(SpawnError) {
        let box = Unmanaged.passRetained(Box(work))
        var thread = pthread_t()
        let failure = pthread_create(
            &thread,
            nil,
            { raw in
                // Taken back from `passRetained` above: this thread is the one owner.
                if let raw {
                    Unmanaged<Box<@Sendable () -> Void>>.fromOpaque(raw).takeRetainedValue().value()
                }
                return nil
            },
            box.toOpaque()
        )
        guard failure == 0 else {
            box.release()
            throw SpawnError(description: String(cString: strerror(failure)))
        }
        pthread_detach(thread)
    }

    /// How it ended; nil while it lives.
    var exit: Exit? { state.withLock { $0.exit } }

    /// Sends it a signal, if it still lives: a pid that was waited for may be another's.
    func signal(_ number: Int32) {
        state.withLock { state in
            if state.exit == nil, let pid = state.pid { kill(pid, number) }
        }
    }

    private func awaitEnd(of pid: pid_t, _ ended: (Exit) -> Void) {
        // Waits without reaping, so that `signal` never meets a pid that was given away.
        var info = siginfo_t()
        while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) < 0, errno == EINTR {}
        var status: Int32 = 0
        state.withLock { state in
            while waitpid(pid, &status, 0) < 0, errno == EINTR {}
            state.exit = status & 0x7F == 0 ? .code(status >> 8 & 0xFF) : .signal(status & 0x7F)
        }
        if let exit { ended(exit) }
    }

    private func end(_ exit: Exit, _ ended: (Exit) -> Void) {
        state.withLock { $0.exit = exit }
        ended(exit)
    }

    private struct SpawnError: Error, CustomStringConvertible {
        var description: String
    }

    /// In a process group of its own, so that Ctrl-C in a terminal reaches only `up`, which stops all in order.
    private static func spawn(_ words: [String], logPath: String) throws(SpawnError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(
            &actions,
            STDOUT_FILENO,
            logPath,
            O_WRONLY | O_CREAT | O_APPEND,
            0o644
        )
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        cprocess_close_from(&actions, STDERR_FILENO + 1)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        let flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var arguments = words.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        arguments.append(nil)
        var pid: pid_t = 0
        let failure = posix_spawn(&pid, words[0], &actions, &attributes, arguments, environ)
        guard failure == 0 else { throw SpawnError(description: String(cString: strerror(failure))) }
        return pid
    }
}

/// Carries a value through a C pointer.
private final class Box<Value> {
    let value: Value

    init(_ value: Value) { self.value = value }
}
