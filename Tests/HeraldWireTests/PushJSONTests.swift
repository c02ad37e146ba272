import HeraldCore
import HeraldWire
import Testing

struct PushJSONTests {
    @Test func `a push names its targets in order, each once, and keeps its data verbatim`() throws {
        let push = try decode(
            """
            {"users":["alice","bob","alice"],"keys":["alice/phone"],"rooms":["news"],"all":false,
             "event":"order.shipped","op":1000,"data":{"n": 1.50, "s":"\\u00e9"},"exclude":["alice/tv"],
             "confirm":"routed"}
            """
        )
        #expect(
            push.targets == [
                .user(try UserID("alice")), .user(try UserID("bob")), .key(try UserKey("alice/phone")),
                .room(try RoomID("news")),
            ]
        )
        #expect(push.message.event == "order.shipped")
        #expect(push.message.op == 1000)
        #expect(push.message.payload == .json(Array(#"{"n": 1.50, "s":"\u00e9"}"#.utf8)))
        #expect(push.exclude == [try UserKey("alice/tv")])
        #expect(push.confirm == .routed)
        #expect(push.deadline == nil)
        let acked = try decode(#"{"all":true,"confirm":"acked","deadline_ms":30000}"#)
        #expect(acked.confirm == .acked)
        #expect(acked.deadline == .seconds(30))
        #expect(try decode(#"{"all":true}"#).targets == [.everyone])
        #expect(try decode(#"{"users":["\u00e9","e\u0301","\u00e9"]}"#).targets.count == 2)
        #expect(try decode(#"{"all":true,"class":"normal"}"#).queuePolicy == .standard)
        let yielding = try decode(#"{"all":true,"collapse_key":"score/7","class":"droppable"}"#).queuePolicy
        #expect(yielding == QueuePolicy(collapseKey: try CollapseKey("score/7"), isDroppable: true))
        #expect(try decode(#"{"all":true,"data":null}"#).message.payload == .json(Array("null".utf8)))
        #expect(try decode(#"{"users":["a"],"data_base64":"AAH/"}"#).message.payload == .binary([0, 1, 255]))
    }

    @Test(arguments: [
        ("", "bad_json", ""), ("[]", "wrong_type", ""), ("{}", "no_target", ""),
        (#"{"all":false}"#, "no_target", ""),
        (#"{"users":[]}"#, "no_target", ""), (#"{"user":"a"}"#, "unknown_field", "user"),
        (#"{"users":"a"}"#, "wrong_type", "users"), (#"{"users":["a",7]}"#, "wrong_type", "users[1]"),
        (#"{"users":["a","b c"]}"#, "bad_id", "users[1]"), (#"{"keys":["phone"]}"#, "bad_id", "keys[0]"),
        (#"{"rooms":["{x}"]}"#, "bad_id", "rooms[0]"), (#"{"all":1}"#, "wrong_type", "all"),
        (#"{"all":true,"all":true}"#, "duplicate_field", "all"),
        (#"{"all":true,"op":2147483648}"#, "out_of_range", "op"),
        (#"{"all":true,"op":1.5}"#, "wrong_type", "op"), (#"{"all":true,"event":7}"#, "wrong_type", "event"),
        (#"{"all":true,"data":1,"data_base64":""}"#, "conflicting_fields", "data_base64"),
        (#"{"all":true,"data_base64":"?"}"#, "bad_base64", "data_base64"),
        (#"{"all":true,"confirm":"read"}"#, "unsupported", "confirm"),
        (#"{"all":true,"deadline_ms":0}"#, "out_of_range", "deadline_ms"),
        (#"{"all":true,"deadline_ms":30001}"#, "out_of_range", "deadline_ms"),
        (#"{"all":true,"collapse_key":""}"#, "bad_id", "collapse_key"),
        (#"{"all":true,"collapse_key":"a b"}"#, "bad_id", "collapse_key"),
        (#"{"all":true,"collapse_key":7}"#, "wrong_type", "collapse_key"),
        (#"{"all":true,"collapse_key":null}"#, "wrong_type", "collapse_key"),
        (#"{"all":true,"class":"urgent"}"#, "unsupported", "class"),
        (#"{"all":true,"class":true}"#, "wrong_type", "class"),
        (#"{"users":["a"],"durable":true,"collapse_key":"k"}"#, "conflicting_fields", "collapse_key"),
        (#"{"users":["a"],"class":"droppable","durable":true}"#, "conflicting_fields", "class"),
        (#"{"users":["a","b","c","d"]}"#, "too_many", "users"),
        (#"{"users":["a","b"],"rooms":["c","d"]}"#, "too_many", "rooms"),
        (#"{"all":true,"exclude":["a"]}"#, "bad_id", "exclude[0]"),
        (#"{"all":true,"data":[[[[[1]]]]]}"#, "too_deep", "data"),
        (#"{"all":true} {}"#, "bad_json", ""), (#"{"all":true,"event":"12345678901"}"#, "too_large", "event"),
    ])
    func `bad input is named`(text: String, code: String, field: String) {
        var limits = Limits.standard
        limits.targetsMax = 3
        limits.jsonDepthMax = 4
        limits.eventBytesMax = 10
        #expect {
            try PushJSON.decode(Array(text.utf8), id: PushID("p"), limits: limits)
        } throws: {
            ($0 as? WireError)?.code.description == code && ($0 as? WireError)?.field == field
        }
    }

    @Test func `the answer has one verdict a target`() throws {
        let answer = PushAnswer(
            id: try PushID("p1"),
            verdicts: [
                TargetVerdict(
                    target: .user(try UserID("a\"b")),
                    verdict: .routed,
                    nodes: [try NodeID("cloud-1")]
                ),
                TargetVerdict(target: .key(try UserKey("bob/phone")), verdict: .offline),
                TargetVerdict(
                    target: .room(try RoomID("news")),
                    verdict: .unreachable,
                    nodes: [],
                    missed: [try NodeID("cloud-2")]
                ),
                TargetVerdict(target: .everyone, verdict: .offline),
            ]
        )
        #expect(
            String(decoding: PushJSON.encode(answer), as: UTF8.self) == """
                {"id":"p1","verdicts":[{"user":"a\\"b","verdict":"routed","nodes":["cloud-1"]},\
                {"key":"bob/phone","verdict":"offline"},\
                {"room":"news","verdict":"unreachable","missed":["cloud-2"]},{"all":true,"verdict":"offline"}]}
                """
        )
    }

    @Test func `a collapse key has at most 128 bytes`() throws {
        let longest = String(repeating: "k", count: 128)
        let push = try decode(#"{"all":true,"collapse_key":"\#(longest)"}"#)
        #expect(push.queuePolicy.collapseKey?.description == longest)
        #expect(throws: WireError.self) { try decode(#"{"all":true,"collapse_key":"\#(longest)k"}"#) }
    }

    @Test func `what was replaced is told beside what was dropped`() throws {
        let verdict = TargetVerdict(
            target: .everyone,
            verdict: .dropped,
            reach: Reach(connections: 5, dropped: 5, collapsed: 3)
        )
        let text = String(
            decoding: PushJSON.encode(PushAnswer(id: try PushID("p"), verdicts: [verdict])),
            as: UTF8.self
        )
        #expect(text.contains(#""connections":5,"written":0,"dropped":5,"collapsed":3"#))
    }

    private func decode(_ text: String) throws -> Push {
        try PushJSON.decode(Array(text.utf8), id: PushID("p"), limits: .standard)
    }
}
