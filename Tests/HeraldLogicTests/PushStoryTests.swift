import HeraldCore
import HeraldTesting
import HeraldWire
import Testing

@testable import HeraldLogic

/// "Why did alice not get it?", over HTTP.
struct PushStoryTests {
    private let fleet = Fleet()

    @Test func `a push's story says what was done and heard`() async throws {
        let lease = try await fleet.register("cloud-1")
        try await fleet.bind("alice/phone", on: lease)
        try await fleet.answering(["cloud-1": { _ in Reach(connections: 1, written: 1) }]) {
            try await fleet.serving { port in
                let body = #"{"users":["alice","bob"],"confirm":"written"}"#
                let answer = try await RawClient.request("POST", "/v1/push", body: body, to: port)
                let id = try #require(answer.body.split(separator: "\"").dropFirst(3).first)
                let told = try await RawClient.request("GET", "/v1/pushes/\(id)", to: port)
                #expect(told.status == 200)
                let story = try PushStoryJSON.decode(Array(told.body.utf8))
                #expect(story.id.description == id)
                #expect(story.process.hasPrefix("logic-1-"))
                #expect(story.confirm == .written && story.answered != nil && story.refusal == nil)
                let node = try NodeID("cloud-1")
                #expect(
                    story.targets.map { $0.steps.map(\.event) } == [
                        [
                            .lookedUp([node]), .sent(node, .yes),
                            .told(by: node, Reach(connections: 1, written: 1), isFinal: true),
                        ],
                        [.lookedUp([])],
                    ]
                )
                #expect(story.targets.map(\.verdict.verdict) == [.written, .offline])
            }
        }
    }

    @Test func `another process knows nothing of it, and says who it is`() async throws {
        try await fleet.serving { port in
            let unknown = try await RawClient.request("GET", "/v1/pushes/p1", to: port)
            #expect(unknown.status == 404)
            #expect(unknown.body.contains(#""code":"unknown_push""#))
            #expect(unknown.body.contains("logic-1-"))
            #expect(try await RawClient.request("GET", "/v1/pushes/%20", to: port).status == 400)
        }
    }

    @Test func `a push that Redis did not confirm is known as refused`() throws {
        let desk = FollowDesk()
        try desk.fail(push("a", to: .user("alice")), found: [["cloud-1#7"]])
        let story = try #require(try desk.story("a"))
        #expect(story.refusal?.hasPrefix("redis_unavailable") == true)
        #expect(story.targets[0].steps.map(\.event).last == .sent(try NodeID("cloud-1"), .unknown))
    }
}
