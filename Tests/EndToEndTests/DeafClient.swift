import Glibc
import HeraldCore
import HeraldTesting
import HeraldWire

/// A WebSocket client on a bare socket that reads only when it is told to, and then until a push with a certain event.
///
/// Its reads block for at most 20 s.
final class DeafClient {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    private let descriptor: Int32
    private var bytes: [UInt8] = []

    /// Connects, and hears that it is connected.
    init(port: Int, query: String) throws {
        guard let descriptor = LoopbackSocket.connecting(to: port) else {
            throw Failure(description: "nobody listens on \(port)")
        }
        self.descriptor = descriptor
        var room = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        poll(&room, 1, 20_000)
        _ = fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK)
        var timeout = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &timeout, socklen_t(MemoryLayout<timeval>.size))
        let head = """
            GET /ws?\(query) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n
            """
        guard Glibc.send(descriptor, head, head.utf8.count, Int32(MSG_NOSIGNAL)) == head.utf8.count else {
            throw Failure(description: "the request does not go out")
        }
        while true {
            let text = String(decoding: bytes, as: UTF8.self)
            if let end = text.firstRange(of: "\r\n\r\n") {
                guard text.hasPrefix("HTTP/1.1 101 ") else { throw Failure(description: "refused: \(text)") }
                bytes.removeFirst(text[..<end.upperBound].utf8.count)
                break
            }
            try fill()
        }
        guard case .connected = try frame() else { throw Failure(description: "was not let in") }
    }

    deinit { Glibc.close(descriptor) }

    /// The events of all pushes up to the one with this event.
    func events(upTo last: String) throws -> [String] {
        var events: [String] = []
        while events.last != last {
            if case .push(let push) = try frame() { events.append(push.message.event ?? "") }
        }
        return events
    }

    /// Reads what has arrived by now and forgets it, in the midst of a frame perhaps.
    func skipArrived() throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            guard count != 0 else { throw Failure(description: "the node has closed") }
            guard count > 0 else { return }
        }
    }

    private func frame() throws -> ServerFrame? {
        let header = try take(2)
        let count =
            switch header[1] {
            case 126: try take(2).reduce(0) { $0 << 8 | Int($1) }
            case 127: try take(8).reduce(0) { $0 << 8 | Int($1) }
            default: Int(header[1])
            }
        let payload = try take(count)
        guard header[0] != 0x88 else { throw Failure(description: "closed with \(payload.prefix(2))") }
        return header[0] == 0x81 ? try ServerFrame.decode(payload) : nil
    }

    private func take(_ count: Int) throws -> [UInt8] {
        while bytes.count < count { try fill() }
        defer { bytes.removeFirst(count) }
        return Array(bytes[..<count])
    }

    private func fill() throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        guard count > 0 else { throw Failure(description: "nothing more comes") }
        bytes += buffer[..<count]
    }
}
