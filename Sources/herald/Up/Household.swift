import Glibc
import HeraldClient
import Synchronization

/// The processes of a local run: starts them one after the other, knows which live, stops them in order.
final class Household: Sendable {
    enum Event: Sendable {
        case ready
        case failed(Failure)
        case ended(String, ChildProcess.Exit)
        case signalled
    }

    private let plan: UpPlan
    private let directory: RunDirectory
    private let settings: HeraldSettings
    private let tell: @Sendable (Event) -> Void
    private let children = Mutex<[String: ChildProcess]>([:])

    /// From the start of a process to its readiness: a cold page cache on a busy machine, ten times over.
    private static let readyWithin = Duration.seconds(20)
    private static let lookEvery = Duration.milliseconds(25)

    init(
        plan: UpPlan,
        directory: RunDirectory,
        settings: HeraldSettings,
        tell: @escaping @Sendable (Event) -> Void
    ) {
        self.plan = plan
        self.directory = directory
        self.settings = settings
        self.tell = tell
    }

    // MARK: starting

    /// Starts all: Redis, then logic and the cloud nodes side by side; returns when each is ready.
    func start() async throws {
        for program in plan.programs {
            try PortCheck.check(host: program.host, port: program.port, for: program.name)
        }
        if let redis = plan.redis { start(redis) }
        try await untilReady("redis") { try await self.redisAnswers() }
        start(plan.logic)
        start(plan.job)
        for cloud in plan.clouds { start(cloud) }
        for program in [plan.logic, plan.job] + plan.clouds where program.port != 0 {
            try await untilReady(program.name) { try await Self.isReady(program) }
        }
    }

    private func start(_ program: UpPlan.Program) {
        let (name, directory, tell) = (program.name, directory, tell)
        directory.clearLog(of: name)
        let child = ChildProcess.start(
            name: name,
            words: program.words,
            logPath: directory.log(of: name),
            started: { directory.write(pid: $0, of: name) },
            ended: { exit in
                directory.removePid(of: name)
                tell(.ended(name, exit))
            }
        )
        children.withLock { $0[name] = child }
    }

    /// `check`: nil when it is ready, else why not.
    private func untilReady(_ name: String, _ check: () async throws -> String?) async throws {
        let deadline = ContinuousClock.now + Self.readyWithin
        while true {
            let child = children.withLock { $0[name] }
            if let exit = child?.exit {
                throw Failure(.failed, "\(name) \(exit)\(lastWords(of: name))")
            }
            guard let reason = try await check() else { return }
            guard ContinuousClock.now < deadline else {
                throw Failure(
                    .failed,
                    "\(name) is not ready after \(SettingValue.duration(Self.readyWithin)): \(reason)\(lastWords(of: name))"
                )
            }
            try await Task.sleep(for: Self.lookEvery)
        }
    }

    private func lastWords(of name: String) -> String {
        let lines = directory.lastLines(of: name)
        return lines.isEmpty
            ? "" : "; the end of \(directory.log(of: name)):\n  " + lines.joined(separator: "\n  ")
    }

    private func redisAnswers() async throws -> String? {
        var settings = settings
        settings.redis.url = plan.redisURL
        if plan.redis != nil {
            settings.redis.username = ""
            settings.redis.password = ""
        }
        do {
            _ = try await RedisSession.open(settings, patience: .milliseconds(500)) {
                try await RedisClock.now($0)
            }
            return nil
        } catch let failure as Failure where failure.code == .unavailable && plan.redis != nil {
            return failure.description
        }
    }

    private static func isReady(_ program: UpPlan.Program) async throws -> String? {
        var limits = ClientLimits.standard
        limits.connectTimeout = .seconds(1)
        limits.requestTimeout = .seconds(1)
        limits.lanesMax = 1
        let client = HeraldPushClient(
            ServerAddress(scheme: .http, host: program.host, port: program.port, path: "/"),
            limits: limits
        )
        let result: String?
        do {
            let answer = try await client.get("/readyz")
            result =
                answer.status == 200
                ? nil : "it says \(answer.status) \(String(decoding: answer.body.prefix(200), as: UTF8.self))"
        } catch {
            result = error.message
        }
        await client.shutdown()
        return result
    }

    // MARK: stopping

    /// Whether any server still lives.
    var hasServers: Bool { children.withLock { $0.contains { $0.key != "redis" && $0.value.exit == nil } } }

    /// Stops the cloud nodes, then logic and the jobs, then Redis; who does not end in time is killed.
    func stop() async {
        await stop(
            plan.clouds.map(\.name),
            within: max(settings.cloud.drainDuration, .seconds(2)) + .seconds(3)
        )
        await stop(["logic", "job"], within: .seconds(5))
        await stop(["redis"], within: .seconds(5))
    }

    /// Kills whatever lives: somebody does not want to wait.
    func kill() {
        for child in children.withLock({ Array($0.values) }) { child.signal(SIGKILL) }
    }

    private func stop(_ names: [String], within limit: Duration) async {
        let leaving = children.withLock { children in names.compactMap { children[$0] } }
        for child in leaving { child.signal(SIGTERM) }
        if await !Self.ended(leaving, within: limit) {
            for child in leaving where child.exit == nil {
                Console.complain(
                    "herald: \(child.name) did not stop within \(SettingValue.duration(limit)) and is killed"
                )
                child.signal(SIGKILL)
            }
            _ = await Self.ended(leaving, within: .seconds(5))
        }
    }

    private static func ended(_ children: [ChildProcess], within limit: Duration) async -> Bool {
        let deadline = ContinuousClock.now + limit
        while children.contains(where: { $0.exit == nil }) {
            guard ContinuousClock.now < deadline else { return false }
            try? await Task.sleep(for: lookEvery)
        }
        return true
    }
}
