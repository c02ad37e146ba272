import HeraldCore
import HeraldWire
import Testing

struct PushStoryJSONTests {
    @Test func `what is written is read`() throws {
        let node = try NodeID("cloud-1")
        let story = PushStory(
            id: try PushID("p1"),
            process: "logic-1-abc",
            confirm: .acked,
            age: .milliseconds(61_234),
            answered: .microseconds(12_005),
            targets: [
                TargetStory(
                    verdict: TargetVerdict(
                        target: .key(try UserKey("alice/phone")),
                        verdict: .written,
                        nodes: [node],
                        reach: Reach(connections: 2, written: 1, dropped: 1),
                        position: InboxPosition(epoch: 7, offset: 9),
                        reason: "why"
                    ),
                    told: .unreachable,
                    steps: [
                        .init(after: .microseconds(250), .lookedUp([node])),
                        .init(after: .microseconds(300), .sent(node, .no)),
                        .init(after: .milliseconds(2), .told(by: node, nil, isFinal: true)),
                        .init(
                            after: .milliseconds(3),
                            .told(by: node, Reach(connections: 2, written: 1, acked: 0), isFinal: false)
                        ),
                    ]
                ),
                TargetStory(verdict: TargetVerdict(target: .everyone, verdict: .offline), steps: []),
            ]
        )
        #expect(try decoded(story) == story)
        var refused = story
        refused.refusal = "deadline: late"
        refused.answered = nil
        #expect(try decoded(refused) == refused)
    }

    @Test(arguments: [
        ("{}", WireError.Code.missingField),
        (#"{"id":"p","targets":[{"verdict":"eaten","user":"a"}]}"#, .unsupported),
        (#"{"id":"p","accepted_ms_ago":-1}"#, .outOfRange),
        (#"{"id":"p","accepted_ms_ago":1e3}"#, .outOfRange),
    ])
    func `what is no story is refused`(text: String, code: WireError.Code) {
        let error = #expect(throws: WireError.self) { try PushStoryJSON.decode(Array(text.utf8)) }
        #expect(error?.code == code)
    }

    @Test func `steps and fields of a newer logic are passed over`() throws {
        let text =
            #"{"id":"p","x":[1],"targets":[{"user":"a","verdict":"routed","steps":[{"step":"sung"}]}]}"#
        #expect(try PushStoryJSON.decode(Array(text.utf8)).targets[0].steps.isEmpty)
    }

    private func decoded(_ story: PushStory) throws -> PushStory {
        var writer = JSONWriter()
        PushStoryJSON.write(story, to: &writer)
        return try PushStoryJSON.decode(writer.bytes)
    }
}
