import HTTPTypes

/// A request's query, read strictly: an unknown or repeated name is refused, so that a misspelt one is not ignored.
struct QueryParameters: Sendable {
    private var values: [String: String] = [:]

    /// - Parameters:
    ///   - query: what stands behind the question mark, still encoded: `+` or `%20` for a space.
    ///   - known: the names that may stand in it.
    /// - Throws: `unknown_parameter` or `bad_parameter`, with the name.
    init(_ query: String?, known: [String]) throws(Problem) {
        for pair in (query ?? "").utf8.split(separator: UInt8(ascii: "&")) {
            let parts = pair.split(
                separator: UInt8(ascii: "="),
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            guard let name = Self.decode(parts[0]) else {
                throw .badParameter("", "the query is not percent-encoded UTF-8")
            }
            guard known.contains(name) else { throw Self.unknown(name, known) }
            guard let value = parts.count == 2 ? Self.decode(parts[1]) : "" else {
                throw .badParameter(name, "is not percent-encoded UTF-8")
            }
            guard values.updateValue(value, forKey: name) == nil else {
                throw .badParameter(name, "is given twice")
            }
        }
    }

    /// The text of a parameter; nil when it is not there.
    func text(_ name: String) -> String? { values[name] }

    /// A whole number.
    ///
    /// - Throws: `bad_parameter` when it is none, or out of bounds.
    func number(
        _ name: String,
        in bounds: ClosedRange<Int>,
        otherwise standard: Int
    ) throws(Problem) -> Int {
        guard let text = values[name] else { return standard }
        guard let number = Int(text), bounds.contains(number) else {
            throw .badParameter(
                name,
                "must be a whole number from \(bounds.lowerBound) to \(bounds.upperBound)"
            )
        }
        return number
    }

    private static func unknown(_ name: String, _ known: [String]) -> Problem {
        // Short enough for a line, whatever was sent.
        let short = String(name.prefix(40)) + (name.count > 40 ? "…" : "")
        var problem = Problem(
            .badRequest,
            "unknown_parameter",
            "\(short) is no parameter here; there is \(known.joined(separator: ", "))"
        )
        problem.field = short
        return problem
    }

    /// - Returns: nil for what is no percent-encoded UTF-8.
    private static func decode(_ text: Substring.UTF8View) -> String? {
        var bytes: [UInt8] = []
        var rest = text.makeIterator()
        while let byte = rest.next() {
            switch byte {
            case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard let high = rest.next().flatMap(PathParameters.hexadecimal),
                    let low = rest.next().flatMap(PathParameters.hexadecimal)
                else { return nil }
                bytes.append(high << 4 | low)
            default: bytes.append(byte)
            }
        }
        return String(validating: bytes, as: UTF8.self)
    }
}

extension Problem {
    /// A parameter of the query that cannot be used; `rule` follows its name.
    static func badParameter(_ name: String, _ rule: String) -> Self {
        var problem = Self(.badRequest, "bad_parameter", name.isEmpty ? rule : "\(name) \(rule)")
        problem.field = name
        return problem
    }
}
