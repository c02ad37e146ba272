import CEpoll
import Glibc

/// Thousands of clients in one process: connects them, counts what they are shown, answers pings.
///
/// One thread, one epoll, one read buffer. A client is a descriptor and a few numbers; what it is sent is not decoded
/// beyond the stamp of the run, so that the load stays small beside what is measured.
struct CrowdLoop: ~Copyable {
    struct Plan: Sendable {
        /// Its place on the board.
        var crowd: Int
        /// The number of its first client among all.
        var first: Int
        var count: Int
        /// Clients are dealt out to these in turn.
        var nodes: [LoadAddress]
        /// Begins the names of users and the room.
        var tag: String

        static func user(_ number: Int, tag: String) -> String { "\(tag)-\(number)" }
        static func room(tag: String) -> String { "\(tag)-room" }
    }

    private enum Stage: UInt8 {
        case waiting, connecting, upgrading, welcoming, live, over
    }

    private struct Client {
        var descriptor: Int32 = -1
        var stage = Stage.waiting
        /// Of the room, and of the client's own user.
        var room = SequenceWindow()
        var user = SequenceWindow()
        var started: UInt64 = 0
    }

    private struct Counts {
        var live: UInt64 = 0
        var failed: UInt64 = 0
        var closed: UInt64 = 0
        var arrived: UInt64 = 0
        var repeated: UInt64 = 0
        var overtaken: UInt64 = 0
        var stale: UInt64 = 0
        var strange: UInt64 = 0
    }

    private let plan: Plan
    private let board: BenchBoard
    private let epoll: Int32
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 19, alignment: 16)
    private var clients: [Client]
    /// Beginnings of frames, by client.
    private var rests: [Int: [UInt8]] = [:]
    private var counts = Counts()
    private var begun = 0
    private var underWay = 0
    private var stampOffset = 0

    /// Handshakes at once, in all of a process's clients: more only wait in the kernel's queue.
    private static let handshakesMax = 128
    /// A loopback address has 28,000 ports.
    private static let clientsPerSource = 20_000
    private static let eventsMax = 1024
    /// How soon a new phase is noticed.
    private static let pollMilliseconds: Int32 = 10

    init(_ plan: Plan, _ board: BenchBoard) {
        self.plan = plan
        self.board = board
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        clients = Array(repeating: Client(), count: plan.count)
    }

    deinit {
        for client in clients where client.descriptor >= 0 { LoadSocket.drop(client.descriptor) }
        close(epoll)
        buffer.deallocate()
    }

    /// Serves until the board says that it is over.
    mutating func run() {
        let events = UnsafeMutablePointer<epoll_event>.allocate(capacity: Self.eventsMax)
        events.initialize(repeating: epoll_event(), count: Self.eventsMax)
        defer { events.deallocate() }
        while board[.phase] != BenchBoard.Phase.stop.rawValue {
            if board[.phase] == BenchBoard.Phase.connect.rawValue { beginConnects() }
            let count = epoll_wait(epoll, events, Int32(Self.eventsMax), Self.pollMilliseconds)
            let measureFrom = board[.measureFrom]
            for place in 0..<max(0, Int(count)) {
                serve(Int(events[place].data.u64), events[place].events, measureFrom)
            }
            publish()
        }
    }

    // MARK: Connecting

    private mutating func beginConnects() {
        while begun < plan.count, underWay < Self.handshakesMax {
            let index = begun
            begun += 1
            let number = plan.first + index
            clients[index].started = Monotonic.nanoseconds
            if index == 0 { board[plan.crowd, .firstStart] = clients[index].started }
            let descriptor = LoadSocket.connect(
                plan.nodes[number % plan.nodes.count],
                source: number / Self.clientsPerSource
            )
            guard descriptor >= 0 else {
                counts.failed += 1
                board[plan.crowd, .reason] = UInt64(-descriptor)
                clients[index].stage = .over
                continue
            }
            underWay += 1
            clients[index].descriptor = descriptor
            clients[index].stage = .connecting
            let interest = EPOLLIN.rawValue | EPOLLOUT.rawValue
            LoadSocket.watch(descriptor, interest, id: UInt64(index), on: epoll, isNew: true)
        }
    }

    private mutating func upgrade(_ index: Int) {
        let number = plan.first + index
        let node = plan.nodes[number % plan.nodes.count]
        let user = Plan.user(number, tag: plan.tag)
        let head = """
            GET \(node.path)?user=\(user)&key=bench&room=\(Plan.room(tag: plan.tag)) HTTP/1.1\r
            Host: \(node.host):\(node.port)\r
            Upgrade: websocket\r
            Connection: Upgrade\r
            Sec-WebSocket-Version: 13\r
            Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
            \r

            """
        let descriptor = clients[index].descriptor
        let sent = Array(head.utf8).withUnsafeBytes { LoadSocket.send($0, to: descriptor) }
        guard sent == head.utf8.count else { return end(index, reason: errno) }
        clients[index].stage = .upgrading
        LoadSocket.watch(descriptor, EPOLLIN.rawValue, id: UInt64(index), on: epoll, isNew: false)
    }

    private mutating func welcomed(_ index: Int) {
        let now = Monotonic.nanoseconds
        clients[index].stage = .live
        underWay -= 1
        counts.live += 1
        board.record(plan.crowd, .connect, nanoseconds: now - clients[index].started)
        board[plan.crowd, .lastLive] = now
    }

    private mutating func end(_ index: Int, reason: Int32) {
        guard clients[index].stage != .over else { return }
        if clients[index].stage == .live {
            counts.live -= 1
            counts.closed += 1
        } else {
            underWay -= 1
            counts.failed += 1
        }
        board[plan.crowd, .reason] = UInt64(max(0, reason))
        LoadSocket.drop(clients[index].descriptor)
        clients[index].descriptor = -1
        clients[index].stage = .over
        rests[index] = nil
    }

    // MARK: Reading

    private mutating func serve(_ index: Int, _ events: UInt32, _ measureFrom: UInt64) {
        if clients[index].stage == .connecting {
            if events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0 {
                var reason: Int32 = 0
                var size = socklen_t(MemoryLayout<Int32>.size)
                getsockopt(clients[index].descriptor, SOL_SOCKET, SO_ERROR, &reason, &size)
                return end(index, reason: reason)
            }
            if events & EPOLLOUT.rawValue != 0 { upgrade(index) }
            return
        }
        guard clients[index].descriptor >= 0 else { return }
        let rest = rests.isEmpty ? nil : rests.removeValue(forKey: index)
        var filled = 0
        if let rest {
            buffer.copyBytes(from: rest)
            filled = rest.count
        }
        let count = recv(
            clients[index].descriptor,
            buffer.baseAddress.map { $0 + filled },
            buffer.count - filled,
            0
        )
        if count < 0, errno == EAGAIN || errno == EINTR {
            if let rest { rests[index] = rest }
            return
        }
        guard count > 0 else { return end(index, reason: count == 0 ? 0 : errno) }
        read(index, UnsafeRawBufferPointer(rebasing: buffer[..<(filled + count)]), measureFrom)
    }

    private mutating func read(_ index: Int, _ bytes: UnsafeRawBufferPointer, _ measureFrom: UInt64) {
        var start = 0
        if clients[index].stage == .upgrading {
            let head = Array(bytes.prefix(4096))
            guard let end = HTTPAnswers.headEnd(in: head, from: 0) else {
                rests[index] = Array(bytes)
                return
            }
            let status = String(decoding: head.prefix(12).suffix(3), as: UTF8.self)
            guard status == "101" else { return self.end(index, reason: Int32(status) ?? 0) }
            clients[index].stage = .welcoming
            start = end + 4
        }
        let now = Monotonic.nanoseconds
        let frames = UnsafeRawBufferPointer(rebasing: bytes[start...])
        var closedWith: Int32?
        do {
            let used = try ServerFrames.forEach(in: frames) { opcode, payload in
                switch opcode {
                case ServerFrames.Opcode.text: message(index, payload, at: now, measureFrom)
                case ServerFrames.Opcode.ping:
                    let pong = ServerFrames.pong(payload)
                    _ = pong.withUnsafeBytes { LoadSocket.send($0, to: clients[index].descriptor) }
                case ServerFrames.Opcode.close:
                    closedWith = payload.count >= 2 ? Int32(payload[0]) << 8 | Int32(payload[1]) : 1005
                default: counts.strange += 1
                }
            }
            if used < frames.count { rests[index] = Array(frames[used...]) }
        } catch {
            counts.strange += 1
            closedWith = 1002
        }
        if let closedWith { end(index, reason: closedWith) }
    }

    @inline(__always)
    private mutating func message(
        _ index: Int,
        _ payload: UnsafeRawBufferPointer,
        at now: UInt64,
        _ measureFrom: UInt64
    ) {
        guard let stamp = BenchStamp(in: payload, near: &stampOffset) else {
            if clients[index].stage == .welcoming, Self.isWelcome(payload) {
                welcomed(index)
            } else {
                counts.strange += 1
            }
            return
        }
        let arrival =
            switch stamp.aim {
            case .fanOut: clients[index].room.receive(stamp.number)
            case .unicast, .batch: clients[index].user.receive(stamp.number)
            }
        switch arrival {
        case .inOrder: counts.arrived += 1
        case .overtaken:
            counts.arrived += 1
            counts.overtaken += 1
        case .repeated:
            counts.repeated += 1
            return
        case .stale:
            counts.stale += 1
            return
        }
        guard stamp.nanoseconds >= measureFrom else { return }
        board.record(
            plan.crowd,
            .delivery,
            nanoseconds: now > stamp.nanoseconds ? now - stamp.nanoseconds : 0
        )
    }

    private static func isWelcome(_ payload: UnsafeRawBufferPointer) -> Bool {
        payload.starts(with: #"{"connected""#.utf8)
    }

    private func publish() {
        let crowd = plan.crowd
        board[crowd, .live] = counts.live
        board[crowd, .failed] = counts.failed
        board[crowd, .closed] = counts.closed
        board[crowd, .repeated] = counts.repeated
        board[crowd, .overtaken] = counts.overtaken
        board[crowd, .stale] = counts.stale
        board[crowd, .strange] = counts.strange
        board[crowd, .arrived] = counts.arrived
    }
}
