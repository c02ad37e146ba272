import HeraldCore
import Testing

@testable import HeraldWire

struct JobJSONTests {
    private func decode(_ text: String, _ jobs: JobLimits = .standard) throws -> JobRequest {
        try lend(Array(text.utf8)) { bytes throws(WireError) in
            try JobJSON.decode(bytes, limits: .standard, jobs: jobs)
        }
    }

    @Test func `a step's push has everything of the body but the targets`() throws {
        let body = """
            {"users":["alice","bob"],"mode":"queued","event":"sale","op":7,"data":{"a":[1, 2]},"confirm":"written",
             "exclude":["alice/phone"],"collapse_key":"sale","class":"droppable","rate":100,
             "deliver_at":1900000000000,"idempotency_key":"k1"}
            """
        let job = try decode(body)
        #expect(job.targets == [.user(try UserID("alice")), .user(try UserID("bob"))])
        #expect(job.ratePerSecond == 100 && job.idempotencyKey == "k1")
        #expect(job.dueAt == RedisTime(milliseconds: 1_900_000_000_000))
        let id = try PushID("step")
        let push = try JobJSON.push(job.message, id: id, targets: [job.targets[1]], limits: .standard)
        let direct = #"""
            {"users":["bob"],"event":"sale","op":7,"data":{"a":[1, 2]},"confirm":"written",
             "exclude":["alice/phone"],"collapse_key":"sale","class":"droppable"}
            """#
        #expect(push.queuePolicy.collapseKey?.description == "sale" && push.queuePolicy.isDroppable)
        #expect(push == (try PushJSON.decode(Array(direct.utf8), id: id, limits: .standard)))
    }

    @Test func `a message of nothing but targets is a push too`() throws {
        for targets in [#""users":["a"]"#, #""keys":["a/b"]"#, #""rooms":["r"]"#, #""all":true"#] {
            let job = try decode("{\(targets)}")
            let id = try PushID("step")
            let direct = try PushJSON.decode(Array("{\(targets)}".utf8), id: id, limits: .standard)
            #expect(try JobJSON.push(job.message, id: id, targets: job.targets, limits: .standard) == direct)
        }
    }

    @Test func `a job may have as many targets as a job may have`() throws {
        let names = (0..<1500).map { "\"u\($0)\"" }.joined(separator: ",")
        #expect(try decode(#"{"users":[\#(names),"u7"]}"#).targets.count == 1500)
        var jobs = JobLimits()
        jobs.targetsMax = 1499
        #expect(throws: WireError.self) { try decode(#"{"users":[\#(names)]}"#, jobs) }
    }

    @Test func `no connection is in two steps`() throws {
        let names = (0..<600).map { "\"u\($0)\"" }.joined(separator: ",")
        let job = try decode(#"{"users":[\#(names)],"keys":["u3/phone","other/phone"]}"#)
        #expect(job.targets.count == 601)
        #expect(job.targets.last == .key(try UserKey("other/phone")))
        for more in [#""all":true"#, #""rooms":["news"]"#] {
            let error = #expect(throws: WireError.self) { try decode(#"{"users":[\#(names)],\#(more)}"#) }
            #expect(error?.code == .conflictingFields)
        }
        #expect(try decode(#"{"users":["a"],"keys":["a/phone"],"rooms":["news"]}"#).targets.count == 3)
    }

    @Test func `what is not a target is bounded as in a push`() throws {
        func body(_ targets: Int, data: Int, _ more: String = "") -> String {
            let names = (0..<targets).map { "\"u\($0)\"" }.joined(separator: ",")
            return #"{"users":[\#(names)],"data":"\#(String(repeating: "x", count: data))"\#(more)}"#
        }
        #expect(try decode(body(9, data: 250_000)).targets.count == 9)
        #expect(throws: WireError.self) { try decode(body(9, data: 270_000)) }
        // Kept in the inboxes of one step at once.
        #expect(try decode(body(2000, data: 30_000, #","durable":true"#)).targets.count == 2000)
        #expect(throws: WireError.self) { try decode(body(2000, data: 40_000, #","durable":true"#)) }
        #expect(try decode(body(2000, data: 40_000, #","durable":true,"rate":400"#)).targets.count == 2000)
    }

    static let wrong: [(String, WireError.Code, String)] = [
        (#"{"users":["a"],"nonsense":1}"#, .unknownField, "nonsense"),
        (#"{"users":["a"],"no\"nsense":1}"#, .unknownField, "no\"nsense"),
        (#"{"users":["a"],"event":7}"#, .wrongType, "event"),
        (#"{"users":["a"],"mode":"direct"}"#, .unsupported, "mode"),
        (#"{"keys":["a/b"],"durable":true}"#, .notDurable, "keys"),
        (#"{"users":["a"],"durable":true,"collapse_key":"k"}"#, .conflictingFields, "collapse_key"),
        (#"{"users":["a"],"rate":0}"#, .outOfRange, "rate"),
        (#"{"users":["a"],"deliver_at":"tomorrow"}"#, .wrongType, "deliver_at"),
        (#"{"users":["a"],"deliver_at":-1}"#, .outOfRange, "deliver_at"),
        (#"{"users":["a"],"idempotency_key":""}"#, .outOfRange, "idempotency_key"),
        (#"{"users":["a b"]}"#, .badID, "users[0]"),
        (#"{"users":[],"event":"x"}"#, .noTarget, ""),
        (#"{"users":["a"],"data":1,"data_base64":""}"#, .conflictingFields, "data_base64"),
        (#"{"users":["a"]"#, .badJSON, ""),
    ]

    @Test(arguments: wrong)
    func `what is wrong is told with its field`(_ body: String, _ code: WireError.Code, _ field: String) {
        let error = #expect(throws: WireError.self) { try decode(body) }
        #expect(error?.code == code && error?.field == field)
    }

    @Test(
        arguments: zip(
            [
                "1970-01-01T00:00:00Z", "2026-01-31T23:59:59Z", "2024-02-29T12:00:00.5+01:00",
                "2000-02-29t00:00:00.123456z", "1999-12-31 23:59:60-00:30", "9999-12-31T23:59:59.999Z",
            ],
            [
                0, 1_769_903_999_000, 1_709_204_400_500, 951_782_400_123, 946_686_600_000,
                253_402_300_799_999,
            ] as [UInt64]
        )
    )
    func `moments are read as RFC 3339 has them`(_ text: String, _ milliseconds: UInt64) {
        #expect(Timestamp.parse(text) == milliseconds)
    }

    @Test(
        arguments: [
            "", "2026", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z",
            "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00Zx",
            "2026-01-01T00:00:00+1:00", "1969-12-31T23:59:59Z", "２026-01-01T00:00:00Z",
        ]
    )
    func `what is no moment is refused`(_ text: String) {
        #expect(Timestamp.parse(text) == nil)
    }

    @Test func `a record is shown with what is known`() throws {
        let id = JobID.named(byCaller: "x")
        let time = RedisTime(milliseconds: 5)
        var record = JobRecord(id: id, state: .running, since: time, created: time, targets: 9, steps: 2)
        record.verdicts = ["routed": 3, "offline": 1]
        var writer = JSONWriter()
        JobJSON.write(JobPage(jobs: [record], next: JobCursor(at: time, id: id)), to: &writer)
        #expect(
            String(decoding: writer.bytes, as: UTF8.self) == """
                {"jobs":[{"job":"\(id)","state":"running","since":5,"created":5,"targets":9,"targets_done":0,\
                "steps":2,"steps_done":0,"verdicts":{"offline":1,"routed":3},"tries":0}],"next":"5.\(id)"}
                """
        )
    }
}
