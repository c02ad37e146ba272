import Glibc
import HeraldCore
import HeraldTesting
import HeraldWire
import Synchronization

/// A WebSocket client with nothing between the test and the bytes.
///
/// All clients of the process are read by one thread, which only takes apart what arrives: a test may have
/// thousands of them, and none blocks a thread of the tasks.
final class RawClient: Sendable {
    enum Event: Equatable, Sendable {
        /// The answer to the upgrade request; 101 when it was accepted.
        case answer(status: Int, body: String)
        case text([UInt8])
        case close(UInt16)
        /// The connection is over.
        case end
    }

    struct Unexpected: Error, CustomStringConvertible {
        let event: Event
        var description: String { "got \(event)" }
    }

    struct NoConnection: Error {
        let port: Int
        let errno: Int32
    }

    private struct State {
        var parser = Parser()
        var events: [Event] = []
        var arrived = 0
        var isClosed = false
    }

    let descriptor: Int32
    private let state = Mutex(State())
    private let changed = ManyWaiters()

    /// Connects and sends an upgrade request; the answer is the first event.
    init(port: Int, target: String, headers: [String] = [], isUpgrade: Bool = true) throws {
        descriptor = try Self.connect(port)
        var head = "GET \(target) HTTP/1.1\r\nHost: 127.0.0.1:\(port)\r\n"
        if isUpgrade {
            head += "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        }
        for header in headers { head += header + "\r\n" }
        write(Array((head + "\r\n").utf8))
        ClientReader.shared.add(self)
    }

    /// A client that was let in.
    static func open(port: Int, _ target: String, headers: [String] = []) async throws -> RawClient {
        let client = try RawClient(port: port, target: target, headers: headers)
        let answer = try await client.next()
        guard case .answer(101, _) = answer else { throw Unexpected(event: answer) }
        return client
    }

    /// A client that is connected as that user.
    static func connected(port: Int, _ target: String) async throws -> RawClient {
        let client = try await open(port: port, target)
        guard case .connected = try await client.frame() else { throw Unexpected(event: .end) }
        return client
    }

    deinit { ClientReader.shared.forget(descriptor) }

    // MARK: Speaking

    func send(_ frame: ClientFrame) { send(text: frame.encoded()) }

    func send(text: [UInt8]) {
        var bytes: [UInt8] = [0x81]
        if text.count < 126 {
            bytes.append(0x80 | UInt8(text.count))
        } else {
            bytes.append(0x80 | 126)
            bytes += [UInt8(text.count >> 8 & 0xFF), UInt8(text.count & 0xFF)]
        }
        let mask: [UInt8] = [1, 2, 3, 4]
        bytes += mask
        for (index, byte) in text.enumerated() { bytes.append(byte ^ mask[index % 4]) }
        write(bytes)
    }

    /// Leaves what comes to the kernel, until that has no room.
    func stopsReading() { ClientReader.shared.leave(descriptor) }

    /// Takes what has come meanwhile, and goes on.
    func readsOn() { ClientReader.shared.add(self) }

    /// Ends the connection without a word.
    func cut() { _ = shutdown(descriptor, Int32(SHUT_RDWR)) }

    private func write(_ bytes: [UInt8]) {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.send(
                    descriptor,
                    buffer.baseAddress.map { $0 + sent },
                    bytes.count - sent,
                    Int32(MSG_NOSIGNAL)
                )
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    // MARK: Hearing

    /// The next thing that happened.
    func next(within limit: Duration = .seconds(20)) async throws -> Event {
        try await withDeadline(limit, "an event of the client") {
            while true {
                let event = self.state.withLock { $0.events.isEmpty ? nil : $0.events.removeFirst() }
                if let event { return event }
                try await self.changed.wait { self.state.withLock { !$0.events.isEmpty } }
            }
        }
    }

    /// The next frame; anything else is an error.
    func frame() async throws -> ServerFrame {
        let event = try await next()
        guard case .text(let bytes) = event, let frame = try ServerFrame.decode(bytes) else {
            throw Unexpected(event: event)
        }
        return frame
    }

    /// The next push's id; anything else is an error.
    func push() async throws -> String {
        guard case .push(let push) = try await frame() else { throw Unexpected(event: .end) }
        return push.id.description
    }

    /// The code with which the node closes; frames before it are skipped.
    func closeCode() async throws -> UInt16 {
        while true {
            switch try await next() {
            case .close(let code): return code
            case .end: throw Unexpected(event: .end)
            case .answer, .text: continue
            }
        }
    }

    /// That nothing more has come by the time of an answer to a ping.
    func isQuiet() async throws -> Bool {
        send(ClientFrame(id: 999, .ping))
        return try await frame() == .pong(id: 999)
    }

    /// Called on the reader's thread.
    fileprivate func received(_ bytes: UnsafeRawBufferPointer?) {
        state.withLock { state in
            guard let bytes else {
                if !state.isClosed { state.events.append(.end) }
                state.isClosed = true
                return
            }
            state.events += state.parser.take(bytes)
        }
        changed.wake()
    }

    private static func connect(_ port: Int) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(descriptor)
            throw NoConnection(port: port, errno: errno)
        }
        return descriptor
    }
}

/// Takes apart what a server sends: one head, then unmasked frames.
private struct Parser {
    private var bytes: [UInt8] = []
    private var isUpgraded = false

    mutating func take(_ new: UnsafeRawBufferPointer) -> [RawClient.Event] {
        bytes.append(contentsOf: new)
        var events: [RawClient.Event] = []
        while let event = isUpgraded ? frame() : answer() { events.append(event) }
        return events
    }

    private mutating func answer() -> RawClient.Event? {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.firstRange(of: "\r\n\r\n") else { return nil }
        let head = text[..<end.lowerBound]
        let status = Int(head.split(separator: " ")[1]) ?? 0
        isUpgraded = status == 101
        let length =
            head.split(separator: "\r\n").first { $0.lowercased().hasPrefix("content-length:") }
            .flatMap { Int($0.split(separator: " ")[1]) } ?? 0
        let body = text[end.upperBound...]
        guard isUpgraded || body.utf8.count >= length else { return nil }
        bytes.removeFirst(head.utf8.count + 4 + (isUpgraded ? 0 : length))
        return .answer(status: status, body: isUpgraded ? "" : String(body))
    }

    private mutating func frame() -> RawClient.Event? {
        while bytes.count >= 2 {
            var length = Int(bytes[1])
            var start = 2
            if length == 126 {
                guard bytes.count >= 4 else { return nil }
                length = Int(bytes[2]) << 8 | Int(bytes[3])
                start = 4
            } else if length == 127 {
                guard bytes.count >= 10 else { return nil }
                length = bytes[2..<10].reduce(0) { $0 << 8 | Int($1) }
                start = 10
            }
            guard bytes.count >= start + length else { return nil }
            let opcode = bytes[0] & 0xF
            let payload = Array(bytes[start..<start + length])
            bytes.removeFirst(start + length)
            switch opcode {
            case 1: return .text(payload)
            case 8: return .close(payload.count >= 2 ? UInt16(payload[0]) << 8 | UInt16(payload[1]) : 1005)
            default: continue
            }
        }
        return nil
    }
}

/// Tasks that wait until something may have changed.
final class ManyWaiters: Sendable {
    private struct State {
        var last = 0
        var waiting: [Int: CheckedContinuation<Void, Never>] = [:]
    }

    private let state = Mutex(State())

    func wake() {
        let all = state.withLock { state in
            defer { state.waiting = [:] }
            return Array(state.waiting.values)
        }
        for continuation in all { continuation.resume() }
    }

    /// Returns after a `wake`, or at once when the condition holds.
    func wait(unless isDone: @Sendable () -> Bool) async throws {
        let id = state.withLock { state in
            state.last += 1
            return state.last
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                state.withLock { $0.waiting[id] = continuation }
                if isDone() || Task.isCancelled {
                    state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
                }
            }
        } onCancel: {
            state.withLock { $0.waiting.removeValue(forKey: id) }?.resume()
        }
        try Task.checkCancellation()
    }
}

/// The thread that reads for all clients.
private final class ClientReader: Sendable {
    static let shared = ClientReader()

    private struct Weak { weak let client: RawClient? }

    /// Written to when there is a new client.
    private let wake: Int32
    private let woken: Int32
    private let clients = Mutex<[Int32: Weak]>([:])

    private init() {
        var ends: [Int32] = [0, 0]
        pipe(&ends)
        woken = ends[0]
        wake = ends[1]
        var thread = pthread_t()
        pthread_create(
            &thread,
            nil,
            { _ in
                ClientReader.shared.run()
                return nil
            },
            nil
        )
    }

    func add(_ client: RawClient) {
        clients.withLock { $0[client.descriptor] = Weak(client: client) }
        var byte: UInt8 = 0
        write(wake, &byte, 1)
    }

    func leave(_ descriptor: Int32) { clients.withLock { $0[descriptor] = nil } }

    func forget(_ descriptor: Int32) {
        // Under the lock, as the number may be another client's as soon as it is closed.
        clients.withLock { clients in
            clients[descriptor] = nil
            close(descriptor)
        }
    }

    private func run() {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 1)
        while true {
            var polls = clients.withLock { clients in
                clients.keys.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            }
            polls.append(pollfd(fd: woken, events: Int16(POLLIN), revents: 0))
            poll(&polls, nfds_t(polls.count), -1)
            for poll in polls where poll.revents != 0 {
                if poll.fd == woken {
                    recvWake(buffer)
                } else {
                    read(poll.fd, buffer)
                }
            }
        }
    }

    private func recvWake(_ buffer: UnsafeMutableRawBufferPointer) {
        _ = Glibc.read(woken, buffer.baseAddress, buffer.count)
    }

    private func read(_ descriptor: Int32, _ buffer: UnsafeMutableRawBufferPointer) {
        guard let client = clients.withLock({ $0[descriptor]?.client }) else { return }
        let count = recv(descriptor, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
        if count > 0 {
            client.received(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        } else if count == 0 || errno != EAGAIN {
            clients.withLock { $0[descriptor] = nil }
            client.received(nil)
        }
    }
}
