import HTTPTypes
import NIOCore

/// An answer of the lane, the same as Hummingbird would write it.
struct LeanAnswer: Sendable {
    let body: [UInt8]
    /// Nil for 200.
    private let problem: Problem?

    /// What a head takes, about.
    static let headBytes = 160

    /// A JSON document.
    init(body: [UInt8]) {
        self.body = body
        problem = nil
    }

    init(_ problem: Problem) {
        body = problem.body
        self.problem = problem
    }

    var status: HTTPResponse.Status { problem?.status ?? .ok }

    func write(to buffer: inout ByteBuffer, date: [UInt8]) {
        if let problem {
            buffer.writeString("HTTP/1.1 \(problem.status.code) \(problem.status.reasonPhrase)\r\n")
            for field in problem.headers { buffer.writeString("\(field.name.rawName): \(field.value)\r\n") }
            buffer.writeStaticString("Content-Length: ")
        } else {
            buffer.writeStaticString(
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
            )
        }
        buffer.writeString(String(body.count))
        buffer.writeStaticString("\r\nDate: ")
        buffer.writeBytes(date)
        buffer.writeStaticString("\r\n\r\n")
        buffer.writeBytes(body)
    }
}
