import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldLogic

struct NotHTTP: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let request: String
    let status: Int
    let code: String

    static let all = [
        NotHTTP("no HTTP at all", "hello\r\n\r\n", 400, "bad_http"),
        NotHTTP("no version", "GET /healthz\r\n\r\n", 400, "bad_http"),
        NotHTTP("a header without colon", "GET /healthz HTTP/1.1\r\nnonsense\r\n\r\n", 400, "bad_http"),
        NotHTTP(
            "two lengths",
            "POST /v1/push HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            "bad_http"
        ),
        NotHTTP(
            "a header too large",
            "GET /healthz HTTP/1.1\r\nX: \(String(repeating: "x", count: 20_000))\r\n\r\n",
            431,
            "headers_too_large"
        ),
        NotHTTP(
            "too many headers",
            "GET /healthz HTTP/1.1\r\n\(String(repeating: "X: y\r\n", count: 200))\r\n",
            431,
            "headers_too_large"
        ),
        NotHTTP(
            "a path too long",
            "GET /v1/users/\(String(repeating: "x", count: 100_000)) HTTP/1.1\r\nHost: a\r\n\r\n",
            431,
            "headers_too_large"
        ),
    ]

    private init(_ description: String, _ request: String, _ status: Int, _ code: String) {
        testDescription = description
        self.request = request
        self.status = status
        self.code = code
    }
}

struct ConnectionGuardTests {
    private let fleet = Fleet()

    @Test(arguments: NotHTTP.all)
    func `what is not HTTP is told so, and the connection ends`(_ input: NotHTTP) async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send(input.request)
                let response = try await connection.response()
                #expect(response.status == input.status)
                #expect(response.headers["content-type"] == "application/problem+json")
                #expect(response.headers["connection"] == "close")
                #expect(response.body.contains(#""code":"\#(input.code)""#))
                #expect(try await connection.rest() == "")
            }
        }
    }

    @Test func `nonsense behind a request is answered after it`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nnonsense\r\n\r\n")
                #expect(try await connection.response().status == 200)
                #expect(try await connection.response().body.contains(#""code":"bad_http""#))
                #expect(try await connection.rest() == "")
            }
        }
    }

    @Test func `a body that turns into nonsense is a bad request`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send(
                    "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "2\r\n{}\r\nnonsense\r\n"
                )
                let response = try await connection.response()
                #expect(response.status == 400)
                #expect(response.body.contains(#""code":"bad_http""#))
                #expect(try await connection.rest() == "")
            }
        }
    }

    @Test func `a request that does not arrive is given up`() async throws {
        var http = HTTPLimits()
        http.requestDeadline = .milliseconds(50)
        try await fleet.serving(http: http) { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send(
                    "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 12\r\n\r\n{\"all\""
                )
                let response = try await connection.response()
                #expect(response.status == 408)
                #expect(response.body.contains(#""code":"request_timeout""#))
                #expect(try await connection.rest() == "")
            }
        }
    }

    @Test func `a connection that says nothing, or half a head, is closed`() async throws {
        var http = HTTPLimits()
        http.idleTimeout = .milliseconds(50)
        try await fleet.serving(http: http) { port in
            for start in ["", "GET /healthz HTTP/1.1\r\nHo"] {
                try await RawClient.connected(to: port) { connection in
                    // A machine under load may have closed it before.
                    if !start.isEmpty { try? await connection.send(start) }
                    let rest = try await connection.rest()
                    #expect(rest == "")
                }
            }
        }
    }

    @Test func `who asks before sending the body is told to go on`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send(
                    "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\nContent-Length: 12\r\n\r\n"
                )
                #expect(try await connection.response().status == 100)
                try await connection.send("{\"all\":true}")
                #expect(try await connection.response().status == 200)
            }
        }
    }

    @Test(arguments: ["", "Connection: keep-alive\r\n"])
    func `who speaks HTTP 1 0 is answered and closed`(field: String) async throws {
        try await fleet.serving { port in
            let push = "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 12\r\n\r\n{\"all\":true}"
            for before in ["", push] {
                try await RawClient.connected(to: port) { connection in
                    try await connection.send(
                        before + push.replacing("1.1\r\n", with: "1.0\r\n\(field)")
                    )
                    if !before.isEmpty { #expect(try await connection.response().status == 200) }
                    #expect(try await connection.response().status == 200)
                    #expect(try await connection.rest() == "")
                }
            }
        }
    }

    @Test func `who asks to close is closed`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send(
                    "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
                )
                #expect(try await connection.response().status == 200)
                #expect(try await connection.rest() == "")
            }
        }
    }
}
