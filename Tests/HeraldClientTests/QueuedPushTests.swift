import HeraldCore
import HeraldWire
import Testing

@testable import HeraldClient

@Suite struct QueuedPushTests {
    private func read(_ body: [UInt8]) throws(WireError) -> JobRequest {
        let result = body.withUnsafeBytes { bytes -> Result<JobRequest, WireError> in
            do throws(WireError) {
                return .success(try JobJSON.decode(bytes, limits: .standard, jobs: .standard))
            } catch { return .failure(error) }
        }
        return try result.get()
    }

    @Test func `logic reads what is written`() throws {
        let push = PushRequest(
            to: [.user(try UserID("alice")), .key(try UserKey("bob/phone"))],
            Message(event: "e", payload: .json(Array(#"{"a":[1]}"#.utf8))),
            isDurable: false,
            confirm: .acked,
            deadline: .milliseconds(1500),
            idempotencyKey: try IdempotencyKey("order-7")
        )
        let due = RedisTime(milliseconds: 1_800_000_000_000)
        let job = try read(QueuedPush.request(push, 50, due))
        #expect(job.targets == push.targets)
        #expect(job.ratePerSecond == 50 && job.dueAt == due && job.idempotencyKey == "order-7")
        let step = try JobJSON.push(job.message, id: PushID("p"), targets: job.targets, limits: .standard)
        #expect(step.message == push.message && step.confirm == .acked)
        #expect(step.deadline == .milliseconds(1500))

        let plain = try read(QueuedPush.request(PushRequest(to: [.everyone], Message()), nil, nil))
        #expect(plain.targets == [.everyone] && plain.ratePerSecond == 0 && plain.dueAt == nil)
    }

    @Test func `a push without targets is refused for that`() {
        let body = QueuedPush.request(PushRequest(to: [], Message()), nil, nil)
        #expect(throws: WireError.self) { try read(body) }
        #expect(String(decoding: body, as: UTF8.self) == #"{"mode":"queued"}"#)
    }

    @Test func `what logic answers is read`() throws {
        var ids = JobIDSource(random: 1)
        let job = ids.next()
        let answer = #"{"job":"\#(job)","state":"scheduled","targets":3,"steps":2,"more":[1]}"#
        #expect(
            try QueuedPush(answer: Array(answer.utf8))
                == QueuedPush(job: job, state: .scheduled, targets: 3, steps: 2)
        )
        for wrong in [#"{"state":"queued"}"#, #"{"job":"\#(job)"}"#, #"{"job":"x","state":"queued"}"#, "[]"] {
            #expect(throws: WireError.self) { try QueuedPush(answer: Array(wrong.utf8)) }
        }
    }
}
