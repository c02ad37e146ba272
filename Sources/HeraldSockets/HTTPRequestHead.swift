/// The head of an HTTP request, as it came: one copy of the bytes, and where the parts are.
///
/// Parts become strings only when asked for, so a request costs two allocations and not thirty.
public struct HTTPRequestHead: Sendable {
    /// A header field's place in `bytes`.
    struct Field: Sendable {
        var name: Range<Int>
        var value: Range<Int>
    }

    /// The request up to its blank line.
    let bytes: [UInt8]
    let methodRange: Range<Int>
    let targetRange: Range<Int>
    let pathRange: Range<Int>
    let queryRange: Range<Int>?
    /// The x of HTTP/1.x.
    let minorVersion: Int
    let fields: [Field]
    /// Whether it asks for an upgrade to WebSocket, and does so rightly.
    public internal(set) var isUpgrade = false
    /// The other end of the connection: a proxy's if there is one in between, unless it sends PROXY headers and is
    /// believed.
    public internal(set) var peer = PeerAddress(host: "", port: 0)
    /// Whom the request is from: the peer, or whom a believed peer speaks for (`ProxySettings`). The port is 0 when
    /// nobody told it.
    public internal(set) var client = PeerAddress(host: "", port: 0)

    /// `GET` for every upgrade; anything for a request that is none.
    public var method: String { string(methodRange) }
    /// What stands in the request line: path and query, still encoded.
    public var target: String { string(targetRange) }
    /// The path, still percent-encoded, starting with a slash.
    public var path: String { string(pathRange) }
    /// The query, still percent-encoded, without its question mark; nil when there is no question mark.
    public var rawQuery: String? { queryRange.map(string) }

    /// The first field of that name, in whatever case; nil when there is none.
    public subscript(name: String) -> String? {
        fields.first { matches($0.name, name) }.map { string($0.value) }
    }

    /// All fields of that name, in whatever case and in their order.
    public func values(_ name: String) -> [String] {
        fields.filter { matches($0.name, name) }.map { string($0.value) }
    }

    /// What `Sec-WebSocket-Protocol` offers, in the client's order of preference.
    public var subprotocols: [String] { list("sec-websocket-protocol").map(string) }
}

extension HTTPRequestHead {
    /// The ranges of the elements of a comma-separated header, all its fields together, empty ones left out.
    func list(_ name: String) -> [Range<Int>] {
        var elements: [Range<Int>] = []
        for field in fields where matches(field.name, name) {
            var start = field.value.lowerBound
            for index in field.value.lowerBound...field.value.upperBound
            where index == field.value.upperBound || bytes[index] == UInt8(ascii: ",") {
                let element = ASCII.trimmed(bytes, start..<index)
                if !element.isEmpty { elements.append(element) }
                start = index + 1
            }
        }
        return elements
    }

    /// Whether the bytes there are that word, letters in either case.
    func matches(_ range: Range<Int>, _ word: String) -> Bool {
        let word = word.utf8
        guard range.count == word.count else { return false }
        return zip(bytes[range], word).allSatisfy { ASCII.lowercased($0) == ASCII.lowercased($1) }
    }

    func string(_ range: Range<Int>) -> String {
        String(decoding: bytes[range], as: UTF8.self)
    }
}

/// The numeric address and port of the other end of a connection.
public struct PeerAddress: Sendable, Hashable, CustomStringConvertible {
    /// An IPv4 or IPv6 address in its usual spelling; empty when the kernel did not say.
    public let host: String
    /// The TCP port.
    public let port: Int

    /// Host and port with a colon between them, IPv6 in brackets.
    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}
