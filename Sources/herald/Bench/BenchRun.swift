import Glibc

/// One measurement: starts the load's processes, gives them their orders, and looks at counts and clocks before and
/// after. The load itself is `CrowdLoop` and `PublisherLoop`, each in processes of its own.
struct BenchRun: Sendable {
    struct Plan: Sendable {
        var clients: Int
        var works: [BenchWork]
        var payloadBytes: Int
        var warmUp: Duration
        var duration: Duration
        /// Cores of the load, as taskset(1) takes them; nil: all.
        var loadCPUs: String?
        var folder: String
    }

    let plan: Plan
    let system: BenchSystem
    /// Told what is being done, for people who wait.
    let tell: @Sendable (String) -> Void
    private let board: BenchBoard
    private let boardPath: String
    private let crowds: [Range<Int>]
    /// No two runs share a user or a room.
    private let tag = "bench-" + String(UInt32.random(in: 0...(.max)), radix: 36)

    private static let clientsPerProcess = 15_000
    private static let lookEvery = Duration.milliseconds(10)
    /// Nothing has moved for so long: it will not come any more.
    private static let patience = Duration.seconds(3)
    private static let connectPatience = Duration.seconds(15)

    init(_ plan: Plan, on system: BenchSystem, tell: @escaping @Sendable (String) -> Void) throws(Failure) {
        self.plan = plan
        self.system = system
        self.tell = tell
        boardPath = "\(plan.folder)/board"
        board = try BenchBoard(boardPath, isNew: true)
        let perProcess = min(Self.clientsPerProcess, LoadSocket.raiseDescriptorLimit() - 64)
        crowds = stride(from: 0, to: plan.clients, by: max(1, perProcess)).map {
            $0..<min($0 + perProcess, plan.clients)
        }
        guard crowds.count <= BenchBoard.crowdsMax else {
            throw Failure(.usage, "\(plan.clients) clients need more than \(BenchBoard.crowdsMax) processes")
        }
    }

    func run() async throws -> BenchReport {
        let load = startLoad()
        defer { board[.phase] = BenchBoard.Phase.stop.rawValue }
        var report = BenchReport(
            clients: plan.clients,
            nodes: system.nodes.count,
            payloadBytes: max(plan.payloadBytes, BenchStamp.bytesMin)
        )
        let before = system.usage()
        let storm = try await connect(load)
        if plan.works.contains(.storm) { report.storm = storm }
        guard storm.connected > 0 else {
            throw Failure(.failed, "no client could connect (\(lastReason))")
        }
        if plan.works.contains(.idle) { report.idle = try await idle(since: before, load) }
        for work in plan.works {
            guard case .messages(let aim, let pace) = work else { continue }
            // What is counted as lost is measured against those who are there.
            guard storm.failed == 0 else {
                throw Failure(.failed, "\(storm.failed) clients could not connect (\(lastReason))")
            }
            report.messages.append(try await messages(work, aim, pace, load))
        }
        return report
    }

    // MARK: The load

    private func startLoad() -> [ChildProcess] {
        let common = [Executable.path, "bench-load", "--board", boardPath, "--tag", tag]
        let nodes = system.nodes.flatMap { ["--node", $0.text] }
        var words = crowds.enumerated().map { crowd, range in
            common + ["--crowd", "\(crowd)", "--first", "\(range.lowerBound)", "--clients", "\(range.count)"]
                + nodes
        }
        words.append(
            common + [
                "--logic", system.logic.text, "--crowds", "\(crowds.count)", "--clients", "\(plan.clients)",
                "--payload-bytes", "\(plan.payloadBytes)",
            ]
        )
        return words.enumerated().map { index, words in
            ChildProcess.start(
                name: "load-\(index)",
                words: BenchCPUs.pinned(words, to: plan.loadCPUs),
                logPath: "\(plan.folder)/load-\(index).log",
                started: { _ in },
                ended: { _ in }
            )
        }
    }

    /// Waits until a condition holds, or nothing that is watched has changed for a while.
    private func wait(
        _ load: [ChildProcess],
        patience: Duration,
        until isDone: () -> Bool,
        orStalled progress: () -> UInt64
    ) async throws {
        var last = progress()
        var moved = ContinuousClock.now
        while !isDone() {
            if let dead = load.first(where: { $0.exit != nil }), let exit = dead.exit {
                let log = (try? FileContents.text(of: dead.logPath)) ?? ""
                throw Failure(.failed, "a process of the load \(exit): \(log)")
            }
            let now = progress()
            if now != last { (last, moved) = (now, .now) }
            guard ContinuousClock.now - moved < patience else { return }
            try await Task.sleep(for: Self.lookEvery)
        }
    }

    private func sum(_ word: BenchBoard.CrowdWord) -> UInt64 { board.sum(word, of: crowds.count) }

    private var lastReason: String {
        let reasons = crowds.indices.map { board[$0, .reason] }.filter { $0 != 0 }
        guard let reason = reasons.first else { return "no reason was given" }
        switch reason {
        case 1000...: return "close code \(reason)"
        case 200...: return "HTTP status \(reason)"
        default: return String(cString: strerror(Int32(reason)))
        }
    }

    // MARK: The works

    private func connect(_ load: [ChildProcess]) async throws -> BenchReport.Storm {
        tell("\(plan.clients) clients connect")
        let before = system.usage()
        board[.measureFrom] = .max
        board[.phase] = BenchBoard.Phase.connect.rawValue
        try await wait(load, patience: Self.connectPatience) {
            sum(.live) + sum(.failed) + sum(.closed) >= UInt64(plan.clients)
        } orStalled: {
            sum(.live) + sum(.failed)
        }
        let first: UInt64 = crowds.indices.map { board[$0, .firstStart] }.filter { $0 > 0 }.min() ?? 0
        let last: UInt64 = crowds.indices.map { board[$0, .lastLive] }.max() ?? 0
        let connected = sum(.live)
        return BenchReport.Storm(
            connected: connected,
            failed: UInt64(plan.clients) - min(connected, UInt64(plan.clients)),
            seconds: last > first ? Double(last - first) / 1e9 : 0,
            cpu: Self.cpu(before, system.usage(), each: connected),
            latency: board.histogram(.connect, of: crowds.count)
        )
    }

    private func idle(
        since start: [WatchedProcess.Role: ProcessUsage],
        _ load: [ChildProcess]
    ) async throws -> BenchReport.Idle {
        tell("they are idle for \(SettingValue.duration(plan.duration))")
        // What connecting left to be done is done first.
        try await Task.sleep(for: plan.warmUp)
        let (before, began, closed) = (system.usage(), Monotonic.nanoseconds, sum(.closed))
        try await Task.sleep(for: plan.duration)
        let (after, seconds) = (system.usage(), Double(Monotonic.nanoseconds - began) / 1e9)
        let connected = max(1, sum(.live))
        var bytes: BenchReport.Shares = [:]
        for (role, usage) in after {
            guard let first = start[role] else { continue }
            bytes[role] = Double(usage.residentBytes - first.residentBytes) / Double(connected)
        }
        return BenchReport.Idle(
            seconds: seconds,
            bytes: bytes,
            load: Self.cpu(before, after, each: 1).mapValues { $0 / seconds / 10_000 },
            closed: sum(.closed) - closed
        )
    }

    private func messages(
        _ work: BenchWork,
        _ aim: BenchWork.Aim,
        _ pace: BenchWork.Pace,
        _ load: [ChildProcess]
    ) async throws -> BenchReport.Messages {
        tell("\(work) for \(SettingValue.duration(plan.duration))")
        let first = Counts(board, crowds.count)
        board.clear(.delivery, of: crowds.count)
        board[.measureFrom] = .max
        order(aim, pace)
        try await Task.sleep(for: plan.warmUp)

        let (before, beforeCounts, began) = (
            system.usage(), Counts(board, crowds.count), Monotonic.nanoseconds
        )
        board[.measureFrom] = began
        try await Task.sleep(for: plan.duration)
        let (after, afterCounts, ended) = (system.usage(), Counts(board, crowds.count), Monotonic.nanoseconds)

        let number = board[.order]
        board[.stopped] = number
        try await wait(load, patience: .seconds(10)) {
            board[.finished] == number
        } orStalled: {
            board[.finished]
        }
        try await wait(load, patience: Self.patience) {
            sum(.arrived) - first.arrived >= board[.expected] - first.expected
        } orStalled: {
            sum(.arrived)
        }
        let all = Counts(board, crowds.count).minus(first)
        let window = afterCounts.minus(beforeCounts)
        return BenchReport.Messages(
            work: work,
            seconds: Double(ended - began) / 1e9,
            pushes: window.routed,
            deliveries: window.arrived,
            cpu: Self.cpu(before, after, each: window.arrived),
            latency: board.histogram(.delivery, of: crowds.count),
            expected: all.expected,
            arrived: all.arrived,
            repeated: all.repeated,
            overtaken: all.overtaken,
            stale: all.stale,
            refused: all.refused,
            unanswered: all.unanswered,
            closed: all.closed
        )
    }

    private func order(_ aim: BenchWork.Aim, _ pace: BenchWork.Pace) {
        board[.aim] = UInt64(BenchWork.Aim.allCases.firstIndex(of: aim) ?? 0)
        switch pace {
        case .rate(let rate): (board[.rate], board[.inFlight]) = (UInt64(rate), 0)
        case .inFlight(let count): (board[.rate], board[.inFlight]) = (0, UInt64(count))
        }
        board[.order] += 1
    }

    /// Microseconds that each role spent between two looks, for each of so many.
    private static func cpu(
        _ before: [WatchedProcess.Role: ProcessUsage],
        _ after: [WatchedProcess.Role: ProcessUsage],
        each count: UInt64
    ) -> BenchReport.Shares {
        var shares: BenchReport.Shares = [:]
        for (role, usage) in after {
            guard let first = before[role], count > 0 else { continue }
            shares[role] = (usage.cpuMicroseconds - first.cpuMicroseconds) / Double(count)
        }
        return shares
    }

    /// The board's counts at one moment.
    private struct Counts {
        var routed: UInt64
        var refused: UInt64
        var unanswered: UInt64
        var expected: UInt64
        var arrived: UInt64
        var repeated: UInt64
        var overtaken: UInt64
        var stale: UInt64
        var closed: UInt64

        init(_ board: BenchBoard, _ crowds: Int) {
            routed = board[.routed]
            refused = board[.refused]
            unanswered = board[.unanswered]
            expected = board[.expected]
            arrived = board.sum(.arrived, of: crowds)
            repeated = board.sum(.repeated, of: crowds)
            overtaken = board.sum(.overtaken, of: crowds)
            stale = board.sum(.stale, of: crowds)
            closed = board.sum(.closed, of: crowds)
        }

        func minus(_ earlier: Counts) -> Counts {
            var difference = self
            difference.routed -= earlier.routed
            difference.refused -= earlier.refused
            difference.unanswered -= earlier.unanswered
            difference.expected -= earlier.expected
            difference.arrived -= earlier.arrived
            difference.repeated -= earlier.repeated
            difference.overtaken -= earlier.overtaken
            difference.stale -= earlier.stale
            difference.closed -= earlier.closed
            return difference
        }
    }
}
