import HTTPTypes
import HeraldCore
import HeraldWire
import Hummingbird
import NIOCore

/// Why a request was not done, as an RFC 9457 problem document: the one shape of error this API has.
struct Problem: Error {
    let status: HTTPResponse.Status
    /// Stable, for programs.
    let code: String
    /// For people: what is wrong and what would help.
    let detail: String
    /// The field at fault as a path, where one is.
    var field = ""
    /// When trying again makes sense, in whole seconds; nil when it does not.
    var retryAfterSeconds: Int64?
    /// The methods that the path knows, when the method was wrong.
    var allow = ""
    /// Whether the rest of the request is not worth reading.
    var closesConnection = false

    init(_ status: HTTPResponse.Status, _ code: String, _ detail: String) {
        self.status = status
        self.code = code
        self.detail = detail
    }

    /// The document.
    var body: [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("type", "urn:herald:problem:\(code)")
            writer.member("title", status.reasonPhrase)
            writer.member("status", status.code)
            writer.member("code", code)
            writer.member("detail", detail)
            if !field.isEmpty { writer.member("field", field) }
            if let retryAfterSeconds { writer.member("retry_after", retryAfterSeconds) }
        }
        return writer.bytes
    }

    var headers: HTTPFields {
        var fields: HTTPFields = [.contentType: "application/problem+json"]
        if let retryAfterSeconds { fields[.retryAfter] = String(retryAfterSeconds) }
        if !allow.isEmpty { fields[.allow] = allow }
        if status == .unauthorized { fields[.wwwAuthenticate] = "Bearer realm=\"herald\"" }
        if closesConnection { fields[.connection] = "close" }
        return fields
    }

    var response: Response {
        Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(bytes: body)))
    }
}

extension Problem {
    init(_ refusal: PushRefusal) {
        let status: HTTPResponse.Status =
            switch refusal.code {
            case .internalError: .internalServerError
            default: .serviceUnavailable
            }
        self.init(status, refusal.code.description, refusal.detail)
        retryAfterSeconds = refusal.retryAfter.map { max(1, $0.components.seconds) }
    }

    init(_ error: WireError) {
        self.init(.badRequest, error.code.description, error.message)
        field = error.field
    }

    init(_ error: InvalidIdentifier) {
        self.init(.badRequest, WireError.Code.badID.description, "the \(error)")
        field = error.kind
    }

    init(_ error: RouteTableError) { self.init(error.refusal) }

    static func tooLarge(max: Int) -> Self {
        var problem = Self(.contentTooLarge, "too_large", "the body is larger than \(max) bytes")
        problem.closesConnection = true
        return problem
    }

    static func badHTTP(_ status: HTTPResponse.Status, _ code: String, _ detail: String) -> Self {
        var problem = Self(status, code, detail)
        problem.closesConnection = true
        return problem
    }
}
