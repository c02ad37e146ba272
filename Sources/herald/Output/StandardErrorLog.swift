import Glibc
import Logging

/// Logs to standard error, one line each: time, level, message, metadata as `name=value`.
struct StandardErrorLog: LogHandler {
    var metadata: Logger.Metadata = [:]
    var metadataProvider: Logger.MetadataProvider?
    var logLevel: Logger.Level

    /// Makes this the handler of all loggers. Called once, before the first of them is made.
    static func install(level: Logger.Level) {
        LoggingSystem.bootstrap { _ in StandardErrorLog(logLevel: level) }
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { $1 } }
        if let given = event.metadata { all.merge(given) { $1 } }
        let line = Self.line(
            level: event.level,
            message: event.message.description,
            metadata: all,
            at: Self.now()
        )
        Console.write(Array(line.utf8), to: STDERR_FILENO)
    }

    static func line(
        level: Logger.Level,
        message: String,
        metadata: Logger.Metadata,
        at time: timespec
    ) -> String {
        var line = "\(stamp(time)) \(level.rawValue.uppercased()) \(oneLine(message))"
        for (name, value) in metadata.sorted(by: { $0.key < $1.key }) {
            line += " \(name)=\(quoted("\(value)"))"
        }
        return line + "\n"
    }

    private static func now() -> timespec {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return time
    }

    /// `2026-01-31T23:59:59.123Z`.
    private static func stamp(_ time: timespec) -> String {
        var seconds = time.tv_sec
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func digits(_ number: Int, _ width: Int) -> String {
            let text = String(number)
            return String(repeating: "0", count: max(0, width - text.count)) + text
        }
        let date = [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)].map {
            digits($0, 2)
        }
        let clock = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { digits(Int($0), 2) }
        return
            "\(date.joined(separator: "-"))T\(clock.joined(separator: ":")).\(digits(time.tv_nsec / 1_000_000, 3))Z"
    }

    private static func quoted(_ value: String) -> String {
        let isPlain =
            !value.isEmpty
            && value.unicodeScalars.allSatisfy { $0 > " " && $0 != "\"" && $0 != "=" && $0 != "\u{7F}" }
        return isPlain ? value : "\"\(oneLine(value).replacing("\"", with: "\\\""))\""
    }

    private static func oneLine(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: { $0.value < 0x20 }) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.value < 0x20 ? " " : $0 }))
    }
}
