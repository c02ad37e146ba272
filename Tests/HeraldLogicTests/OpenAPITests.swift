import HeraldCore
import HeraldTesting
import HeraldWire
import Logging
import Testing

@testable import HeraldLogic

/// openapi.yaml against what is served: a path, method or code that drifts fails here.
struct OpenAPITests {
    private let text = String(decoding: PackageResources.openapi_yaml, as: UTF8.self)

    @Test func `its paths and methods are those that are served`() {
        let described = operations()
        let served = Set(endpoints().map { "\($0.method) \($0.path)" })
        #expect(described == served)
        #expect(served.count == endpoints().count)
    }

    @Test func `it is served as it is`() async throws {
        try await Fleet().serving { port in
            let response = try await RawClient.request("GET", "/openapi.yaml", to: port)
            #expect(response.headers["content-type"] == "application/yaml")
            #expect(response.body == text)
        }
    }

    @Test func `it states the limits that hold`() {
        let limits = Limits.standard
        #expect(text.contains("larger than \(limits.pushBytesMax) bytes"))
        #expect(text.contains("at most \(limits.targetsMax) together"))
        #expect(text.contains("At most \(limits.batchPushesMax) pushes, \(limits.batchBytesMax) bytes, and"))
        #expect(text.contains("\(limits.batchTargetsMax) targets together"))
        #expect(text.contains("and \(limits.jsonDepthMax) levels"))
        #expect(text.contains("maxItems: \(limits.excludesMax)"))
        #expect(text.contains("maximum: \(limits.largestRoomsMax)\n"))
        #expect(text.contains("at most \(limits.durableBytesMax / 1024 / 1024) MiB"))
        #expect(text.contains("maximum: \(limits.membersPageMax)\n"))
        #expect(text.contains("maximum: \(limits.nodesChosenMax)\n"))
        #expect(text.contains("lists (\(limits.listedMembersMax) unless"))
        #expect(text.contains("name, at most \(limits.eventBytesMax) bytes"))
        #expect(text.contains("maximum: \(limits.confirmDeadlineMax.wholeMilliseconds)\n"))
        #expect(text.contains("default: \(limits.pushDeadline.wholeMilliseconds)\n"))
        #expect(text.contains("repeat within \(limits.idempotencyMemory.components.seconds) s is"))
        #expect(text.contains("for \(limits.routedSearchMax.wholeMilliseconds) ms only"))
        #expect(text.contains("among its last 65,536") && limits.pushesRememberedMax == 65_536)
        let jobs = JobLimits.standard
        #expect(text.contains("larger than \(jobs.bodyBytesMax) bytes"))
        #expect(text.contains("up to \(jobs.targetsMax) users or keys"))
        #expect(text.contains("steps of at most \(jobs.stepTargetsMax) targets"))
        #expect(text.contains("maximum: \(jobs.pageMax)\n"))
        #expect(text.contains("maximum: \(JobJSON.rateMax)\n"))
        #expect(text.contains("enum: [\(JobState.allCases.map(\.rawValue).joined(separator: ", "))]"))
    }

    @Test func `it names every code that a caller can meet`() {
        var codes = BadInput.bodies.map(\.code) + BadInput.paths.map(\.code)
        codes += BadInput.questions.map(\.code)
        codes += PushRefusal.Code.all.map(\.description)
        codes += [
            "unauthorized", "no_connection", "not_ready", "unreachable", "no_node", "request_timeout",
            "bad_http", "unknown_push", "in_progress", "idempotency_mismatch", "jobs_full", "no_job",
            "job_state",
        ]
        // Nobody is there to meet these: the caller left, or no operation was found.
        let unmet: Set<String> = ["cancelled", "unknown_path", "wrong_method"]
        for code in Set(codes).subtracting(unmet) { #expect(text.contains("`\(code)`"), "\(code)") }
    }

    @Test func `every reference leads somewhere`() {
        for part in text.split(separator: "\"#/components/").dropFirst() {
            let path = part.prefix { $0 != "\"" }.split(separator: "/")
            #expect(text.contains("\n  \(path[0]):\n"), "\(path)")
            #expect(text.contains("\n    \(path[1]):\n"), "\(path)")
        }
    }

    private func operations() -> Set<String> {
        var operations: Set<String> = []
        var path = ""
        for line in text.split(separator: "\n") {
            if line.hasPrefix("  /") { path = String(line.dropFirst(2).dropLast()) }
            if line.hasPrefix("components:") { break }
            for method in ["get", "post", "put", "patch", "delete"] where line == "    \(method):" {
                operations.insert("\(method.uppercased()) \(path)")
            }
        }
        return operations
    }

    private func endpoints() -> [Endpoint] {
        let fleet = Fleet()
        let pipeline = MemoryPipeline(
            table: fleet.table,
            bus: fleet.bus,
            sender: "logic-test",
            clock: ManualClock(),
            logger: .silent
        )
        let batcher = PushBatcher(
            pipeline: pipeline,
            limits: .standard,
            ids: SharedPushIDs(random: 0),
            requests: RequestCounters()
        )
        return PushController(pipeline: pipeline, limits: .standard, ids: batcher.ids).endpoints
            + PushBatchController(batcher: batcher).endpoints
            + PushStoryController(process: "logic-test", story: { _ in nil }).endpoints
            + RouteController(table: fleet.table, bus: fleet.bus, sender: "logic-test").endpoints
            + PresenceController(table: fleet.table, limits: .standard).endpoints
            + NodeController(table: fleet.table, limits: .standard, recent: { [] }).endpoints
            + InboxController(inbox: fleet.messages, limits: .standard).endpoints
            + JobController(
                queue: MemoryJobQueue(),
                limits: .standard,
                jobLimits: .standard,
                random: 0,
                logger: .silent
            ).endpoints
            + ServiceController(obstacles: { [] }, metrics: { "" }).endpoints
    }
}
