import Glibc

@testable import HeraldSockets

/// A blocking client over a real loopback socket. Every wait is bounded, so a test fails and does not hang.
class TestClient {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    /// A frame from the server.
    struct Frame: Equatable {
        var opcode: Opcode
        var payload: [UInt8]
        var isDeflated = false

        var text: String { String(decoding: payload, as: UTF8.self) }
        /// The code of a close frame.
        var code: Int { payload.count < 2 ? 1005 : Int(payload[0]) << 8 | Int(payload[1]) }
    }

    let descriptor: Int32
    private var buffer: [UInt8] = []

    /// Connects, and no more. A small receive buffer makes the server's side fill up soon.
    init(port: Int, receiveBufferBytes: Int? = nil) throws {
        guard let address = SocketAddress(host: "127.0.0.1", port: port) else {
            throw Failure(description: "port")
        }
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var timeout = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        if var bytes = receiveBufferBytes.map(Int32.init) {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
        }
        guard address.withPointer({ connect(descriptor, $0, $1) }) == 0 else {
            throw Failure(description: "connect: \(reason(of: errno))")
        }
    }

    deinit {
        close(descriptor)
    }

    /// Connects and upgrades; what is given besides follows the head in the same write.
    convenience init(
        port: Int,
        upgrade line: String,
        and more: [UInt8] = [],
        receiveBufferBytes: Int? = nil
    ) throws {
        try self.init(port: port, receiveBufferBytes: receiveBufferBytes)
        try upgrade(line, and: more)
    }

    func upgrade(_ line: String = "GET /ws HTTP/1.1", and more: [UInt8] = []) throws {
        try send(RequestHeadTests.upgrade(line: line) + more)
        let head = try head()
        guard head.hasPrefix("HTTP/1.1 101") else { throw Failure(description: head) }
    }

    static func open(_ port: Int, and more: [UInt8] = []) throws -> TestClient {
        try TestClient(port: port, upgrade: "GET /ws HTTP/1.1", and: more)
    }

    func send(_ bytes: [UInt8]) throws {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { put($0) }
            guard count > 0 else { throw Failure(description: "send: \(reason(of: errno))") }
            sent += count
        }
    }

    /// Small pieces leave as they are given, instead of being gathered by the kernel.
    func sendsAtOnce() {
        var one: Int32 = 1
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &one, socklen_t(MemoryLayout<Int32>.size))
    }

    /// Says that nothing more will come.
    func finishSending() {
        shutdown(descriptor, Int32(SHUT_WR))
    }

    func head() throws -> String {
        while true {
            let text = String(decoding: buffer, as: UTF8.self)
            if let end = text.firstRange(of: "\r\n\r\n") {
                let head = text[..<end.upperBound]
                buffer.removeFirst(head.utf8.count)
                return String(head)
            }
            guard try fill() else { throw Failure(description: "ended inside the head: \(text)") }
        }
    }

    func frame() throws -> Frame {
        let header = try take(2)
        guard let opcode = Opcode(rawValue: header[0] & 0x0F), header[0] & 0xB0 == 0x80, header[1] < 128
        else {
            throw Failure(description: "bad frame \(header)")
        }
        let count =
            switch header[1] {
            case 126: try take(2).reduce(0) { $0 << 8 | Int($1) }
            case 127: try take(8).reduce(0) { $0 << 8 | Int($1) }
            default: Int(header[1])
            }
        return Frame(opcode: opcode, payload: try take(count), isDeflated: header[0] & 0x40 != 0)
    }

    /// Everything until the server ends the connection.
    func rest() throws -> [UInt8] {
        while try fill() {}
        defer { buffer = [] }
        return buffer
    }

    /// Whether the server has ended the connection, having sent nothing more.
    func isEnded() throws -> Bool { try rest().isEmpty }

    /// Overridden by the client that speaks TLS.
    func put(_ bytes: UnsafeRawBufferPointer) -> Int {
        Glibc.send(descriptor, bytes.baseAddress, bytes.count, Int32(MSG_NOSIGNAL))
    }

    func take(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        recv(descriptor, buffer.baseAddress, buffer.count, 0)
    }

    private func take(_ count: Int) throws -> [UInt8] {
        while buffer.count < count {
            guard try fill() else { throw Failure(description: "ended inside a frame") }
        }
        defer { buffer.removeFirst(count) }
        return Array(buffer[..<count])
    }

    private func fill() throws -> Bool {
        var bytes = [UInt8](repeating: 0, count: 65_536)
        let count = bytes.withUnsafeMutableBytes { take(into: $0) }
        if count < 0, errno == EAGAIN { throw Failure(description: "nothing came in time") }
        guard count > 0 else { return false }
        buffer += bytes[..<count]
        return true
    }
}
