import Glibc
import NIOCore
import NIOPosix

/// Asks the system's resolver (`/etc/hosts`, DNS, whatever the machine is set up for), on a thread of its own: it
/// blocks.
enum SystemResolver {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// - Parameter host: a name, or an address in any form that the system reads, such as `127.1`.
    /// - Returns: at least one address, in the order in which they should be tried.
    /// - Throws: `Failure`, or `CancellationError` at once, while the thread waits on.
    static func addresses(of host: String) async throws -> [IPAddress] {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let promise = loop.makePromise(of: [IPAddress].self)
        return try await withTaskCancellationHandler {
            NIOThreadPool.singleton.runIfActive(eventLoop: loop) { try look(up: host) }.cascade(to: promise)
            return try await promise.futureResult.get()
        } onCancel: {
            promise.fail(CancellationError())
        }
    }

    private static func look(up host: String) throws -> [IPAddress] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        // Leaves out IPv6 addresses on a machine that has none itself.
        hints.ai_flags = AI_ADDRCONFIG
        var first: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, nil, &hints, &first)
        guard code == 0 else {
            throw Failure(description: "\(host) is not known: \(String(cString: gai_strerror(code)))")
        }
        defer { freeaddrinfo(first) }
        var found: [IPAddress] = []
        var next = first
        while let entry = next?.pointee {
            if let address = address(entry), !found.contains(address) { found.append(address) }
            next = entry.ai_next
        }
        guard !found.isEmpty else { throw Failure(description: "\(host) has no address") }
        return found
    }

    /// Linux's layout of both: family and port take 4 bytes, IPv6 has its flow's 4 bytes before the address.
    private static func address(_ entry: addrinfo) -> IPAddress? {
        let bytes = UnsafeRawBufferPointer(start: entry.ai_addr, count: Int(entry.ai_addrlen))
        switch entry.ai_family {
        case AF_INET: return bytes.count >= 8 ? IPAddress(Array(bytes[4..<8])) : nil
        case AF_INET6: return bytes.count >= 24 ? IPAddress(Array(bytes[8..<24])) : nil
        default: return nil
        }
    }
}
