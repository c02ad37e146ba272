import Foundation
import HeraldCore
import HeraldRedis
import HeraldTesting
import HeraldWire
import Testing

@testable import herald

/// Jobs on real processes: `herald job` is killed, and what was published is read from the node's hop.
@Suite(.timeLimit(.minutes(5))) struct JobTests {
    @Test func `a large job whose worker is killed five times is delivered once`() async throws {
        let targets = 200_000
        try await LocalHerald.run(nodes: 1, environment: ["HERALD_JOBS_CLAIM_IDLE": "1s"]) { herald in
            try herald.signal("job", SIGKILL)
            try await herald.route(users: targets)
            let body = herald.folder.appending(path: "body.json")
            let users = (0..<targets).map { "\"u\($0)\"" }.joined(separator: ",")
            try #"{"users":[\#(users)],"event":"sale","data":{"off":5}}"#.write(
                to: body,
                atomically: true,
                encoding: .utf8
            )
            let began = ContinuousClock.now
            let job = try await herald.queue("@\(body.path)")
            let queued = ContinuousClock.now
            var published = Published()
            var claims = Claims()
            var kills = 0
            for name in 1... {
                let worker = herald.worker("job-\(name)")
                try await worker.start()
                // The last one is left alone.
                let enough = kills < 5 ? 60 * (kills + 1) : Int.max
                try await eventually("\(enough) steps", within: .seconds(60), every: .milliseconds(2)) {
                    let record = try await claims.look(at: job, herald)
                    return record.stepsDone >= enough || record.state == .done
                }
                try await published.read(herald)
                worker.kill()
                if try await herald.record(job).state == .done { break }
                kills += 1
            }
            let end = try await herald.record(job)
            #expect(kills == 5)
            #expect(end.state == .done && end.targetsDone == targets && end.stepsDone == 400)
            // The routes name sockets that the node does not have; it says so, in time for the verdict or not.
            #expect(end.verdicts.values.reduce(0, +) == targets)
            #expect(Set(end.verdicts.keys).isSubset(of: ["routed", "offline"]))
            #expect(published.targets == targets, "each target was published to")
            #expect(published.shown == targets, "each under one push id, however often")
            // A claim lapses with a kill, or where a slow machine keeps its worker waiting.
            #expect(claims.lost >= kills)
            #expect(
                published.deliveries - targets <= claims.lost * 500,
                "each claim repeats one step at most"
            )
            Self.note(
                """
                job of \(targets) targets, \(kills) kills: taken in \(queued - began), \
                done \(ContinuousClock.now - queued) later; \
                \(published.deliveries - targets) deliveries were repeated under their push ids
                """
            )
        }
    }

    @Test func `pause, resume, cancel and times hold within a second`() async throws {
        try await LocalHerald.run(nodes: 1) { herald in
            try await herald.route(users: 4000)
            let users = (0..<4000).map { "\"u\($0)\"" }.joined(separator: ",")
            let job = try await herald.queue(#"{"users":[\#(users)],"event":"slow","rate":400}"#)
            try await eventually("it runs") { try await herald.record(job).stepsDone > 1 }
            #expect(try await herald.curl("POST", "/v1/jobs/\(job)/pause").body.contains("paused"))
            var published = Published()
            try await Self.passTime(.seconds(1))
            try await published.read(herald)
            let paused = published.deliveries
            try await Self.passTime(.seconds(1))
            try await published.read(herald)
            #expect(published.deliveries == paused && paused > 0)
            let resumed = ContinuousClock.now
            #expect(try await herald.curl("POST", "/v1/jobs/\(job)/resume").status == 200)
            try await eventually("it goes on", every: .milliseconds(5)) {
                try await published.read(herald)
                return published.deliveries > paused
            }
            let took = ContinuousClock.now - resumed
            #expect(took < .promised(.seconds(1)))
            #expect(try await herald.curl("DELETE", "/v1/jobs/\(job)").status == 409)
            #expect(try await herald.curl("POST", "/v1/jobs/\(job)/cancel").body.contains("cancelled"))
            #expect(try await herald.curl("DELETE", "/v1/jobs/\(job)").status == 200)
            #expect(try await herald.curl("GET", "/v1/jobs/\(job)").status == 404)

            let due = UInt64(Date.now.timeIntervalSince1970 * 1000) + 1500
            let body = #"{"users":["u1"],"event":"due","mode":"queued","deliver_at":\#(due)}"#
            let scheduled = try await herald.queue(body, path: "/v1/push")
            try await eventually("it goes out", every: .milliseconds(5)) {
                try await herald.record(scheduled).state == .done
            }
            let late = Date.now.timeIntervalSince1970 * 1000 - Double(due)
            #expect((0..<1000).contains(late))
            Self.note("resumed in \(took), scheduled \(Int(late)) ms after its time")
        }
    }

    @Test func `a frozen worker that wakes does not go on with what another has taken`() async throws {
        let targets = 20_000
        try await LocalHerald.run(nodes: 1, environment: ["HERALD_JOBS_CLAIM_IDLE": "1s"]) { herald in
            try herald.signal("job", SIGKILL)
            try await herald.route(users: targets)
            let users = (0..<targets).map { "\"u\($0)\"" }.joined(separator: ",")
            let body = herald.folder.appending(path: "body.json")
            try #"{"users":[\#(users)],"rate":10000,"durable":true,"event":"kept"}"#.write(
                to: body,
                atomically: true,
                encoding: .utf8
            )
            let job = try await herald.queue("@\(body.path)")
            let frozen = herald.worker("job-a")
            try await frozen.start()
            var claims = Claims()
            try await eventually("it has begun") { try await claims.look(at: job, herald).stepsDone >= 3 }
            frozen.freeze()
            let other = herald.worker("job-b")
            try await other.start()
            try await eventually("the other has taken it") {
                try await claims.look(at: job, herald).worker == "job-b"
            }
            frozen.thaw()
            try await eventually("it is done", within: .seconds(30)) {
                try await claims.look(at: job, herald).state == .done
            }
            var published = Published()
            try await published.read(herald)
            let end = try await herald.record(job)
            #expect(end.targetsDone == targets && end.verdicts.values.reduce(0, +) == targets)
            #expect(Set(end.verdicts.keys).isSubset(of: ["routed", "stored"]))
            #expect(published.targets == targets && published.shown == targets)
            for user in [0, 999, 1500, 1999, 5000, 19_999] {
                let inbox = try await herald.curl("GET", "/v1/users/u\(user)/inbox").body
                #expect(inbox.components(separatedBy: "kept").count == 2, "kept once: \(inbox)")
            }
            #expect(
                claims.lost > 1 || end.worker == "job-b",
                "who wakes takes nothing that has not lapsed again"
            )
            #expect(frozen.isRunning)
            #expect(published.deliveries - targets <= claims.lost * 500, "at most the step that each was at")
            frozen.kill()
            other.kill()
        }
    }

    @Test func `a worker outlives everything that Redis loses`() async throws {
        try await LocalHerald.run(nodes: 1) { herald in
            let users = (0..<2000).map { "\"u\($0)\"" }.joined(separator: ",")
            let lost = try await herald.queue(#"{"users":[\#(users)],"rate":100}"#)
            try await eventually("it runs") { try await herald.record(lost).state == .running }
            let worker = try herald.pid("job")
            #expect(try await herald.redis("FLUSHALL") == ["OK"])
            #expect(try await herald.curl("GET", "/v1/jobs/\(lost)").status == 404)
            let next = try await herald.queue(#"{"users":["u1","u2"]}"#)
            try await eventually("the next is done") { try await herald.record(next).state == .done }
            #expect(try await herald.record(next).verdicts == ["offline": 2])
            #expect(try herald.pid("job") == worker && kill(worker, 0) == 0)
        }
    }

    private static func passTime(_ duration: Duration) async throws {
        let end = ContinuousClock.now + duration
        try await eventually("\(duration) pass") { ContinuousClock.now >= end }
    }

    /// For the log of the run.
    private static func note(_ text: String) {
        FileHandle.standardError.write(Data("figures: \(text)\n".utf8))
    }
}

/// Everything that was published to cloud-1, as its hop keeps it.
private struct Published {
    private var last = "0-0"
    private var pushes: [String: Set<Target>] = [:]
    private(set) var deliveries = 0

    /// Targets that were published to at all.
    var targets: Int { pushes.values.reduce(into: Set()) { $0.formUnion($1) }.count }
    /// Targets, counted once for each push id: what clients that drop repeats show.
    var shown: Int { pushes.values.reduce(0) { $0 + $1.count } }

    mutating func read(_ herald: LocalHerald) async throws {
        let after = last
        let entries = try await herald.asking { link in
            try await link.send(RedisCommand("XRANGE", "herald:hop:{cloud-1}", .text("(" + after), "+"))
        }
        for entry in entries.elements ?? [] {
            guard let parts = entry.elements, let fields = parts[1].elements, let id = parts[0].text,
                case .string(let bytes) = fields[3]
            else { throw Unreadable() }
            last = id
            for delivery in try Envelope(wire: bytes).deliveries {
                deliveries += delivery.targets.count
                pushes[delivery.push.description, default: []].formUnion(delivery.targets)
            }
        }
    }

    struct Unreadable: Error {}
}

/// How often a job was claimed: each claim has a fencing number of its own, and lives longer than until the next look.
private struct Claims {
    private var fences: Set<Int64> = []

    /// Those that lapsed, or will.
    var lost: Int { fences.count - 1 }

    mutating func look(at job: JobID, _ herald: LocalHerald) async throws -> JobRecord {
        let (fence, record) = try await herald.asking { link in
            let key = RedisArgument.text("herald:jobs:{\(job.partition)}:job:\(job)")
            let fence = try await link.send(RedisCommand("HGET", key, "fence")).number
            return (fence, try await RedisJobQueue(link: link).find(job))
        }
        // 0: not claimed yet.
        if let fence, fence > 0 { fences.insert(fence) }
        return try #require(record)
    }
}

extension LocalHerald {
    func asking<Answer: Sendable>(
        _ body: @escaping @Sendable (RedisLink) async throws -> Answer
    ) async throws -> Answer {
        var settings = HeraldSettings()
        settings.redis.url = "redis://127.0.0.1:\(redisPort)"
        // A Redis that waits for its disk or for a core is not what these tests are about.
        settings.redis.link.commandTimeout = .seconds(20)
        settings.redis.link.silenceMax = .seconds(20)
        return try await RedisSession.open(settings, body)
    }

    /// Routes of `u0`, `u1`, … to the first node, as its sessions would have written them.
    fileprivate func route(users: Int) async throws {
        try await asking { link in
            let incarnation = try await link.send(
                RedisCommand("HGET", "herald:node:{cloud-1}", "incarnation")
            )
            let run = try #require(incarnation.text)
            let expires = UInt64(Date.now.timeIntervalSince1970 * 1000) + 600_000
            for start in stride(from: 0, to: users, by: 2000) {
                _ = try await link.send(
                    (start..<min(start + 2000, users)).map { number in
                        RedisCommand(
                            "HSET",
                            .text("herald:user:{u\(number)}"),
                            "phone",
                            .text("cloud-1#\(run).\(number + 1) \(run) \(expires)")
                        )
                    }
                )
            }
        }
    }

    fileprivate func worker(_ name: String) -> Program {
        Program(
            name,
            [
                LocalHerald.programPath, "job", "--name", name, "--port", "0", "--redis",
                "redis://127.0.0.1:\(redisPort)",
            ],
            environment: ["HERALD_JOBS_CLAIM_IDLE": "1s"],
            folder: folder
        )
    }

    private static var programPath: String { (try? program.path) ?? "" }

    func queue(_ body: String, path: String = "/v1/jobs") async throws -> JobID {
        let answer = try await curl("POST", path, body: body)
        #expect(answer.status == 202)
        let name = answer.body.split(separator: "\"").dropFirst(3).first.map(String.init) ?? answer.body
        return try JobID(name)
    }

    func record(_ job: JobID) async throws -> JobRecord {
        let record = try await asking { link in try await RedisJobQueue(link: link).find(job) }
        return try #require(record)
    }
}
