import Glibc

/// A process of the system that is measured, and what the kernel tells of it.
struct WatchedProcess: Hashable, Sendable {
    enum Role: String, Hashable, Sendable, CaseIterable {
        case cloud, logic, redis
    }

    var role: Role
    var pid: Int32
}

/// What a process has used, by `/proc/PID/stat`.
struct ProcessUsage: Equatable, Sendable {
    var cpuMicroseconds: Double = 0
    var residentBytes = 0

    static func + (left: Self, right: Self) -> Self {
        Self(
            cpuMicroseconds: left.cpuMicroseconds + right.cpuMicroseconds,
            residentBytes: left.residentBytes + right.residentBytes
        )
    }

    init(cpuMicroseconds: Double = 0, residentBytes: Int = 0) {
        self.cpuMicroseconds = cpuMicroseconds
        self.residentBytes = residentBytes
    }

    /// Reads the one line of a `stat` file (proc_pid_stat(5)); nil when it is none.
    ///
    /// - Parameters:
    ///   - stat: the second word, in parentheses, may hold anything, blanks and parentheses too.
    ///   - ticksPerSecond: the unit of its times.
    ///   - pageBytes: the unit of its resident set.
    init?(stat: String, ticksPerSecond: Int, pageBytes: Int) {
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let words = stat[stat.index(after: end)...].split(whereSeparator: \.isWhitespace)
        // Behind the name the third field comes first: utime is the 14th, stime the 15th, rss the 24th.
        guard words.count > 21, let user = Int(words[11]), let system = Int(words[12]),
            let pages = Int(words[21])
        else { return nil }
        cpuMicroseconds = Double(user + system) * 1_000_000 / Double(ticksPerSecond)
        residentBytes = pages * pageBytes
    }

    /// What a process has used so far; nil when it is not there.
    static func of(_ pid: Int32) -> ProcessUsage? {
        guard let text = try? FileContents.text(of: "/proc/\(pid)/stat") else { return nil }
        return ProcessUsage(
            stat: text,
            ticksPerSecond: max(1, sysconf(Int32(_SC_CLK_TCK))),
            pageBytes: max(1, sysconf(Int32(_SC_PAGESIZE)))
        )
    }
}

/// Finds who listens on a port of this machine.
enum Listeners {
    /// The inodes of listening sockets by port, as `/proc/net/tcp` has them.
    static func inodes(in table: String, port: Int) -> Set<String> {
        var found: Set<String> = []
        for line in table.split(separator: "\n").dropFirst() {
            let words = line.split(separator: " ")
            guard words.count > 9, words[3] == "0A", let colon = words[1].lastIndex(of: ":"),
                Int(words[1][words[1].index(after: colon)...], radix: 16) == port
            else { continue }
            found.insert(String(words[9]))
        }
        return found
    }

    /// - Returns: the process that listens on a port; nil when there is none, or it is another user's.
    static func process(on port: Int) -> Int32? {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"].compactMap { try? FileContents.text(of: $0) }
        let links = Set(tables.flatMap { inodes(in: $0, port: port) }.map { "socket:[\($0)]" })
        guard !links.isEmpty else { return nil }
        return entries(of: "/proc").compactMap { Int32($0) }.first { pid in
            entries(of: "/proc/\(pid)/fd").contains {
                target(of: "/proc/\(pid)/fd/\($0)").map(links.contains) ?? false
            }
        }
    }

    private static func entries(of path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }

    private static func target(of link: String) -> String? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { buffer in
            guard let start = buffer.baseAddress else { return nil }
            let count = readlink(link, start, buffer.count)
            guard count > 0 else { return nil }
            return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }
}
