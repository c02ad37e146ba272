import Foundation
import HeraldClient
import HeraldCore
import HeraldTesting
import Testing

/// How far a job is followed, and what it does about targets that it does not reach at once.
@Suite(.timeLimit(.minutes(3))) struct JobConfirmTests {
    @Test func `a job is followed as far as it asks`() async throws {
        try await LocalHerald.run(nodes: 2) { herald in
            let alice = Witness.Place(url: herald.cloudURL(1), user: "alice", key: "phone")
            let bob = try ConnectionConfiguration(url: herald.cloudURL(2), user: "bob", key: "phone")
            try await Witness.with([alice]) { _ in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    // The one acknowledges what it is shown, and the other does not.
                    group.addTask {
                        do { _ = try await PersistentConnection(bob).run { _ in } } catch is CancellationError
                        {}
                    }
                    try await eventually("bob is online") {
                        try await herald.curl("GET", "/v1/users/bob").body.contains("phone")
                    }
                    let expected: [(options: String, verdicts: [String: Int])] = [
                        ("", ["routed": 2, "offline": 1]),
                        (#","confirm":"written""#, ["written": 2, "offline": 1]),
                        (#","confirm":"acked","deadline_ms":400"#, ["acked": 1, "written": 1, "offline": 1]),
                        (
                            #","confirm":"acked","deadline_ms":400,"durable":true"#,
                            ["acked": 1, "written": 1, "stored": 1]
                        ),
                    ]
                    for (options, verdicts) in expected {
                        let job = try await herald.queue(#"{"users":["alice","bob","carol"]\#(options)}"#)
                        try await eventually("\(options) is done") {
                            try await herald.record(job).state == .done
                        }
                        #expect(try await herald.record(job).verdicts == verdicts, "\(options)")
                    }
                    group.cancelAll()
                }
            }
        }
    }

    @Test func `herald push queues`() async throws {
        try await LocalHerald.run(nodes: 1) { herald in
            let place = Witness.Place(url: herald.cloudURL(1), user: "alice", key: "phone")
            try await Witness.with([place]) { clients in
                let words = ["push", "--url", herald.logicURL(""), "--user", "alice", "--queued"]
                let program = try LocalHerald.program.path
                let queued = try await Tool.run(program, words + ["--confirm", "written", "--event", "e"])
                #expect(queued.status == 0 && queued.output.contains(" queued, 1 target\n"), "\(queued)")
                let job = try JobID(String(queued.output.split(separator: " ")[1]))
                try await herald.isDone(job)
                #expect(try await herald.record(job).verdicts == ["written": 1])
                #expect(clients[0].pushes.map(\.message.event) == ["e"])

                let later = try await Tool.run(
                    program,
                    words + ["--at", "2099-12-31T23:59:59Z", "--rate", "7", "--json"]
                )
                let id = later.output.split(separator: "\"").dropFirst(3).first.map(String.init) ?? ""
                let scheduled = try await herald.record(try JobID(id))
                #expect(scheduled.state == .scheduled && scheduled.ratePerSecond == 7)
                #expect(scheduled.due?.milliseconds == 4_102_444_799_000)
                let wrong = try await Tool.run(program, words.dropLast() + ["--rate", "7"])
                #expect(wrong.status != 0 && wrong.errors.contains("--queued"))
            }
        }
    }

    @Test(arguments: ["frozen", "killed"])
    func `a job reaches the users of a node that was away, when they are back`(_ trouble: String) async throws
    {
        try await LocalHerald.run(nodes: 2) { herald in
            try await Witness.with([
                Witness.Place(url: herald.cloudURL(1), user: "alice", key: "phone"),
                Witness.Place(url: herald.cloudURL(2), user: "bob", key: "phone"),
            ]) { clients in
                try herald.signal("cloud-1", trouble == "frozen" ? SIGSTOP : SIGKILL)
                let before = try await herald.hopLength()
                let job = try await herald.queue(
                    #"{"users":["alice","bob"],"event":"e","confirm":"written","deadline_ms":300}"#
                )
                try await eventually("it was tried twice") { try await herald.hopLength() >= before + 2 }
                #expect(try await herald.record(job).state == .running)
                if trouble == "frozen" {
                    try herald.signal("cloud-1", SIGCONT)
                    try await herald.isDone(job)
                } else {
                    let again = Witness.Place(url: herald.cloudURL(2), user: "alice", key: "phone")
                    try await Witness.with([again]) { back in
                        try await herald.isDone(job)
                        #expect(back[0].ids == [clients[1].ids[0]])
                    }
                }
                #expect(try await herald.record(job).verdicts == ["written": 2])
                #expect(clients[1].count == 1, "who was reached is not sent to again")
                #expect(Set(clients[0].ids) == (trouble == "frozen" ? Set(clients[1].ids) : []))
            }
        }
    }
}

extension LocalHerald {
    /// How many envelopes were published to cloud-1.
    fileprivate func hopLength() async throws -> Int {
        Int(try await redis("xlen", "herald:hop:{cloud-1}").first ?? "") ?? 0
    }

    fileprivate func isDone(_ job: JobID) async throws {
        try await eventually("it is done", within: .seconds(20)) { try await record(job).state == .done }
    }
}
