import HeraldCore
import HeraldWire
import Testing

@testable import HeraldClient

@Suite struct PushRequestTests {
    @Test func `logic reads what is written`() throws {
        let targets: [Target] = [
            .user(try UserID("alice")), .user(try UserID("böb")), .key(try UserKey("alice/phone")),
            .room(try RoomID("n\"ws")),
            .everyone,
        ]
        let exclude = [try UserKey("bob/tv")]
        for payload in [Payload.json(Array(#"{"a":[1]}"#.utf8)), .binary([0, 255]), nil] {
            let message = Message(event: "e", op: -7, payload: payload)
            let bytes = PushRequest(to: targets, message, exclude: exclude).encoded()
            let push = try PushJSON.decode(bytes, id: try PushID("x"), limits: .standard)
            #expect(push.targets == targets)
            #expect(push.message == message)
            #expect(push.exclude == Set(exclude))
        }
    }

    @Test func `how far, how long and under which key are told`() throws {
        let request = PushRequest(
            to: [.everyone],
            Message(),
            confirm: .acked,
            deadline: .milliseconds(1500),
            idempotencyKey: try IdempotencyKey("order-7")
        )
        let read = try request.encoded().withUnsafeBytes { bytes in
            try PushJSON.request(bytes, id: try PushID("x"), limits: .standard)
        }
        #expect(read.push.confirm == .acked)
        #expect(read.push.deadline == .milliseconds(1500))
        #expect(read.idempotencyKey?.description == "order-7")
        #expect(!read.push.isDurable)
        #expect(read.push.queuePolicy == .standard)
        let kept = PushRequest(to: [.user(try UserID("alice"))], Message(), isDurable: true).encoded()
        #expect(try PushJSON.decode(kept, id: try PushID("x"), limits: .standard).isDurable)
    }

    @Test func `what becomes of it at slow connections is told`() throws {
        for policy in [
            QueuePolicy(collapseKey: try CollapseKey("score/7")), QueuePolicy(isDroppable: true),
            QueuePolicy(collapseKey: try CollapseKey("a\"b"), isDroppable: true),
        ] {
            let bytes = PushRequest(to: [.everyone], Message(), queuePolicy: policy).encoded()
            #expect(
                try PushJSON.decode(bytes, id: try PushID("x"), limits: .standard).queuePolicy == policy
            )
        }
    }

    @Test func `what logic answers is read`() throws {
        let node = try NodeID("cloud-1")
        let answer = PushAnswer(
            id: try PushID("p1"),
            verdicts: [
                TargetVerdict(target: .user(try UserID("a")), verdict: .routed, nodes: [node]),
                TargetVerdict(target: .key(try UserKey("a/b")), verdict: .offline),
                TargetVerdict(target: .room(try RoomID("r")), verdict: .unreachable, missed: [node]),
                TargetVerdict(target: .everyone, verdict: .routed),
                TargetVerdict(
                    target: .user(try UserID("b")),
                    verdict: .written,
                    nodes: [node],
                    reach: Reach(connections: 3, written: 2, dropped: 1),
                    reason: "2 of 2"
                ),
                TargetVerdict(
                    target: .user(try UserID("c")),
                    verdict: .acked,
                    reach: Reach(connections: 1, written: 1, acked: 1)
                ),
                TargetVerdict(
                    target: .user(try UserID("d")),
                    verdict: .dropped,
                    reach: Reach(connections: 2, dropped: 2, collapsed: 1)
                ),
            ]
        )
        #expect(try PushAnswer(answer: PushJSON.encode(answer)) == answer)
    }

    @Test func `fields of a newer logic are passed over`() throws {
        let text = #"{"id":"p","took":{"ms":1},"verdicts":[{"user":"a","verdict":"routed","since":[1]}]}"#
        #expect(try PushAnswer(answer: Array(text.utf8)).verdicts.count == 1)
    }

    @Test(arguments: [
        "", "[]", #"{"verdicts":[]}"#, #"{"id":"p","verdicts":[{"verdict":"routed"}]}"#,
        #"{"id":"p","verdicts":[{"user":"a","verdict":"eaten"}]}"#,
    ])
    func `what is no answer is refused`(text: String) {
        #expect(throws: WireError.self) { try PushAnswer(answer: Array(text.utf8)) }
    }
}
