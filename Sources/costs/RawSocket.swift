import Glibc

/// A client of the loopback that blocks: what it does and when is decided by nobody but this program.
struct RawSocket: ~Copyable {
    private let descriptor: Int32

    /// Connects and asks for a WebSocket.
    init(port: Int, target: String) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard descriptor >= 0, result == 0 else {
            throw CostsError("cannot connect: \(String(cString: strerror(errno))) (see ulimit -n)")
        }
        var on: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
        let head = """
            GET \(target) HTTP/1.1\r
            Host: 127.0.0.1:\(port)\r
            Upgrade: websocket\r
            Connection: Upgrade\r
            Sec-WebSocket-Version: 13\r
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
            \r

            """
        try send(Array(head.utf8))
    }

    deinit { close(descriptor) }

    func send(_ bytes: [UInt8]) throws {
        let count = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        guard count == bytes.count else {
            throw CostsError("the kernel did not take \(bytes.count) bytes at once")
        }
    }

    /// Reads until the bytes end with these: all that has come by then, at most 4 KiB at once.
    ///
    /// - Returns: how many bytes that were.
    @discardableResult func receive(until end: [UInt8]) throws -> Int {
        var all: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 4096)
        repeat {
            let count = recv(descriptor, &chunk, chunk.count, 0)
            guard count > 0 else {
                throw CostsError("the connection ended: \(String(decoding: all, as: UTF8.self))")
            }
            all += chunk[..<count]
        } while !all.suffix(end.count).elementsEqual(end)
        return all.count
    }

    /// Waits for so many bytes and lets the kernel throw them away (tcp(7), MSG_TRUNC).
    func discard(_ bytes: Int) throws {
        let count = recv(descriptor, nil, bytes, Int32(MSG_TRUNC | MSG_WAITALL))
        guard count == bytes else { throw CostsError("\(count) of \(bytes) bytes came (errno \(errno))") }
    }

    /// A frame as clients send it. The mask is fixed: another would cost the same.
    static func frame(opcode: UInt8, _ payload: [UInt8]) -> [UInt8] {
        precondition(payload.count < 126, "a short frame has its length in one byte")
        let mask: [UInt8] = [0x5A, 0x17, 0xC3, 0xE9]
        return [0x80 | opcode, 0x80 | UInt8(payload.count)] + mask
            + payload.enumerated().map { $1 ^ mask[$0 % 4] }
    }
}
