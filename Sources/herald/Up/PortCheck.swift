import Glibc

/// Asks the kernel whether a port can be had, before a process is started that would only say "address in use".
enum PortCheck {
    /// - Parameters:
    ///   - host: a numeric IPv4 or IPv6 address, or `localhost`; for anything else nothing is checked.
    ///   - port: 0 is always free.
    ///   - user: who wants it, for the error.
    /// - Throws: `Failure` that names the port.
    static func check(host: String, port: Int, for user: String) throws(Failure) {
        guard port != 0,
            let reason = obstacle(host: host == "localhost" ? "127.0.0.1" : host, port: UInt16(port))
        else { return }
        let hint = reason == EADDRINUSE ? "is in use" : "cannot be had: \(String(cString: strerror(reason)))"
        throw Failure(.failed, "port \(port) on \(host), for \(user), \(hint)")
    }

    /// - Returns: `errno` of a bind and listen without sharing; nil when they work.
    private static func obstacle(host: String, port: UInt16) -> Int32? {
        var four = sockaddr_in()
        four.sin_family = sa_family_t(AF_INET)
        four.sin_port = port.bigEndian
        if inet_pton(AF_INET, host, &four.sin_addr) == 1 { return attempt(&four, AF_INET) }
        var six = sockaddr_in6()
        six.sin6_family = sa_family_t(AF_INET6)
        six.sin6_port = port.bigEndian
        if inet_pton(AF_INET6, host, &six.sin6_addr) == 1 { return attempt(&six, AF_INET6) }
        return nil
    }

    private static func attempt<Address>(_ address: inout Address, _ family: Int32) -> Int32? {
        let descriptor = socket(family, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return errno }
        defer { close(descriptor) }
        // Old connections that wait out their time do not count; a listener does.
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<Address>.size))
            }
        }
        guard bound == 0, listen(descriptor, 1) == 0 else { return errno }
        return nil
    }
}
