import Glibc

/// The folder of a local run: pid files, logs, Redis's configuration. Everything `up` leaves behind is in it.
final class RunDirectory: Sendable {
    let path: String
    /// Held for as long as this process lives: the kernel gives it back, however it ends.
    private let lock: Int32

    /// Makes the folder and takes it.
    ///
    /// - Throws: `Failure` when it cannot be made, or another `up` uses it.
    init(_ path: String) throws(Failure) {
        var made = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            made += "/\(part)"
            guard mkdir(made, 0o755) == 0 || errno == EEXIST else {
                throw Failure(
                    .failed,
                    "the folder \(made) cannot be made: \(String(cString: strerror(errno)))"
                )
            }
        }
        guard let absolute = realpath(path, nil) else {
            throw Failure(.failed, "the folder \(path) cannot be used: \(String(cString: strerror(errno)))")
        }
        defer { free(absolute) }
        self.path = String(cString: absolute)
        lock = open("\(self.path)/up.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else {
            throw Failure(.failed, "\(path) cannot be written to: \(String(cString: strerror(errno)))")
        }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            throw Failure(.failed, "another `herald up` runs in \(path); stop it or choose another --dir")
        }
    }

    func log(of name: String) -> String { "\(path)/\(name).log" }

    /// An older run's log goes when a new run begins.
    func clearLog(of name: String) { unlink(log(of: name)) }

    func write(pid: pid_t, of name: String) { try? write("\(pid)\n", to: "\(name).pid") }

    func removePid(of name: String) { unlink("\(path)/\(name).pid") }

    /// Writes a file so that a reader sees all of it or none.
    func write(_ text: String, to name: String) throws(Failure) {
        let target = "\(path)/\(name)"
        let draft = "\(target).new"
        let file = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard file >= 0 else {
            throw Failure(.failed, "\(draft) cannot be written: \(String(cString: strerror(errno)))")
        }
        Console.write(Array(text.utf8), to: file)
        close(file)
        guard rename(draft, target) == 0 else {
            throw Failure(.failed, "\(target) cannot be written: \(String(cString: strerror(errno)))")
        }
    }

    /// - Returns: the last lines of a program's log, without those that are empty.
    func lastLines(of name: String, max: Int = 5) -> [String] {
        guard let text = try? FileContents.text(of: log(of: name)) else { return [] }
        return text.split(whereSeparator: \.isNewline).suffix(max).map(String.init)
    }
}
