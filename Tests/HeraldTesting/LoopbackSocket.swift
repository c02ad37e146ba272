import Glibc

/// Sockets of the loopback that never block.
public enum LoopbackSocket {
    /// No socket could be had; `code` is the system's.
    public struct Failure: Error {
        public let code: Int32
    }

    /// - Returns: a listener on a port that the kernel chose, and that port.
    public static func listening() throws -> (descriptor: Int32, port: Int) {
        let descriptor = make()
        var address = loopback(port: 0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { address in
                bind(descriptor, address, length) == 0 && listen(descriptor, 512) == 0
                    && getsockname(descriptor, address, &length) == 0
            }
        }
        guard result else {
            let code = errno
            Glibc.close(descriptor)
            throw Failure(code: code)
        }
        return (descriptor, Int(UInt16(bigEndian: address.sin_port)))
    }

    /// - Returns: a socket that is connected or about to be; nil when nobody listens.
    public static func connecting(to port: Int) -> Int32? {
        let descriptor = make()
        var address = loopback(port: port)
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 || errno == EINPROGRESS else {
            Glibc.close(descriptor)
            return nil
        }
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        return descriptor
    }

    /// - Returns: a connection that waits at a listener; nil when none does.
    public static func accepted(from listener: Int32) -> Int32? {
        let descriptor = accept(listener, nil, nil)
        guard descriptor >= 0 else { return nil }
        neverBlock(descriptor)
        return descriptor
    }

    /// A pipe, for one thread to wake another that polls.
    public static func pipe() throws -> (write: Int32, read: Int32) {
        var ends: [Int32] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { throw Failure(code: errno) }
        for end in ends { neverBlock(end) }
        return (write: ends[1], read: ends[0])
    }

    /// Closes it; with a reset the other side is told of an error, and what was not sent yet is lost.
    public static func close(_ descriptor: Int32, withReset: Bool) {
        if withReset {
            var now = linger(l_onoff: 1, l_linger: 0)
            setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size))
        }
        Glibc.close(descriptor)
    }

    private static func make() -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        neverBlock(descriptor)
        return descriptor
    }

    private static func neverBlock(_ descriptor: Int32) {
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) | O_NONBLOCK)
    }

    private static func loopback(port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return address
    }
}
