import HeraldCore
import HeraldTesting
import HeraldWire
import Logging
import ServiceLifecycle
import Testing

@testable import HeraldLogic

struct JobEndpointTests {
    private let queue = MemoryJobQueue()

    /// Runs logic with jobs on a free port.
    private func serving(
        jobLimits: JobLimits = .standard,
        _ body: @Sendable (_ port: Int) async throws -> Void
    ) async throws {
        let fleet = Fleet()
        let (ports, signal) = AsyncStream<Int>.makeStream()
        let logic = try Logic(
            configuration: LogicConfiguration(port: 0, jobLimits: jobLimits),
            routes: fleet.table,
            bus: fleet.bus,
            jobs: queue,
            logger: .silent
        ) { port in signal.yield(port) }
        let group = ServiceGroup(services: [logic], logger: .silent)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                defer { signal.finish() }
                try await group.run()
            }
            for await port in ports {
                let result: Result<Void, any Error>
                do { result = .success(try await body(port)) } catch { result = .failure(error) }
                await group.triggerGracefulShutdown()
                try result.get()
            }
            try await tasks.waitForAll()
        }
    }

    private func ask(
        _ method: String,
        _ path: String,
        _ body: String = "",
        at port: Int
    ) async throws -> RawClient.Response {
        try await RawClient.request(method, path, body: body, to: port)
    }

    private func id(_ response: RawClient.Response) throws -> JobID {
        try JobID(String(response.body.split(separator: "\"")[3]))
    }

    @Test(arguments: ["/v1/push", "/v1/jobs"])
    func `a queued push is answered 202 when it is in the queue`(_ path: String) async throws {
        try await serving { port in
            let body = #"{"users":["alice","bob"],"mode":"queued","event":"sale","rate":4}"#
            let response = try await ask("POST", path, body, at: port)
            #expect(response.status == 202)
            let job = try id(response)
            #expect(response.headers["location"] == "/v1/jobs/\(job)")
            #expect(response.body == #"{"job":"\#(job)","state":"queued","targets":2,"steps":2}"#)
            let record = try #require(try await queue.find(job))
            #expect(record.targets == 2 && record.steps == 2 && record.ratePerSecond == 4)
            let shown = try await ask("GET", "/v1/jobs/\(job)", at: port)
            #expect(shown.status == 200 && shown.body.hasPrefix(#"{"job":"\#(job)","state":"queued","#))
        }
    }

    @Test func `the same request by its key is the same job, and another one is refused`() async throws {
        try await serving { port in
            let body = #"{"rooms":["news"],"idempotency_key":"order 42"}"#
            let first = try await ask("POST", "/v1/jobs", body, at: port)
            let second = try await ask("POST", "/v1/jobs", body, at: port)
            #expect(first.status == 202 && first.body == second.body)
            let other = #"{"rooms":["sports"],"idempotency_key":"order 42"}"#
            let third = try await ask("POST", "/v1/jobs", other, at: port)
            #expect(third.status == 422 && third.body.contains(#""code":"idempotency_mismatch""#))
            #expect(try await queue.list(nil, after: nil, limit: 5).jobs.count == 1)
        }
    }

    @Test func `a job for later waits for its time`() async throws {
        try await serving { port in
            let body = #"{"all":true,"deliver_at":"2100-01-01T00:00:00Z"}"#
            let job = try id(try await ask("POST", "/v1/jobs", body, at: port))
            let record = try #require(try await queue.find(job))
            #expect(record.state == .scheduled && record.due == RedisTime(milliseconds: 4_102_444_800_000))
        }
    }

    @Test func `jobs are listed and changed`() async throws {
        try await serving { port in
            let one = try id(try await ask("POST", "/v1/jobs", #"{"all":true}"#, at: port))
            let two = try id(try await ask("POST", "/v1/jobs", #"{"all":true}"#, at: port))
            let paused = try await ask("POST", "/v1/jobs/\(one)/pause", at: port)
            #expect(paused.status == 200 && paused.body == #"{"job":"\#(one)","state":"paused"}"#)
            let list = try await ask("GET", "/v1/jobs?state=paused", at: port)
            #expect(list.body.contains(one.description) && !list.body.contains(two.description))
            let page = try await ask("GET", "/v1/jobs?limit=1", at: port)
            let next = try #require(page.body.split(separator: #""next":""#).last?.dropLast(2))
            let rest = try await ask("GET", "/v1/jobs?limit=1&cursor=\(next)", at: port)
            #expect(rest.status == 200 && !rest.body.contains("next"))
            #expect((page.body + rest.body).contains(one.description))
            #expect((page.body + rest.body).contains(two.description))
            #expect(try await ask("POST", "/v1/jobs/\(one)/resume", at: port).body.contains("queued"))
            #expect(try await ask("POST", "/v1/jobs/\(one)/cancel", at: port).body.contains("cancelled"))
            let impossible = try await ask("POST", "/v1/jobs/\(one)/requeue", at: port)
            #expect(impossible.status == 409 && impossible.body.contains(#""code":"job_state""#))
            #expect(try await ask("DELETE", "/v1/jobs/\(two)", at: port).status == 409)
            #expect(try await ask("DELETE", "/v1/jobs/\(one)", at: port).body.contains("deleted"))
            let gone = try await ask("GET", "/v1/jobs/\(one)", at: port)
            #expect(gone.status == 404 && gone.body.contains(#""code":"no_job""#))
        }
    }

    static let wrong: [(String, String, String, Int, String)] = [
        ("POST", "/v1/jobs", #"{"event":"x"}"#, 400, "no_target"),
        ("POST", "/v1/jobs", #"{"all":true,"mode":"direct"}"#, 400, "unsupported"),
        ("POST", "/v1/push", #"{"all":true,"mode":"later"}"#, 400, "unsupported"),
        ("POST", "/v1/push", #"{"all":true,"deliver_at":5}"#, 400, "conflicting_fields"),
        ("GET", "/v1/jobs?state=lost", "", 400, "bad_parameter"),
        ("GET", "/v1/jobs?cursor=5", "", 400, "bad_parameter"),
        ("GET", "/v1/jobs?limit=101", "", 400, "bad_parameter"),
        ("GET", "/v1/jobs/nonsense", "", 400, "bad_id"),
        ("POST", "/v1/jobs/012345670/pause", "", 404, "no_job"),
        ("GET", "/v1/jobs/012345670/pause", "", 405, "wrong_method"),
    ]

    @Test(arguments: wrong)
    func `what is wrong has its status and code`(
        _ method: String,
        _ path: String,
        _ body: String,
        _ status: Int,
        _ code: String
    ) async throws {
        try await serving { port in
            let response = try await ask(method, path, body, at: port)
            #expect(response.status == status && response.body.contains(#""code":"\#(code)""#))
        }
    }

    @Test func `a body may be larger than a push's, and not larger than a job's`() async throws {
        var limits = JobLimits()
        limits.bodyBytesMax = 600_000
        try await serving(jobLimits: limits) { port in
            let names = (0..<30_000).map { "\"user-\($0)\"" }.joined(separator: ",")
            let body = #"{"users":[\#(names)]}"#
            let response = try await ask("POST", "/v1/jobs", body, at: port)
            #expect(response.status == 202)
            #expect(try await queue.find(id(response))?.steps == 60)
            #expect(try await ask("POST", "/v1/push", body, at: port).status == 413)
            let larger = try await ask(
                "POST",
                "/v1/jobs",
                body + String(repeating: " ", count: 300_000),
                at: port
            )
            #expect(larger.status == 413)
        }
    }

    @Test func `a queue that is full or away says when to come back`() async throws {
        try await serving { port in
            queue.isUnavailable = true
            let away = try await ask("POST", "/v1/jobs", #"{"all":true}"#, at: port)
            #expect(away.status == 503 && away.headers["retry-after"] == "1")
            #expect(away.body.contains("may have been taken as"))
            #expect(try await ask("GET", "/v1/jobs", at: port).status == 503)
        }
        let problem = Problem(JobQueueError.full("too many"))
        let body = String(decoding: problem.body, as: UTF8.self)
        #expect(body.contains(#""status":429,"code":"jobs_full""#) && problem.retryAfterSeconds == 5)
    }

    @Test func `metrics tell the jobs by state, and a gap while the queue is away`() {
        var counts = JobCounts(jobs: [.queued: 3, .dead: 1], bytes: 77, lag: .milliseconds(1500))
        counts.jobs[.running] = 2
        let text = JobMetricsText(queue: counts).text
        for line in [
            "herald_jobs{state=\"queued\"} 3", "herald_jobs{state=\"dead\"} 1",
            "herald_jobs{state=\"done\"} 0",
            "herald_jobs_lag_milliseconds 1500", "herald_jobs_bytes 77",
        ] {
            #expect(text.contains("\n\(line)\n"))
        }
        #expect(JobMetricsText(queue: nil).text.isEmpty)
        var done = JobWorkerCounters()
        done.ended(.finished)
        done.failed(.dead)
        done.failed(.retrying)
        done.ended(.stopped(.paused))
        let worker = JobMetricsText(queue: nil, worker: done, running: 4).text
        for line in [
            "herald_job_ended_total{why=\"finished\"} 1", "herald_job_ended_total{why=\"dead\"} 1",
            "herald_job_ended_total{why=\"retried\"} 1", "herald_job_running 4",
        ] {
            #expect(worker.contains("\n\(line)\n"))
        }
    }
}
