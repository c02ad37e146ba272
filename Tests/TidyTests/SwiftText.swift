/// Swift source with the content of comments and strings blanked, so that rules meet code only.
///
/// A small scanner, not a parser: it knows line and block comments, strings with escapes and interpolation,
/// multi-line strings and raw strings with one `#`. That is all this project writes.
struct SwiftText {
    /// The same number of lines as the source.
    let lines: [String]

    init(_ source: String) {
        var scanner = Scanner(source: Array(source))
        lines = scanner.blanked().split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    struct Function: Equatable {
        /// The line of the declaration, from 1.
        var line: Int
        /// From the declaration to its closing brace.
        var length: Int
    }

    /// Every function, initialiser and deinitialiser with a body.
    var functions: [Function] {
        var found: [Function] = []
        var open: [(depth: Int, line: Int)] = []
        var depth = 0
        var pending: Int?
        for (index, line) in lines.enumerated() {
            if Self.endsPromise(line) { pending = nil }
            if Self.declaresFunction(line) { pending = index + 1 }
            for character in line {
                if character == "{" {
                    if let line = pending {
                        open.append((depth, line))
                        pending = nil
                    }
                    depth += 1
                } else if character == "}" {
                    depth -= 1
                    if let last = open.last, last.depth == depth {
                        found.append(Function(line: last.line, length: index + 2 - last.line))
                        open.removeLast()
                    }
                }
            }
        }
        return found
    }

    private static func declaresFunction(_ line: String) -> Bool {
        let words = line.split { !($0.isLetter || $0.isNumber || $0 == "_" || $0 == "`") }
        guard !line.contains(".init("), !line.contains("self.init(") else { return false }
        return words.contains("func") || words.contains("deinit")
            || words.first { !modifiers.contains(String($0)) } == "init"
    }

    /// Whether a declaration without a body, a protocol's requirement, is over before this line.
    private static func endsPromise(_ line: String) -> Bool {
        let first = line.split(separator: " ").first.map(String.init) ?? ""
        return ["", "var", "let", "case", "typealias", "associatedtype", "}"].contains(first)
    }

    private static let modifiers: Set<String> = [
        "public", "package", "internal", "private", "fileprivate", "convenience", "required", "override",
        "mutating",
        "nonisolated", "borrowing", "consuming", "inline", "__always", "inlinable", "usableFromInline",
    ]
}

private struct Scanner {
    let source: [Character]
    var index = 0
    var output = ""

    mutating func blanked() -> String {
        while index < source.count { step() }
        return output
    }

    private mutating func step() {
        if at("//") {
            skip { $0.source[$0.index] == "\n" }
        } else if at("/*") {
            skip { $0.at("*/") }
        } else if at("#\"\"\"") {
            blankString(opening: 4, closing: "\"\"\"#", escape: nil)
        } else if at("\"\"\"") {
            blankString(opening: 3, closing: "\"\"\"", escape: "\\")
        } else if at("#\"") {
            blankString(opening: 2, closing: "\"#", escape: nil)
        } else if at("\"") {
            blankString(opening: 1, closing: "\"", escape: "\\")
        } else {
            output.append(source[index])
            index += 1
        }
    }

    private func at(_ text: String) -> Bool {
        var position = index
        for character in text {
            guard position < source.count, source[position] == character else { return false }
            position += 1
        }
        return true
    }

    private mutating func skip(until isEnd: (Scanner) -> Bool) {
        while index < source.count, !isEnd(self) {
            if source[index] == "\n" { output.append("\n") }
            index += 1
        }
    }

    private mutating func blankString(opening: Int, closing: String, escape: Character?) {
        index += opening
        output.append("\"\"")
        while index < source.count, !at(closing) {
            if source[index] == escape {
                index += 1
                if index < source.count, source[index] == "(" {
                    skipInterpolation()
                    continue
                }
            }
            if index < source.count, source[index] == "\n" { output.append("\n") }
            index += 1
        }
        index += closing.count
    }

    /// Passes over `(…)`, which may hold strings of its own.
    private mutating func skipInterpolation() {
        let written = output
        var depth = 0
        repeat {
            if source[index] == "(" { depth += 1 }
            if source[index] == ")" { depth -= 1 }
            step()
        } while index < source.count && depth > 0
        output = written
    }
}
