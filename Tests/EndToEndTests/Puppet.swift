import Foundation
import Glibc
import HeraldTesting
import Synchronization

/// A client down to its bytes: it does what it is told, and can also fall silent without closing, as a phone in a
/// tunnel does.
///
/// One thread reads for all puppets of the process and answers pings for those that are awake.
final class Puppet: Sendable {
    enum Phase: Equatable, Sendable {
        case opening
        /// The node said `connected`: from here on pushes find it.
        case connected(node: String)
        /// With the node's close code, if there was one. It may also have been this side that ended it.
        case ended(code: Int?)
    }

    /// A push that arrived.
    struct Shown: Hashable, Sendable {
        var id: String
        var event: String
    }

    let user: String
    let key: String
    fileprivate let descriptor: Int32
    private let state = Mutex(State())

    /// When what happened to it, as far as it did.
    struct Times: Sendable {
        var opened = ContinuousClock.now
        var connected: ContinuousClock.Instant?
        var ended: ContinuousClock.Instant?
    }

    private struct State {
        var times = Times()
        var phase = Phase.opening {
            didSet {
                if case .connected = phase { times.connected = .now }
                if phase.isEnd, times.ended == nil { times.ended = .now }
            }
        }
        var isMute = false
        var shown: [Shown] = []
        var reader = PuppetReader()
    }

    struct NobodyListens: Error {}

    /// Connects and asks for the upgrade; what becomes of it shows in `phase`.
    ///
    /// - Throws: `NobodyListens`.
    init(port: Int, user: String, key: String, rooms: [String] = []) throws {
        guard let descriptor = LoopbackSocket.connecting(to: port) else { throw NobodyListens() }
        self.descriptor = descriptor
        self.user = user
        self.key = key
        let query = (["user=\(user)", "key=\(key)"] + rooms.map { "room=\($0)" }).joined(separator: "&")
        let head =
            "GET /ws?\(query) HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        write(Array(head.utf8))
        PuppetThread.shared.add(self)
    }

    deinit { close(descriptor) }

    var name: String { "\(user)/\(key)" }
    var phase: Phase { state.withLock { $0.phase } }
    var times: Times { state.withLock { $0.times } }
    var shown: [Shown] { state.withLock { $0.shown } }
    /// It stopped reading and answering without telling anybody.
    var isMute: Bool { state.withLock { $0.isMute } }

    var isConnected: Bool {
        if case .connected = phase { true } else { false }
    }

    var hasEnded: Bool {
        if case .ended = phase { true } else { false }
    }

    var closeCode: Int? {
        if case .ended(let code) = phase { code } else { nil }
    }

    /// Says goodbye and goes.
    func leave() {
        write(PuppetReader.frame(opcode: 8, payload: [0x03, 0xE8]))
        end()
    }

    /// Ends the connection without a close frame.
    func cut() { end() }

    /// Falls silent: nothing is read or answered any more, and the connection stays open.
    func mute() {
        state.withLock { $0.isMute = true }
        PuppetThread.shared.forget(self)
    }

    private func end() {
        _ = shutdown(descriptor, Int32(SHUT_RDWR))
        state.withLock { if !$0.phase.isEnd { $0.phase = .ended(code: nil) } }
        PuppetThread.shared.forget(self)
    }

    /// Called on the reader's thread; nil at the end of the stream.
    fileprivate func received(_ bytes: UnsafeRawBufferPointer?) {
        let answers = state.withLock { state -> [[UInt8]] in
            guard !state.isMute, !state.phase.isEnd else { return [] }
            guard let bytes else {
                state.phase = .ended(code: nil)
                return []
            }
            var answers: [[UInt8]] = []
            for event in state.reader.take(bytes) {
                switch event {
                case .connected(let node): state.phase = .connected(node: node)
                case .push(let shown): state.shown.append(shown)
                case .ping(let payload): answers.append(PuppetReader.frame(opcode: 10, payload: payload))
                case .ended(let code): state.phase = .ended(code: code)
                }
            }
            return answers
        }
        for answer in answers { write(answer) }
    }

    private func write(_ bytes: [UInt8]) {
        // Small frames on a loopback socket that is read: they always fit.
        _ = send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }
}

extension Puppet.Phase {
    fileprivate var isEnd: Bool {
        if case .ended = self { true } else { false }
    }
}

/// Takes apart what a node sends: one head, then unmasked frames.
struct PuppetReader {
    enum Event: Equatable {
        case connected(node: String)
        case push(Puppet.Shown)
        case ping([UInt8])
        case ended(code: Int?)
    }

    private var bytes: [UInt8] = []
    private var isUpgraded = false

    mutating func take(_ new: UnsafeRawBufferPointer) -> [Event] {
        bytes += new
        var events: [Event] = []
        if !isUpgraded {
            guard let end = bytes.firstRange(of: Array("\r\n\r\n".utf8)) else { return [] }
            guard bytes.starts(with: Array("HTTP/1.1 101 ".utf8)) else { return [.ended(code: nil)] }
            bytes.removeSubrange(..<end.upperBound)
            isUpgraded = true
        }
        while let (opcode, payload) = takeFrame() {
            switch opcode {
            case 1: events += Self.event(payload).map { [$0] } ?? []
            case 8:
                let code = payload.count >= 2 ? Int(payload[0]) << 8 | Int(payload[1]) : nil
                events.append(.ended(code: code))
            case 9: events.append(.ping(payload))
            default: continue
            }
        }
        return events
    }

    private mutating func takeFrame() -> (opcode: UInt8, payload: [UInt8])? {
        guard bytes.count >= 2 else { return nil }
        let more = bytes[1] == 126 ? 2 : bytes[1] == 127 ? 8 : 0
        guard bytes.count >= 2 + more else { return nil }
        let length = more == 0 ? Int(bytes[1]) : bytes[2..<2 + more].reduce(0) { $0 << 8 | Int($1) }
        let end = 2 + more + length
        guard bytes.count >= end else { return nil }
        defer { bytes.removeSubrange(..<end) }
        return (bytes[0] & 0xF, Array(bytes[(2 + more)..<end]))
    }

    private static func event(_ payload: [UInt8]) -> Event? {
        guard let json = try? JSONSerialization.jsonObject(with: Data(payload)) as? [String: Any] else {
            return nil
        }
        if let connected = json["connected"] as? [String: Any], let node = connected["node"] as? String {
            return .connected(node: node)
        }
        guard let push = json["push"] as? [String: Any], let id = push["id"] as? String else { return nil }
        return .push(Puppet.Shown(id: id, event: push["event"] as? String ?? ""))
    }

    /// A client's frame: masked, up to 125 bytes.
    static func frame(opcode: UInt8, payload: [UInt8]) -> [UInt8] {
        let mask: [UInt8] = [1, 2, 3, 4]
        return [0x80 | opcode, 0x80 | UInt8(payload.count)] + mask
            + payload.enumerated().map { $1 ^ mask[$0 % 4] }
    }
}

/// The thread that reads for all puppets. It lives as long as the process.
private final class PuppetThread: Sendable {
    static let shared = PuppetThread()

    private let wakeUp: (write: Int32, read: Int32)
    private let puppets = Mutex<[Int32: Puppet]>([:])

    private init() {
        // Without a pipe new puppets are read when something else happens.
        wakeUp = (try? LoopbackSocket.pipe()) ?? (write: -1, read: -1)
        var thread = pthread_t()
        pthread_create(
            &thread,
            nil,
            { _ in
                PuppetThread.shared.run()
                return nil
            },
            nil
        )
    }

    func add(_ puppet: Puppet) {
        puppets.withLock { $0[puppet.descriptor] = puppet }
        var byte: UInt8 = 0
        _ = write(wakeUp.write, &byte, 1)
    }

    func forget(_ puppet: Puppet) {
        _ = puppets.withLock { $0.removeValue(forKey: puppet.descriptor) }
    }

    private func run() {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 1)
        while true {
            // Kept for the turn: a number is nobody else's while it is polled.
            let all = puppets.withLock { $0 }
            var polls = all.keys.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
            polls.append(pollfd(fd: wakeUp.read, events: Int16(POLLIN), revents: 0))
            poll(&polls, nfds_t(polls.count), -1)
            for poll in polls where poll.revents != 0 {
                guard let puppet = all[poll.fd] else {
                    _ = read(wakeUp.read, buffer.baseAddress, buffer.count)
                    continue
                }
                let count = recv(poll.fd, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT))
                if count > 0 {
                    puppet.received(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
                } else if count == 0 || errno != EAGAIN {
                    puppet.received(nil)
                }
                if puppet.hasEnded { forget(puppet) }
            }
        }
    }
}
