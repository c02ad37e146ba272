import HeraldCore
import HeraldTesting
import Testing

@testable import HeraldLogic

/// What a request says that is wrong, and what it is told.
struct BadInput: Sendable {
    var what: String
    var method = "POST"
    var path = "/v1/push"
    var headers: [String] = []
    var body: String?
    var status: Int
    var code: String
    /// The field that the answer names.
    var field: String?

    static let bodies: [BadInput] = [
        push("nothing", "", 400, "bad_json"),
        push("no JSON", "hello", 400, "wrong_type"),
        push("cut off", #"{"users":["alice""#, 400, "bad_json"),
        push("something behind", #"{"users":["alice"]} x"#, 400, "bad_json"),
        push("an array", "[]", 400, "wrong_type"),
        push("a comma too many", #"{"users":["alice",]}"#, 400, "wrong_type", "users[1]"),
        push("no target", #"{"event":"x"}"#, 400, "no_target"),
        push("all false", #"{"all":false}"#, 400, "no_target"),
        push("no user", #"{"users":[]}"#, 400, "no_target"),
        push("a field misspelt", #"{"usres":["alice"]}"#, 400, "unknown_field", "usres"),
        push("a field twice", #"{"users":["a"],"users":["b"]}"#, 400, "duplicate_field", "users"),
        push("a string for a list", #"{"users":"alice"}"#, 400, "wrong_type", "users"),
        push("a number for an id", #"{"users":["a",7]}"#, 400, "wrong_type", "users[1]"),
        push("a string for a number", #"{"users":["a"],"op":"7"}"#, 400, "wrong_type", "op"),
        push("a number out of range", #"{"users":["a"],"op":2147483648}"#, 400, "out_of_range", "op"),
        push("an empty id", #"{"users":[""]}"#, 400, "bad_id", "users[0]"),
        push("an id with a space", #"{"users":["a b"]}"#, 400, "bad_id", "users[0]"),
        push("an id with a brace", #"{"rooms":["{x}"]}"#, 400, "bad_id", "rooms[0]"),
        push(
            "an id too long",
            #"{"users":["\#(String(repeating: "x", count: 129))"]}"#,
            400,
            "bad_id",
            "users[0]"
        ),
        push("a key without user", #"{"keys":["phone"]}"#, 400, "bad_id", "keys[0]"),
        push("both payloads", #"{"all":true,"data":1,"data_base64":"aGk="}"#, 400, "conflicting_fields"),
        push("base64 that is none", #"{"all":true,"data_base64":"%%"}"#, 400, "bad_base64", "data_base64"),
        push("a level that is none", #"{"all":true,"confirm":"read"}"#, 400, "unsupported", "confirm"),
        push(
            "too deep",
            #"{"all":true,"data":\#(String(repeating: "[", count: 70))\#(String(repeating: "]", count: 70))}"#,
            400,
            "too_deep",
            "data"
        ),
        push("durable for a key", #"{"keys":["a/b"],"durable":true}"#, 400, "not_durable", "keys"),
        push("durable for all", #"{"users":["a"],"all":true,"durable":true}"#, 400, "not_durable", "all"),
        push(
            "durable, with exceptions",
            #"{"rooms":["a"],"durable":true,"exclude":["a/b"]}"#,
            400,
            "conflicting_fields",
            "exclude"
        ),
        push(
            "a collapse key with a space",
            #"{"all":true,"collapse_key":"a b"}"#,
            400,
            "bad_id",
            "collapse_key"
        ),
        push(
            "a collapse key that is none",
            #"{"all":true,"collapse_key":7}"#,
            400,
            "wrong_type",
            "collapse_key"
        ),
        push(
            "a collapse key too long",
            #"{"all":true,"collapse_key":"\#(String(repeating: "x", count: 129))"}"#,
            400,
            "bad_id",
            "collapse_key"
        ),
        push("a class that is none", #"{"all":true,"class":"urgent"}"#, 400, "unsupported", "class"),
        push("a class that is no word", #"{"all":true,"class":1}"#, 400, "wrong_type", "class"),
        push(
            "durable, and replaced",
            #"{"users":["a"],"durable":true,"collapse_key":"k"}"#,
            400,
            "conflicting_fields",
            "collapse_key"
        ),
        push(
            "durable, and left out",
            #"{"users":["a"],"durable":true,"class":"droppable"}"#,
            400,
            "conflicting_fields",
            "class"
        ),
        push(
            "durable, for too many at once",
            #"{"users":[\#(users(200))],"durable":true,"data":"\#(String(repeating: "x", count: 90_000))"}"#,
            400,
            "too_large",
            "durable"
        ),
        push("too many targets", #"{"users":[\#(users(1001))]}"#, 400, "too_many", "users"),
        push(
            "too many in two lists",
            #"{"users":[\#(users(600))],"rooms":[\#(users(600))]}"#,
            400,
            "too_many"
        ),
        push("a body too large", String(repeating: " ", count: 262_145), 413, "too_large"),
    ]

    static let paths: [BadInput] = [
        BadInput(what: "no path", method: "GET", path: "/", status: 404, code: "unknown_path"),
        BadInput(what: "another path", method: "GET", path: "/v2/push", status: 404, code: "unknown_path"),
        BadInput(what: "a slash too many", path: "/v1/push/", body: "{}", status: 404, code: "unknown_path"),
        BadInput(what: "two slashes", path: "/v1//push", body: "{}", status: 404, code: "unknown_path"),
        BadInput(
            what: "a slash in an id",
            method: "GET",
            path: "/v1/users/a/b",
            status: 404,
            code: "unknown_path"
        ),
        BadInput(what: "GET for POST", method: "GET", status: 405, code: "wrong_method"),
        BadInput(
            what: "PUT",
            method: "PUT",
            path: "/v1/nodes",
            body: "{}",
            status: 405,
            code: "wrong_method"
        ),
        BadInput(what: "OPTIONS", method: "OPTIONS", status: 405, code: "wrong_method"),
        BadInput(
            what: "no id",
            method: "GET",
            path: "/v1/users/",
            status: 400,
            code: "bad_id",
            field: "user"
        ),
        BadInput(
            what: "a space",
            method: "GET",
            path: "/v1/users/a%20b",
            status: 400,
            code: "bad_id",
            field: "user"
        ),
        BadInput(
            what: "a NUL",
            method: "GET",
            path: "/v1/rooms/%00",
            status: 400,
            code: "bad_id",
            field: "room"
        ),
        BadInput(
            what: "a slash in a key",
            method: "DELETE",
            path: "/v1/users/a/connections/b%2Fc",
            status: 400,
            code: "bad_id",
            field: "key"
        ),
        BadInput(
            what: "half a percent sign",
            method: "GET",
            path: "/v1/users/a%2",
            status: 400,
            code: "bad_path"
        ),
        BadInput(what: "no hexadecimal", method: "GET", path: "/v1/users/%zz", status: 400, code: "bad_path"),
        BadInput(what: "no UTF-8", method: "GET", path: "/v1/users/%ff", status: 400, code: "bad_path"),
        BadInput(
            what: "another site",
            headers: ["Origin: https://evil.example"],
            body: #"{"all":true}"#,
            status: 403,
            code: "strange_origin"
        ),
        BadInput(
            what: "no site",
            headers: ["Origin: null"],
            body: #"{"all":true}"#,
            status: 403,
            code: "strange_origin"
        ),
        BadInput(
            what: "a host name",
            method: "GET",
            path: "/v1/nodes",
            headers: ["Host: evil.example"],
            status: 421,
            code: "strange_host"
        ),
    ]

    private static func push(
        _ what: String,
        _ body: String,
        _ status: Int,
        _ code: String,
        _ field: String? = nil
    ) -> BadInput {
        BadInput(what: what, body: body, status: status, code: code, field: field)
    }

    private static func users(_ count: Int) -> String {
        (0..<count).map { "\"u\($0)\"" }.joined(separator: ",")
    }
}

struct BadInputTests {
    private let fleet = Fleet()

    @Test func `every bad input gets its problem, and the connection goes on`() async throws {
        try await fleet.serving { port in
            for input in BadInput.bodies + BadInput.paths + BadInput.questions {
                let response = try await RawClient.request(
                    input.method,
                    input.path,
                    headers: input.headers,
                    body: input.body,
                    to: port
                )
                expectProblem(response, input)
            }
            let good = try await RawClient.request("POST", "/v1/push", body: #"{"all":true}"#, to: port)
            #expect(good.status == 200)
        }
        #expect(fleet.bus.published.isEmpty)
    }

    @Test func `a wrong method is told which ones there are`() async throws {
        try await fleet.serving { port in
            let get = try await RawClient.request("GET", "/v1/push", to: port)
            #expect(get.headers["allow"] == "POST")
            let post = try await RawClient.request("POST", "/v1/nodes", to: port)
            #expect(post.headers["allow"] == "GET, HEAD")
        }
    }

    @Test func `a body that is announced too large is not read`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send(
                    "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nExpect: 100-continue\r\n"
                        + "Content-Length: 10000000000\r\n\r\n"
                )
                let response = try await connection.response()
                #expect(response.status == 413)
                #expect(response.headers["connection"] == "close")
                #expect(response.body.contains("262144 bytes"))
                #expect(try await connection.rest() == "")
            }
        }
    }

    @Test func `a body in chunks without end is cut at the limit`() async throws {
        try await fleet.serving { port in
            try await RawClient.connected(to: port) { connection in
                try await connection.send(
                    "POST /v1/push HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                let chunk = "10000\r\n" + String(repeating: " ", count: 0x10000) + "\r\n"
                for _ in 0..<5 { try await connection.send(chunk) }
                #expect(try await connection.response().status == 413)
                #expect(try await connection.rest() == "")
            }
        }
    }

    @Test func `an unavailable table is a 503 that invites back, wherever it is needed`() async throws {
        fleet.table.isUnavailable = true
        try await fleet.serving { port in
            for (method, path, body) in [
                ("POST", "/v1/push", #"{"all":true}"#), ("GET", "/v1/users/a", nil),
                ("GET", "/v1/rooms/a", nil),
                ("GET", "/v1/nodes", nil), ("GET", "/v1/online", nil), ("GET", "/v1/nodes/best", nil),
                ("POST", "/v1/presence", #"{"users":["a"]}"#), ("GET", "/v1/rooms", nil),
                ("GET", "/v1/rooms/a/members", nil),
                ("DELETE", "/v1/users/a/connections/b", nil),
            ] as [(String, String, String?)] {
                let response = try await RawClient.request(method, path, body: body, to: port)
                #expect(response.status == 503, "\(path)")
                #expect(response.headers["retry-after"] == "1", "\(path)")
                #expect(response.body.contains(#""code":"redis_unavailable""#), "\(path)")
                #expect(response.body.hasSuffix(#""retry_after":1}"#), "\(path)")
            }
        }
    }

    @Test func `with an API key nothing is told without it, except to probes`() async throws {
        let key = try APIKey("0123456789abcdef")
        try await fleet.serving(apiKey: key) { port in
            for header in [[], ["Authorization: Bearer wrong"], ["Authorization: Basic 0123456789abcdef"]] {
                let response = try await RawClient.request("GET", "/v1/nodes", headers: header, to: port)
                #expect(response.status == 401)
                #expect(response.headers["www-authenticate"] == #"Bearer realm="herald""#)
                #expect(response.body.contains(#""code":"unauthorized""#))
            }
            #expect(try await RawClient.request("GET", "/healthz", to: port).status == 200)
            #expect(try await RawClient.request("GET", "/readyz", to: port).status == 200)
            let good = try await RawClient.request(
                "GET",
                "/v1/nodes",
                headers: [
                    "Authorization: Bearer 0123456789abcdef", "Host: logic.example",
                    "Origin: https://a.example",
                ],
                to: port
            )
            #expect(good.status == 200)
        }
    }

    private func expectProblem(_ response: RawClient.Response, _ input: BadInput) {
        let what = Comment(rawValue: "\(input.what): \(response.status) \(response.body)")
        #expect(response.status == input.status, what)
        #expect(response.headers["content-type"] == "application/problem+json", what)
        #expect(response.body.hasPrefix(#"{"type":"urn:herald:problem:\#(input.code)","title":""#), what)
        #expect(
            response.body.contains(#","status":\#(input.status),"code":"\#(input.code)","detail":""#),
            what
        )
        if let field = input.field { #expect(response.body.contains(#""field":"\#(field)""#), what) }
    }
}
