import Glibc
import HeraldWire
import NIOCore
import NIOHTTP1
import NIOPosix

extension ClientError {
    /// From an HTTP answer that says no: a problem document (RFC 9457), or any other.
    init(refusal head: HTTPResponseHead, body: [UInt8], what: String) {
        let problem = Problem(body)
        let status = Int(head.status.code)
        let detail = problem.detail ?? problem.title ?? head.status.reasonPhrase
        self.init(
            .refused,
            "\(what): \(status) \(detail)",
            mayRetry: status == 429 || status >= 500 && status != 501 && status != 505
        )
        self.status = status
        serverCode = problem.code
        if let seconds = head.headers.first(name: "Retry-After").flatMap(Int.init), seconds >= 0 {
            retryAfter = .seconds(min(seconds, 3600))
        }
    }

    /// From what made connecting fail.
    init(connecting address: ServerAddress, _ error: any Error) {
        if let error = error as? ClientError {
            self = error
            return
        }
        var reason = "\(error)"
        if let error = error as? NIOConnectionError {
            reason = error.connectionErrors.first.map { Self.reason($0.error) } ?? "its name is not known"
        } else {
            reason = Self.reason(error)
        }
        self.init(.unreachable, "\(address) cannot be reached: \(reason)", mayRetry: true)
    }

    static func reason(_ error: any Error) -> String {
        switch error {
        case let error as IOError where error.errnoCode == ECONNREFUSED: "nobody listens there"
        case ChannelError.connectTimeout: "no answer in time"
        case ChannelError.eof, ChannelError.ioOnClosedChannel, ChannelError.inputClosed:
            "it closed the connection"
        default: "\(error)"
        }
    }
}

/// The fields of a problem document that a caller can use. Anything else gives none.
private struct Problem {
    var code: String?
    var title: String?
    var detail: String?

    init(_ body: [UInt8]) {
        let fields = try? body.withUnsafeBytes { bytes in
            try JSONReader.read(bytes, depthMax: 16) { reader throws(WireError) in
                var fields: [String: String] = [:]
                try reader.object { reader, name throws(WireError) in
                    if ["code", "title", "detail"].contains(name) {
                        fields[name] = try reader.string()
                    } else {
                        _ = try reader.raw()
                    }
                }
                return fields
            }
        }
        code = fields?["code"]
        title = fields?["title"]
        detail = fields?["detail"]
    }
}
