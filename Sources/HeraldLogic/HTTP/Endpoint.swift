import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird
import NIOCore

/// One thing the API does: a method on a path.
struct Endpoint: Sendable {
    typealias Answer = @Sendable (Request, PathParameters) async throws(Problem) -> Response

    let method: HTTPRequest.Method
    let path: PathTemplate
    /// Whether it may be asked without the API key: probes cannot carry one.
    let isOpen: Bool
    let answer: Answer

    init(_ method: HTTPRequest.Method, _ path: String, isOpen: Bool = false, _ answer: @escaping Answer) {
        self.method = method
        self.path = PathTemplate(path)
        self.isOpen = isOpen
        self.answer = answer
    }
}

extension Response {
    /// A JSON document.
    static func json(_ status: HTTPResponse.Status = .ok, _ body: (inout JSONWriter) -> Void) -> Response {
        var writer = JSONWriter()
        body(&writer)
        return json(status, bytes: writer.bytes)
    }

    static func json(_ status: HTTPResponse.Status = .ok, bytes: [UInt8]) -> Response {
        Response(
            status: status,
            headers: [.contentType: "application/json"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }

    static func text(_ type: String, _ bytes: some Sequence<UInt8>) -> Response {
        Response(
            status: .ok,
            headers: [.contentType: type],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }
}
