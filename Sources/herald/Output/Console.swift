import Glibc

/// Standard output and what kind of thing it is.
enum Console {
    /// Whether a person reads along.
    static let isTerminal = isatty(STDOUT_FILENO) == 1
    /// Colour only on a terminal, and not when `NO_COLOR` is set (no-color.org).
    static let hasColour = isTerminal && !isSet("NO_COLOR") && !isDumb

    /// Writes a line to standard output at once.
    static func say(_ line: String) { write(Array((line + "\n").utf8), to: STDOUT_FILENO) }

    static func say(_ json: [UInt8]) { deliver(json) }

    /// Says it, to whom it matters whether it was said.
    ///
    /// - Returns: false when nobody reads standard output any more.
    @discardableResult static func deliver(_ json: [UInt8]) -> Bool {
        write(json + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
    }

    /// Writes a line to standard error at once.
    static func complain(_ line: String) { write(Array((line + "\n").utf8), to: STDERR_FILENO) }

    /// One system call for a line that fits a pipe's buffer, so that lines of several processes do not mix. What
    /// cannot be written (a closed pipe) is dropped: there is nobody left to tell.
    ///
    /// - Returns: whether all was written.
    @discardableResult static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    private static func isSet(_ variable: String) -> Bool {
        guard let value = getenv(variable) else { return false }
        return value.pointee != 0
    }

    private static var isDumb: Bool { getenv("TERM").map { strcmp($0, "dumb") == 0 } ?? true }
}

/// The few colours there are, each with a meaning.
enum Colour: String {
    case good = "32"
    case warning = "33"
    case bad = "31"
    case quiet = "2"
    case heading = "1"

    func callAsFunction(_ text: String, if on: Bool = Console.hasColour) -> String {
        on ? "\u{1B}[\(rawValue)m\(text)\u{1B}[0m" : text
    }
}
