/// An HTTP answer; the connection ends after it.
public struct HTTPAnswer: Sendable, Hashable {
    /// One header field.
    public struct Field: Sendable, Hashable {
        /// A token, in the spelling that goes out.
        public var name: String
        /// Without line breaks.
        public var value: String

        /// A field with that name and value.
        public init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// The status code, 100 to 599.
    public var status: Int
    /// Fields besides `Content-Length` and `Connection`, which the engine writes.
    public var fields: [Field]
    /// What follows the head; for a HEAD request it is counted and left out.
    public var body: [UInt8]

    /// An answer of these parts.
    public init(status: Int, fields: [Field] = [], body: [UInt8] = []) {
        self.status = status
        self.fields = fields
        self.body = body
    }

    /// An answer with a text for humans.
    public static func text(_ status: Int, _ text: String, fields: [Field] = []) -> HTTPAnswer {
        HTTPAnswer(
            status: status,
            fields: [Field("Content-Type", "text/plain; charset=utf-8")] + fields,
            body: Array((text + "\n").utf8)
        )
    }

    /// An answer with a JSON text.
    public static func json(_ status: Int, _ text: String, fields: [Field] = []) -> HTTPAnswer {
        HTTPAnswer(
            status: status,
            fields: [Field("Content-Type", "application/json")] + fields,
            body: Array(text.utf8)
        )
    }
}

extension HTTPAnswer {
    /// The answer as it goes over the wire.
    func encoded(withBody: Bool = true) -> [UInt8] {
        var head = "HTTP/1.1 \(status) \(Self.reason(status))\r\n"
        for field in fields where Self.isSafe(field) {
            head += "\(field.name): \(field.value)\r\n"
        }
        head += "Content-Length: \(body.count)\r\nConnection: close\r\n\r\n"
        return Array(head.utf8) + (withBody ? body : [])
    }

    /// A name or value with a line break in it would write headers of its own: such a field is left out.
    private static func isSafe(_ field: Field) -> Bool {
        !field.name.isEmpty && field.name.utf8.allSatisfy(ASCII.isToken)
            && field.value.utf8.allSatisfy(ASCII.isFieldValue)
    }

    private static func reason(_ status: Int) -> String {
        reasons[status] ?? "Status"
    }

    private static let reasons = [
        200: "OK", 204: "No Content", 301: "Moved Permanently", 302: "Found", 307: "Temporary Redirect",
        400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found",
        405: "Method Not Allowed", 408: "Request Timeout", 409: "Conflict", 413: "Content Too Large",
        414: "URI Too Long", 421: "Misdirected Request", 426: "Upgrade Required", 429: "Too Many Requests",
        431: "Request Header Fields Too Large", 500: "Internal Server Error", 502: "Bad Gateway",
        503: "Service Unavailable", 504: "Gateway Timeout", 505: "HTTP Version Not Supported",
    ]
}
