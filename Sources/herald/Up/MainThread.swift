import Glibc
import Synchronization

/// The process' first thread, which does nothing but what is posted to it.
///
/// Children are started here: the kernel sends the parent-death signal (`TiedCommand`) when the *thread* that made
/// the child ends, and the threads of Swift's pool come and go. And `/proc/PID/task/PID/children` then lists them,
/// where tools look for them.
enum MainThread {
    private static let jobs = Mutex<[@Sendable () -> Void]>([])
    /// One byte for each job: a thread that reads sleeps until there is one.
    private static let ends = pipe()

    private static func pipe() -> (reading: Int32, writing: Int32) {
        var both: [Int32] = [-1, -1]
        // Both ends are closed in children: they get no descriptor above standard error.
        precondition(Glibc.pipe(&both) == 0, "a process has room for a pipe when it starts")
        return (both[0], both[1])
    }

    /// Does what is posted, in order, for as long as the process lives.
    static func serve() -> Never {
        var byte: UInt8 = 0
        while true {
            guard read(ends.reading, &byte, 1) == 1 else { continue }
            let job = jobs.withLock { $0.isEmpty ? nil : $0.removeFirst() }
            job?()
        }
    }

    static func post(_ job: @escaping @Sendable () -> Void) {
        jobs.withLock { $0.append(job) }
        var byte: UInt8 = 0
        while write(ends.writing, &byte, 1) < 0, errno == EINTR {}
    }
}
