import Glibc

/// An IPv4 or IPv6 address with a port, as the kernel wants it.
struct SocketAddress {
    private var storage = sockaddr_storage()
    private var length: socklen_t = 0

    var family: Int32 { Int32(storage.ss_family) }

    /// nil when the host is no numeric address, or the port no port.
    init?(host: String, port: Int) {
        guard let port = UInt16(exactly: port) else { return nil }
        var v4 = sockaddr_in()
        var v6 = sockaddr_in6()
        if inet_pton(AF_INET, host, &v4.sin_addr) == 1 {
            v4.sin_family = sa_family_t(AF_INET)
            v4.sin_port = port.bigEndian
            store(v4)
        } else if inet_pton(AF_INET6, host, &v6.sin6_addr) == 1 {
            v6.sin6_family = sa_family_t(AF_INET6)
            v6.sin6_port = port.bigEndian
            store(v6)
        } else {
            return nil
        }
    }

    private init() {}

    static func local(_ descriptor: Int32) -> SocketAddress? { ask { getsockname(descriptor, $0, $1) } }
    static func peer(_ descriptor: Int32) -> SocketAddress? { ask { getpeername(descriptor, $0, $1) } }

    func withPointer<Result>(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Result) -> Result {
        withUnsafePointer(to: storage) { storage in
            storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, length) }
        }
    }

    var peer: PeerAddress {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        var port: UInt16 = 0
        withUnsafeBytes(of: storage) { bytes in
            if family == AF_INET {
                var address = bytes.loadUnaligned(as: sockaddr_in.self)
                port = UInt16(bigEndian: address.sin_port)
                inet_ntop(AF_INET, &address.sin_addr, &text, socklen_t(text.count))
            } else if family == AF_INET6 {
                var address = bytes.loadUnaligned(as: sockaddr_in6.self)
                port = UInt16(bigEndian: address.sin6_port)
                inet_ntop(AF_INET6, &address.sin6_addr, &text, socklen_t(text.count))
            }
        }
        let host = text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return PeerAddress(host: String(decoding: host, as: UTF8.self), port: Int(port))
    }

    private mutating func store<Address>(_ address: Address) {
        withUnsafeMutableBytes(of: &storage) { $0.storeBytes(of: address, as: Address.self) }
        length = socklen_t(MemoryLayout<Address>.size)
    }

    private static func ask(
        _ call: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32
    ) -> SocketAddress? {
        var address = SocketAddress()
        address.length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let result = withUnsafeMutablePointer(to: &address.storage) { storage in
            withUnsafeMutablePointer(to: &address.length) { length in
                storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { call($0, length) }
            }
        }
        return result == 0 ? address : nil
    }
}

/// The kernel's words for an error number.
func reason(of errno: Int32) -> String {
    var text = [CChar](repeating: 0, count: 128)
    guard strerror_r(errno, &text, text.count) == 0 else { return "error \(errno)" }
    return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
}
