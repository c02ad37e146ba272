import Glibc
import Synchronization

/// Ports of the loopback for servers that cannot be told to choose one themselves.
public enum FreePorts {
    public struct NoneFree: Error {}

    /// Below the kernel's ephemeral range, so that no outgoing connection takes one meanwhile; each process
    /// starts somewhere else, so that two test runs rarely meet.
    private static let range = 20_000..<32_000
    private static let next = Mutex(range.lowerBound + Int(getpid()) * 64 % range.count)

    /// Some ports in a row that nobody listens on, never the same twice in one process.
    ///
    /// - Parameter count: how many.
    /// - Returns: the first of them.
    /// - Throws: `NoneFree` after one walk around the range.
    public static func take(_ count: Int = 1) throws -> Int {
        try next.withLock { next in
            for _ in 0..<range.count {
                if next + count > range.upperBound { next = range.lowerBound }
                if let taken = (next..<next + count).first(where: { !isFree($0) }) {
                    next = taken + 1
                } else {
                    defer { next += count }
                    return next
                }
            }
            throw NoneFree()
        }
    }

    private static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}
