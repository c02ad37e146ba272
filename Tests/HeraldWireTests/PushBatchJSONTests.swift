import HeraldCore
import HeraldWire
import Testing

struct PushBatchJSONTests {
    @Test(arguments: [
        #" [{"users":["a"],"data":{"n":1}} , {"users":["b"],"data":"x y"}] "#,
        "{\"users\":[\"a\"],\"data\":{\"n\":1}}\n\n  \r\n{\"users\":[\"b\"],\"data\":\"x y\"}\r\n",
    ])
    func `an array and lines are the same batch`(body: String) throws {
        let entries = try decode(body)
        #expect(try entries.map { try $0.get().targets } == [[.user(UserID("a"))], [.user(UserID("b"))]])
        #expect(
            try entries.map { try $0.get().message.payload } == [
                .json(Array(#"{"n":1}"#.utf8)), .json(Array(#""x y""#.utf8)),
            ]
        )
        #expect(try entries.map { try $0.get().id.description } == ["p1", "p2"])
    }

    @Test(arguments: [
        (#"[{"users":["a"]},{"users":["b c"]},{"users":["d"]}]"#, "bad_id", "users[0]"),
        (#"[{"users":["a"]},{"usres":["b"],"data":[{"x":"]}"}]},{"users":["d"]}]"#, "unknown_field", "usres"),
        (#"[{"users":["a"]},7,{"users":["d"]}]"#, "wrong_type", ""),
        (#"[{"users":["a"]},{"users":["b"],"mode":"queued"},{"users":["d"]}]"#, "unsupported", "mode"),
        (
            #"[{"users":["a"]},{"users":["b"],"idempotency_key":"k"},{"users":["d"]}]"#, "unsupported",
            "idempotency_key"
        ),
        ("{\"users\":[\"a\"]}\n{\"users\":[\"b\"\n{\"users\":[\"d\"]}", "bad_json", "users"),
        ("{\"users\":[\"a\"]}\nnonsense\n{\"users\":[\"d\"]}", "wrong_type", ""),
        ("{\"users\":[\"a\"]}\n[]\n{\"users\":[\"d\"]}", "wrong_type", ""),
    ])
    func `a bad push fails alone`(body: String, code: String, field: String) throws {
        let entries = try decode(body)
        #expect(entries.count == 3)
        #expect(try entries[0].get().targets == [.user(UserID("a"))])
        #expect(try entries[2].get().targets == [.user(UserID("d"))])
        let error = #expect(throws: WireError.self) { try entries[1].get() }
        #expect(error?.code.description == code)
        #expect(error?.field == field)
    }

    @Test func `a line that is not UTF-8 fails alone`() throws {
        var body = Array("{\"users\":[\"a\"]}\n".utf8)
        body += [0xFF, 0x0A]
        body += Array("{\"users\":[\"b\"]}".utf8)
        let entries = try body.withUnsafeBytes { try PushBatchJSON.decode($0, limits: .standard, id: ids()) }
        #expect(entries.map { (try? $0.get()) != nil } == [true, false, true])
    }

    @Test(arguments: [
        ("", "bad_json"), (" \n ", "bad_json"), ("[]", "no_target"), ("[", "bad_json"),
        (#"[{"users":["a"]}"#, "bad_json"), (#"[{"users":["a"]} {"users":["b"]}]"#, "bad_json"),
        (#"[{"users":["a"]},]"#, "bad_json"), (#"[{"users":["a"]}] x"#, "bad_json"),
        (#"[{"users":["a"],"data":}]"#, "bad_json"),
        ("[{\"data\":\(String(repeating: "[", count: 100))", "too_deep"),
    ])
    func `of a body that is badly written nothing is used`(body: String, code: String) throws {
        let error = #expect(throws: WireError.self) { try decode(body) }
        #expect(error?.code.description == code)
    }

    @Test func `pushes are counted, in both forms`() throws {
        var limits = Limits.standard
        limits.batchPushesMax = 3
        let push = #"{"users":["a"]}"#
        let three = Array(repeating: push, count: 3)
        #expect(try decode("[\(three.joined(separator: ","))]", limits).count == 3)
        #expect(try decode(three.joined(separator: "\n"), limits).count == 3)
        for body in [
            "[\((three + [push]).joined(separator: ","))]", (three + [push]).joined(separator: "\n"),
        ] {
            let error = #expect(throws: WireError.self) { try decode(body, limits) }
            #expect(error?.code == .tooMany)
        }
    }

    @Test func `what a batch may have together ends with the push that is too much`() throws {
        var limits = Limits.standard
        limits.batchTargetsMax = 5
        limits.durableBytesMax = 10
        limits.pushBytesMax = 60
        let body = """
            {"users":["a","b"]}
            {"users":["c","d","e","f"]}
            {"users":["e"],"durable":true,"data":1234567890}
            {"users":["f"],"durable":true,"data":1}
            {"users":["g"],"data":"\(String(repeating: "x", count: 60))"}
            """
        let codes = try decode(body, limits).map { entry -> String in
            switch entry {
            case .success: "ok"
            case .failure(let error): "\(error.code) \(error.field)"
            }
        }
        #expect(codes == ["ok", "too_many ", "ok", "too_large durable", "too_large "])
    }

    @Test func `the answers stand in the order of the pushes`() throws {
        let id = try PushID("p1")
        let answer = PushAnswer(
            id: id,
            verdicts: [TargetVerdict(target: .user(try UserID("a")), verdict: .offline)]
        )
        let bad = PushBatchJSON.Failure(status: 400, code: "bad_id", detail: "no", field: "users[0]")
        let late = PushBatchJSON.Failure(status: 503, code: "deadline", detail: "late", retryAfterSeconds: 1)
        let text = PushBatchJSON.encode([.failure(bad), .success(answer), .failure(late)])
        #expect(
            String(decoding: text, as: UTF8.self) == #"{"failed":2,"answers":["#
                + #"{"error":{"status":400,"code":"bad_id","detail":"no","field":"users[0]"}},"#
                + #"{"id":"p1","verdicts":[{"user":"a","verdict":"offline"}]},"#
                + #"{"error":{"status":503,"code":"deadline","detail":"late","retry_after":1}}]}"#
        )
    }

    private func decode(_ body: String, _ limits: Limits = .standard) throws -> [PushBatchJSON.Entry] {
        try Array(body.utf8).withUnsafeBytes { try PushBatchJSON.decode($0, limits: limits, id: ids()) }
    }

    private func ids() -> () -> PushID {
        var source = CountedIDs()
        return { source.next() }
    }
}

/// p1, p2, …
private struct CountedIDs {
    private var count = 0

    mutating func next() -> PushID {
        count += 1
        do { return try PushID("p\(count)") } catch { preconditionFailure("a short word is an id") }
    }
}
