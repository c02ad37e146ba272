/// Where a server listens: `ws://host:port/path` for a cloud node, `http://host:port` for logic.
public struct ServerAddress: Hashable, Sendable, CustomStringConvertible {
    public enum Scheme: String, Hashable, Sendable {
        case ws, http

        var portDefault: Int { 80 }
    }

    public var scheme: Scheme
    /// A name or a numeric address; an IPv6 address without its brackets.
    public var host: String
    public var port: Int
    /// Starts with `/`, without the query.
    public var path: String

    public init(scheme: Scheme, host: String, port: Int, path: String) {
        self.scheme = scheme
        self.host = host
        self.port = port
        self.path = path
    }

    /// Reads an address.
    ///
    /// - Parameters:
    ///   - text: `scheme://host[:port][/path]`, without a query.
    ///   - scheme: the one it must have.
    /// - Throws: `badAddress`, which says what is wrong with it.
    public init(_ text: String, scheme: Scheme) throws(ClientError) {
        func bad(_ reason: String) -> ClientError {
            ClientError(.badAddress, "\(text) is no address of the form \(scheme)://host:port: \(reason)")
        }
        let start = "\(scheme)://"
        if text.hasPrefix("\(scheme)s://") { throw bad("TLS is not spoken yet, put a proxy in front") }
        guard text.hasPrefix(start) else { throw bad("it does not start with \(start)") }
        let rest = text.dropFirst(start.count)
        guard !rest.contains(where: { "?#@ ".contains($0) }) else {
            throw bad("it has a query, a fragment, a user or a space in it")
        }
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        guard let authority = Authority(rest[..<slash]) else { throw bad("host or port cannot be read") }
        self.scheme = scheme
        host = authority.host
        port = authority.port ?? scheme.portDefault
        path = slash == rest.endIndex ? "/" : String(rest[slash...])
    }

    /// Host and port as they stand in a `Host` field.
    public var authority: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    public var description: String { "\(scheme)://\(authority)\(path == "/" ? "" : path)" }
}

private struct Authority {
    var host: String
    var port: Int?

    init?(_ text: Substring) {
        var portText: Substring?
        if text.hasPrefix("[") {
            guard let end = text.firstIndex(of: "]") else { return nil }
            host = String(text[text.index(after: text.startIndex)..<end])
            let rest = text[text.index(after: end)...]
            guard rest.isEmpty || rest.hasPrefix(":") else { return nil }
            portText = rest.isEmpty ? nil : rest.dropFirst()
        } else if let colon = text.firstIndex(of: ":") {
            host = String(text[..<colon])
            portText = text[text.index(after: colon)...]
        } else {
            host = String(text)
        }
        guard !host.isEmpty else { return nil }
        guard let portText else { return }
        guard let number = Int(portText), (1...65_535).contains(number) else { return nil }
        port = number
    }
}

/// A query, percent-encoded as RFC 3986 §3.4 and the forms of browsers both read it.
enum Query {
    static func text(_ fields: [(name: String, value: String)]) -> String {
        fields.map { "\($0.name)=\(encoded($0.value))" }.joined(separator: "&")
    }

    static func encoded(_ value: String) -> String {
        var result = ""
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."),
                UInt8(ascii: "_"), UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                result += byte < 16 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return result
    }
}
