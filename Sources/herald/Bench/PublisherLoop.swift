import CEpoll
import Glibc

/// Pushes over HTTP as the board orders it: at a rate, or so that a number of pushes is under way.
///
/// One thread, a few kept-alive connections with several requests on each. At a rate the time stamp is the moment at
/// which a push was due, not at which it was sent: what has to wait because the system is slow counts as late, and
/// is not left out ("coordinated omission").
struct PublisherLoop: ~Copyable {
    struct Plan: Sendable {
        var logic: LoadAddress
        var crowds: Int
        /// Clients in all.
        var clients: Int
        var tag: String
        /// Of each message's data.
        var payloadBytes: Int
        /// What logic asks for; empty: nothing.
        var apiKey: String
    }

    /// One publishing.
    private struct Order {
        var number: UInt64
        var aim: BenchWork.Aim
        var rate: Double
        var inFlight: Int
        var start: UInt64
        /// Requests of this order.
        var sent = 0
        /// What the crowds had when it began, in messages.
        var arrivedBefore: UInt64
        /// Requests that count as arrived although they did not: the ones that were lost shall not hold up the rest.
        var writtenOff = 0.0
        var arrivedLast: UInt64 = 0
        var progress: UInt64
    }

    private static let lanes = 64
    private static let eventsMax = 256
    /// No delivery for so long: what is under way is lost.
    private static let patience: UInt64 = 1_000_000_000
    private static let lastAnswers: UInt64 = 5_000_000_000
    /// While somebody waits for deliveries, whose number no event tells.
    private static let look: UInt64 = 100_000
    private static let lookIdle: UInt64 = 5_000_000

    private let plan: Plan
    private let board: BenchBoard
    private let epoll: Int32
    private var lanes: [PublisherLane] = []
    private var nextLane = 0
    private var roomCounter: UInt32 = 0
    private var userCounters: [UInt32]
    private var random: UInt64 = 0x9E37_79B9_7F4A_7C15

    init(_ plan: Plan, _ board: BenchBoard) {
        self.plan = plan
        self.board = board
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        userCounters = Array(repeating: 0, count: plan.clients)
        lanes = (0..<Self.lanes).map { _ in PublisherLane(plan.logic) }
    }

    deinit { close(epoll) }

    /// Serves until the board says that it is over.
    mutating func run() {
        var done: UInt64 = 0
        while board[.phase] != BenchBoard.Phase.stop.rawValue {
            let order = board[.order]
            if order > done {
                carryOut(order)
                done = order
                board[.finished] = done
            } else {
                wait(nanoseconds: Self.lookIdle)
            }
        }
    }

    private mutating func carryOut(_ number: UInt64) {
        let now = Monotonic.nanoseconds
        let arrived = board.sum(.arrived, of: plan.crowds)
        var order = Order(
            number: number,
            aim: BenchWork.Aim.allCases[Int(board[.aim])],
            rate: Double(board[.rate]),
            inFlight: Int(board[.inFlight]),
            start: now,
            arrivedBefore: arrived,
            arrivedLast: arrived,
            progress: now
        )
        while board[.stopped] < number, board[.phase] != BenchBoard.Phase.stop.rawValue {
            let isBusy = sendDue(&order)
            wait(nanoseconds: isBusy ? 0 : pause(order))
        }
        let end = Monotonic.nanoseconds + Self.lastAnswers
        while lanes.contains(where: { $0.outstanding > 0 }), Monotonic.nanoseconds < end {
            wait(nanoseconds: Self.lookIdle)
        }
        for index in lanes.indices where lanes[index].outstanding > 0 { breakOff(index) }
    }

    // MARK: When

    /// - Returns: whether something was sent, so that more may be due at once.
    private mutating func sendDue(_ order: inout Order) -> Bool {
        let before = order.sent
        while order.sent - before < Self.lanes {
            var stamp = Monotonic.nanoseconds
            if order.rate > 0 {
                let due = order.start + UInt64(Double(order.sent) * 1e9 / order.rate)
                guard due <= stamp else { break }
                stamp = due
            } else if !hasRoom(&order, at: stamp) {
                break
            }
            guard let lane = freeLane() else { break }
            order.sent += 1
            send(order.aim, stamp, on: lane)
        }
        return order.sent > before
    }

    private mutating func hasRoom(_ order: inout Order, at now: UInt64) -> Bool {
        let arrived = board.sum(.arrived, of: plan.crowds)
        let fan = Double(receivers(of: order.aim))
        if arrived != order.arrivedLast {
            order.arrivedLast = arrived
            order.progress = now
        }
        let underWay = Double(order.sent) - Double(arrived - order.arrivedBefore) / fan - order.writtenOff
        guard underWay + 1 > Double(order.inFlight) else { return true }
        guard now - order.progress > Self.patience else { return false }
        order.writtenOff += underWay
        order.progress = now
        return true
    }

    private func pause(_ order: Order) -> UInt64 {
        guard order.rate > 0 else { return Self.look }
        let due = order.start + UInt64(Double(order.sent) * 1e9 / order.rate)
        let now = Monotonic.nanoseconds
        return due > now ? min(due - now, Self.lookIdle) : Self.look
    }

    /// Of one request.
    private func receivers(of aim: BenchWork.Aim) -> Int {
        switch aim {
        case .fanOut: plan.clients
        case .unicast, .batch: aim.pushes
        }
    }

    // MARK: What

    private mutating func send(_ aim: BenchWork.Aim, _ stamp: UInt64, on lane: Int) {
        var body: [UInt8] = []
        body.reserveCapacity(aim.pushes * (plan.payloadBytes + 128))
        if aim == .batch {
            for _ in 0..<aim.pushes {
                write(.unicast, stamp, to: &body)
                body.append(UInt8(ascii: "\n"))
            }
        } else {
            write(aim, stamp, to: &body)
        }
        board[.sent] += UInt64(aim.pushes)
        let request = PublisherLane.Request(
            path: aim == .batch ? "/v1/push/batch" : "/v1/push",
            pushes: aim.pushes,
            receivers: receivers(of: aim)
        )
        lanes[lane].add(request, body, apiKey: plan.apiKey)
        flush(lane)
    }

    private mutating func write(_ aim: BenchWork.Aim, _ stamp: UInt64, to body: inout [UInt8]) {
        let number: UInt32
        switch aim {
        case .fanOut:
            roomCounter += 1
            number = roomCounter
            body += #"{"rooms":["\#(CrowdLoop.Plan.room(tag: plan.tag))"]"#.utf8
        case .unicast, .batch:
            random ^= random << 13
            random ^= random >> 7
            random ^= random << 17
            let user = Int((random >> 11) % UInt64(plan.clients))
            userCounters[user] += 1
            number = userCounters[user]
            body += #"{"users":["\#(CrowdLoop.Plan.user(user, tag: plan.tag))"]"#.utf8
        }
        body += #","event":"bench","data":"#.utf8
        BenchStamp(aim: aim, number: number, nanoseconds: stamp).write(to: &body, bytes: plan.payloadBytes)
        body.append(UInt8(ascii: "}"))
    }

    // MARK: Connections

    private mutating func freeLane() -> Int? {
        for step in 0..<lanes.count {
            let index = (nextLane + step) % lanes.count
            guard lanes[index].hasRoom else { continue }
            nextLane = index + 1
            if lanes[index].descriptor < 0, !open(index) { continue }
            return index
        }
        return nil
    }

    private mutating func open(_ index: Int) -> Bool {
        guard lanes[index].connect() else { return false }
        let interest = EPOLLIN.rawValue | EPOLLOUT.rawValue | EPOLLET.rawValue
        LoadSocket.watch(lanes[index].descriptor, interest, id: UInt64(index), on: epoll, isNew: true)
        return true
    }

    private mutating func flush(_ index: Int) {
        if !lanes[index].flush() { breakOff(index) }
    }

    private mutating func breakOff(_ index: Int) {
        board[.unanswered] += UInt64(lanes[index].pushesAsked)
        lanes[index].close()
    }

    private mutating func wait(nanoseconds: UInt64) {
        withUnsafeTemporaryAllocation(of: epoll_event.self, capacity: Self.eventsMax) { events in
            var time = timespec(tv_sec: 0, tv_nsec: Int(min(nanoseconds, 999_999_999)))
            let count = epoll_pwait2(epoll, events.baseAddress, Int32(Self.eventsMax), &time, nil)
            for place in 0..<max(0, Int(count)) {
                let index = Int(events[place].data.u64)
                guard lanes[index].descriptor >= 0 else { continue }
                flush(index)
                read(index)
            }
        }
    }

    private mutating func read(_ index: Int) {
        guard lanes[index].descriptor >= 0 else { return }
        let isOpen = lanes[index].read { answer, body, request in
            let routed = answer.status == 200 ? min(HTTPAnswers.routed(in: body), request.pushes) : 0
            board[.routed] += UInt64(routed)
            board[.expected] += UInt64(routed * request.receivers / request.pushes)
            guard routed < request.pushes else { return }
            board[.refused] += UInt64(request.pushes - routed)
            board[.refusalStatus] = UInt64(answer.status)
        }
        if !isOpen { breakOff(index) }
    }
}

/// One kept-alive connection to logic, and what was asked on it.
struct PublisherLane {
    private(set) var descriptor: Int32 = -1
    private let address: LoadAddress
    private var output: [UInt8] = []
    private var written = 0
    private var input: [UInt8] = []
    /// The unanswered requests, oldest first.
    private var asked: [Request] = []

    struct Request {
        var path: String
        var pushes: Int
        /// How many clients they are for together.
        var receivers: Int
    }

    /// Requests on their way at once.
    static let depth = 8

    init(_ address: LoadAddress) { self.address = address }

    var outstanding: Int { asked.count }
    var pushesAsked: Int { asked.reduce(0) { $0 + $1.pushes } }
    var hasRoom: Bool { asked.count < Self.depth }

    mutating func connect() -> Bool {
        let made = LoadSocket.connect(address, source: nil)
        guard made >= 0 else { return false }
        descriptor = made
        return true
    }

    mutating func close() {
        if descriptor >= 0 { LoadSocket.drop(descriptor) }
        self = PublisherLane(address)
    }

    mutating func add(_ request: Request, _ body: [UInt8], apiKey: String) {
        let key = apiKey.isEmpty ? "" : "Authorization: Bearer \(apiKey)\r\n"
        output += "POST \(request.path) HTTP/1.1\r\nHost: \(address.host):\(address.port)\r\n\(key)".utf8
        output += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n\r\n".utf8
        output += body
        asked.append(request)
    }

    /// - Returns: false when the connection is broken.
    mutating func flush() -> Bool {
        while written < output.count {
            let sent = output.withUnsafeBytes {
                LoadSocket.send(UnsafeRawBufferPointer(rebasing: $0[written...]), to: descriptor)
            }
            guard sent > 0 else { return errno == EAGAIN || errno == ENOTCONN }
            written += sent
        }
        output.removeAll(keepingCapacity: true)
        written = 0
        return true
    }

    /// Reads all that came, and tells of each answer.
    ///
    /// - Returns: false when the connection is over.
    mutating func read(_ each: (HTTPAnswers.Answer, ArraySlice<UInt8>, Request) -> Void) -> Bool {
        while true {
            let count = withUnsafeTemporaryAllocation(byteCount: 1 << 16, alignment: 16) { chunk in
                let count = recv(descriptor, chunk.baseAddress, chunk.count, 0)
                if count > 0 { input += chunk[..<count] }
                return count
            }
            if count < 0, errno == EAGAIN || errno == EINTR || errno == ENOTCONN { break }
            guard count > 0 else { return false }
        }
        var start = 0
        while !asked.isEmpty {
            do {
                guard let answer = try HTTPAnswers.next(in: input, at: start) else { break }
                each(answer, input[answer.body], asked.removeFirst())
                start = answer.body.upperBound
            } catch {
                return false
            }
        }
        input.removeFirst(start)
        return true
    }
}
