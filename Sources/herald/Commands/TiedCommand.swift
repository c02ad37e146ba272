import ArgumentParser
// sigset_t: glibc's header for it has no module of its own and counts to this one.
import CEpoll
import CProcess
import Glibc

/// Turns into another program that dies with the process that started it, however that one dies.
///
/// `PR_SET_PDEATHSIG` survives `exec` and is bound to the thread that made the child, which `ChildProcess` keeps
/// for the child's life. A parent that died before the call is noticed by the pid: no moment is left in
/// which both could go wrong.
struct TiedCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tied",
        abstract: "Used by `up`.",
        shouldDisplay: false
    )

    @Option var parent: Int32
    @Argument(parsing: .postTerminator) var command: [String]

    func run() throws {
        guard cprocess_signal_on_parent_death(SIGKILL) == 0 else {
            throw Failure(.failed, "cannot be tied to process \(parent): \(String(cString: strerror(errno)))")
        }
        guard getppid() == parent else { throw Failure(.failed, "process \(parent) has ended") }
        guard let program = command.first else { throw Failure(.usage, "no program is given") }
        // Commands run on threads of Swift's pool, which block signals; a program keeps the mask over `exec`.
        var none = sigset_t()
        sigemptyset(&none)
        pthread_sigmask(SIG_SETMASK, &none, nil)
        var words = command.map { strdup($0) }
        words.append(nil)
        execvp(program, words)
        let reason = String(cString: strerror(errno))
        throw Failure(.failed, "\(program) cannot be started: \(reason)")
    }
}
