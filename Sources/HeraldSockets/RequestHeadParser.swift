/// Turns the bytes of a whole head into an `HTTPRequestHead`, strictly (RFC 9112): what two parsers could
/// read in two ways is refused, not repaired.
struct RequestHeadParser {
    private let bytes: [UInt8]
    private var position = 0

    /// Fields that may come once only: the meaning of a second one would be anybody's guess.
    private static let singular = [
        "host", "upgrade", "sec-websocket-key", "sec-websocket-version", "content-length",
        "transfer-encoding",
        "origin", "authorization",
    ]

    private init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// The bytes are a head as `RequestHeadReader` hands it out: lines end in CR LF, the last is empty.
    static func parse(_ bytes: [UInt8]) -> Result<HTTPRequestHead, RequestRefusal> {
        var parser = RequestHeadParser(bytes)
        do throws(RequestRefusal) {
            var head = try parser.requestLine()
            let fields = try parser.fields()
            head = HTTPRequestHead(
                bytes: bytes,
                methodRange: head.methodRange,
                targetRange: head.targetRange,
                pathRange: head.pathRange,
                queryRange: head.queryRange,
                minorVersion: head.minorVersion,
                fields: fields
            )
            try check(head)
            head.isUpgrade = try UpgradeRequest.isUpgrade(head)
            return .success(head)
        } catch {
            return .failure(error)
        }
    }

    // MARK: Request line

    private mutating func requestLine() throws(RequestRefusal) -> HTTPRequestHead {
        let line = nextLine()
        let spaces = line.filter { bytes[$0] == 0x20 }
        guard spaces.count == 2 else { throw .malformed }
        let method = line.lowerBound..<spaces[0]
        let target = spaces[0] + 1..<spaces[1]
        guard !method.isEmpty, bytes[method].allSatisfy(ASCII.isToken) else { throw .malformed }
        guard !target.isEmpty, bytes[target].allSatisfy(ASCII.isTarget) else { throw .malformed }
        let minor = try minorVersion(spaces[1] + 1..<line.upperBound)
        let pathAndQuery = try originForm(target)
        let mark = bytes[pathAndQuery].firstIndex(of: UInt8(ascii: "?"))
        return HTTPRequestHead(
            bytes: bytes,
            methodRange: method,
            targetRange: target,
            pathRange: pathAndQuery.lowerBound..<(mark ?? pathAndQuery.upperBound),
            queryRange: mark.map { $0 + 1..<pathAndQuery.upperBound },
            minorVersion: minor,
            fields: []
        )
    }

    private func minorVersion(_ range: Range<Int>) throws(RequestRefusal) -> Int {
        let version = bytes[range]
        guard version.count == 8, version.starts(with: "HTTP/".utf8) else { throw .malformed }
        let digits = version.suffix(3)
        guard let major = digits.first, let minor = digits.last, ASCII.isDigit(major), ASCII.isDigit(minor),
            digits.dropFirst().first == UInt8(ascii: ".")
        else { throw .malformed }
        guard major == UInt8(ascii: "1"), minor <= UInt8(ascii: "1") else { throw .versionNotSupported }
        return Int(minor - UInt8(ascii: "0"))
    }

    /// The part of the target from the path on; `http://host/path`, as proxies send it, is allowed.
    private func originForm(_ target: Range<Int>) throws(RequestRefusal) -> Range<Int> {
        guard !bytes[target].contains(UInt8(ascii: "#")) else { throw .malformed }
        if bytes[target.lowerBound] == UInt8(ascii: "/") { return target }
        for scheme in ["http://", "https://", "ws://", "wss://"] where bytes[target].starts(with: scheme.utf8)
        {
            let authority = target.lowerBound + scheme.utf8.count
            guard let slash = bytes[authority..<target.upperBound].firstIndex(of: UInt8(ascii: "/")) else {
                break
            }
            return slash..<target.upperBound
        }
        throw .malformed
    }

    // MARK: Fields

    private mutating func fields() throws(RequestRefusal) -> [HTTPRequestHead.Field] {
        var fields: [HTTPRequestHead.Field] = []
        fields.reserveCapacity(16)
        while true {
            let line = nextLine()
            if line.isEmpty { return fields }
            // A line that starts with a blank continues the one before (obs-fold); its "name" is no token.
            guard let colon = bytes[line].firstIndex(of: UInt8(ascii: ":")), colon > line.lowerBound,
                bytes[line.lowerBound..<colon].allSatisfy(ASCII.isToken)
            else { throw .malformed }
            fields.append(
                HTTPRequestHead.Field(
                    name: line.lowerBound..<colon,
                    value: ASCII.trimmed(bytes, colon + 1..<line.upperBound)
                )
            )
        }
    }

    private mutating func nextLine() -> Range<Int> {
        let start = position
        let end = bytes[start...].firstIndex(of: 0x0D) ?? bytes.count
        position = min(end + 2, bytes.count)
        return start..<end
    }

    // MARK: The whole

    private static func check(_ head: HTTPRequestHead) throws(RequestRefusal) {
        for name in singular where head.fields.lazy.filter({ head.matches($0.name, name) }).count > 1 {
            throw .malformed
        }
        switch head["host"] {
        case .none: if head.minorVersion == 1 { throw .malformed }
        case .some(let host): if !host.utf8.allSatisfy(isHostByte) { throw .malformed }
        }
        // This port takes no bodies; what cannot be skipped safely ends the connection.
        guard head["transfer-encoding"] == nil else { throw .hasBody }
        if let length = head["content-length"] {
            guard !length.isEmpty, length.utf8.allSatisfy(ASCII.isDigit) else { throw .malformed }
            guard length.utf8.allSatisfy({ $0 == UInt8(ascii: "0") }) else { throw .hasBody }
        }
    }

    /// Names, addresses, brackets, a port: no blank, comma, slash or user part.
    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "/"), UInt8(ascii: ","), UInt8(ascii: "@"), UInt8(ascii: "?"), UInt8(ascii: "#"):
            false
        default: ASCII.isTarget(byte)
        }
    }
}
