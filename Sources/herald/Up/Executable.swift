import Glibc

/// Programs in the file system.
enum Executable {
    /// This program, whatever it was called by.
    static let path: String = {
        var buffer = [UInt8](repeating: 0, count: Int(PATH_MAX))
        let count = buffer.withUnsafeMutableBytes { bytes in
            bytes.bindMemory(to: CChar.self).baseAddress.map { readlink("/proc/self/exe", $0, bytes.count) }
                ?? -1
        }
        guard count > 0 else { return "/proc/self/exe" }
        return String(decoding: buffer[..<count], as: UTF8.self)
    }()

    /// - Parameter name: a path, or a name to look for in PATH.
    /// - Returns: the path of a program that can be run.
    static func find(_ name: String) -> String? {
        if name.contains("/") { return access(name, X_OK) == 0 ? name : nil }
        let folders = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
        return folders.split(separator: ":").map { "\($0)/\(name)" }.first { access($0, X_OK) == 0 }
    }
}
