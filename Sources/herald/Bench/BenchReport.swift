import HeraldWire

/// What was measured, for people and for programs.
struct BenchReport: Equatable, Sendable {
    /// What the system's processes spent, by their role; a role is missing when no process of it was found here.
    typealias Shares = [WatchedProcess.Role: Double]

    var clients: Int
    var nodes: Int
    var payloadBytes: Int
    var storm: Storm?
    var idle: Idle?
    var messages: [Messages] = []

    struct Storm: Equatable, Sendable {
        /// Told that they are connected; turned away or cut.
        var connected: UInt64
        var failed: UInt64
        var seconds: Double
        /// CPU time in microseconds for each connection.
        var cpu: Shares
        var latency: LatencyHistogram
    }

    struct Idle: Equatable, Sendable {
        var seconds: Double
        /// Resident bytes for each connection.
        var bytes: Shares
        /// Of one core, in percent.
        var load: Shares
        /// Connections that ended meanwhile.
        var closed: UInt64
    }

    struct Messages: Equatable, Sendable {
        var work: BenchWork
        var seconds: Double
        /// Of the measured window.
        var pushes: UInt64
        var deliveries: UInt64
        /// CPU time in microseconds for each delivery of the window.
        var cpu: Shares
        var latency: LatencyHistogram
        // Of the whole step, warming up and last arrivals included.
        var expected: UInt64
        var arrived: UInt64
        var repeated: UInt64
        var overtaken: UInt64
        /// Too far behind to say whether they came before.
        var stale: UInt64
        /// Pushes that were not routed, and those that were never answered.
        var refused: UInt64
        var unanswered: UInt64
        /// Connections that ended meanwhile.
        var closed: UInt64

        var lost: UInt64 { expected > arrived ? expected - arrived : 0 }
        var isClean: Bool { [lost, repeated, stale, refused, unanswered, closed].allSatisfy { $0 == 0 } }
    }

    /// Whether everybody connected and stayed, and each message came once.
    var isClean: Bool {
        (storm?.failed ?? 0) == 0 && (idle?.closed ?? 0) == 0 && messages.allSatisfy(\.isClean)
    }

    // MARK: For people

    func lines(colour: Bool) -> [String] {
        var table = TextTable(
            "WORK",
            "EACH SECOND",
            "CPU µs: CLOUD",
            "LOGIC",
            "REDIS",
            "P50",
            "P99",
            "P99.9",
            "MAX",
            "LOST",
            "REPEATED"
        )
        if let storm {
            let perSecond = Self.perSecond(storm.connected, storm.seconds)
            add("storm", perSecond, storm.cpu, storm.latency, lost: storm.failed, repeated: 0, to: &table)
        }
        for row in messages {
            let perSecond = Self.perSecond(row.deliveries, row.seconds)
            let (lost, repeated) = (row.lost, row.repeated)
            add(
                row.work.description,
                perSecond,
                row.cpu,
                row.latency,
                lost: lost,
                repeated: repeated,
                to: &table
            )
        }
        var lines = [
            "\(clients) connections on \(nodes) \(nodes == 1 ? "node" : "nodes"), \(payloadBytes) bytes of data a message"
        ]
        if storm != nil || !messages.isEmpty { lines += table.lines(colour: colour) }
        if let idle {
            lines.append(
                "idle for \(BenchNumber.text(idle.seconds)) s: "
                    + Self.roles(idle.bytes) { "\(Int($0.rounded())) bytes a connection in \($1)" } + "; "
                    + Self.roles(idle.load) { "\(BenchNumber.text($0)) % of a core in \($1)" }
            )
        }
        return lines + troubles
    }

    /// What was not as it should be.
    private var troubles: [String] {
        var lines: [String] = []
        if let idle, idle.closed > 0 { lines.append("idle: \(idle.closed) connections ended") }
        for row in messages {
            let counts: [(UInt64, String)] = [
                (row.refused, "pushes were not routed"), (row.unanswered, "pushes were not answered"),
                (row.stale, "messages came too late to be told from repeats"),
                (row.closed, "connections ended"),
            ]
            for (count, words) in counts where count > 0 { lines.append("\(row.work): \(count) \(words)") }
        }
        return lines
    }

    private func add(
        _ work: String,
        _ perSecond: Double,
        _ cpu: Shares,
        _ latency: LatencyHistogram,
        lost: UInt64,
        repeated: UInt64,
        to table: inout TextTable
    ) {
        table.add(
            .init(work),
            .init(BenchNumber.text(perSecond)),
            .init(Self.share(cpu[.cloud])),
            .init(Self.share(cpu[.logic])),
            .init(Self.share(cpu[.redis])),
            .init(BenchNumber.time(nanoseconds: latency.percentile(0.5))),
            .init(BenchNumber.time(nanoseconds: latency.percentile(0.99))),
            .init(BenchNumber.time(nanoseconds: latency.percentile(0.999))),
            .init(BenchNumber.time(nanoseconds: latency.percentile(1))),
            .init(String(lost), lost == 0 ? .good : .bad),
            .init(String(repeated), repeated == 0 ? .good : .bad)
        )
    }

    private static func perSecond(_ count: UInt64, _ seconds: Double) -> Double {
        seconds > 0 ? Double(count) / seconds : 0
    }

    private static func share(_ value: Double?) -> String { value.map(BenchNumber.text) ?? "-" }

    private static func roles(_ shares: Shares, _ words: (Double, String) -> String) -> String {
        let parts = WatchedProcess.Role.allCases.compactMap { role in
            shares[role].map { words($0, role.rawValue) }
        }
        return parts.isEmpty ? "no process of the system is on this machine" : parts.joined(separator: ", ")
    }
}

/// Numbers as they are shown.
enum BenchNumber {
    /// Three digits of what is below 100, all digits of what is not: `0.42`, `8.13`, `41.2`, `129500`.
    static func text(_ number: Double) -> String {
        switch number.magnitude {
        case 100...: String(Int(number.rounded()))
        case 10..<100: fixed(number, digits: 1)
        default: fixed(number, digits: 2)
        }
    }

    /// `850 µs`, `12.5 ms`, `3.20 s`.
    static func time(nanoseconds: UInt64) -> String {
        let microseconds = Double(nanoseconds) / 1000
        switch microseconds {
        case ..<1000: return "\(Int(microseconds.rounded())) µs"
        case ..<1_000_000: return "\(text(microseconds / 1000)) ms"
        default: return "\(text(microseconds / 1_000_000)) s"
        }
    }

    static func fixed(_ number: Double, digits: Int) -> String {
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((number.magnitude * Double(scale)).rounded())
        let rest = String(scaled % scale)
        let sign = number < 0 && scaled > 0 ? "-" : ""
        guard digits > 0 else { return "\(sign)\(scaled)" }
        return "\(sign)\(scaled / scale)." + String(repeating: "0", count: digits - rest.count) + rest
    }
}
