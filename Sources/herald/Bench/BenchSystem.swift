import FoundationEssentials
import Glibc
import HeraldClient
import HeraldCore
import HeraldRedis

/// The system that is measured, and its processes on this machine.
struct BenchSystem: Sendable {
    var logic: LoadAddress
    var nodes: [LoadAddress]
    var processes: [WatchedProcess]

    /// One that runs already: logic where it is said to be, the nodes that Redis knows.
    static func running(_ settings: HeraldSettings, logicURL: String?) async throws -> BenchSystem {
        let url = logicURL ?? "http://\(settings.logic.host):\(settings.logic.port)"
        let logic = try address(url, .http)
        let records = try await RedisSession.open(settings) { link in
            do { return try await settings.routeTable(link).nodes() } catch {
                throw Failure(.unavailable, "the nodes cannot be read: \(error)")
            }
        }
        let live = records.filter { $0.state == .live }
        guard !live.isEmpty else { throw Failure(.unavailable, "no cloud node has a live lease") }
        let nodes = try live.map { try address($0.profile.url, .ws) }
        var processes: [WatchedProcess] = []
        func watch(_ role: WatchedProcess.Role, _ host: String, _ port: Int) {
            guard host.hasPrefix("127.") || host == "localhost" else { return }
            guard let pid = Listeners.process(on: port) else { return }
            processes.append(WatchedProcess(role: role, pid: pid))
        }
        for node in nodes { watch(.cloud, node.host, node.port) }
        watch(.logic, logic.host, logic.port)
        if let redis = try? RedisAddress(settings.redis.url), case .tcp(let host, let port, _) = redis.place {
            watch(.redis, host, port)
        }
        return BenchSystem(logic: logic, nodes: nodes, processes: processes)
    }

    private static func address(_ url: String, _ scheme: ServerAddress.Scheme) throws(Failure) -> LoadAddress
    {
        let parsed: ServerAddress
        do { parsed = try ServerAddress(url, scheme: scheme) } catch { throw Failure(.usage, error.message) }
        let address = LoadAddress(host: parsed.host, port: parsed.port, path: parsed.path)
        guard address.isUsable else {
            throw Failure(.usage, "\(url): the load needs an IPv4 address in digits")
        }
        return address
    }

    /// What the processes have used so far, by role.
    func usage() -> [WatchedProcess.Role: ProcessUsage] {
        processes.reduce(into: [:]) { sums, process in
            guard let usage = ProcessUsage.of(process.pid) else { return }
            sums[process.role] = (sums[process.role] ?? ProcessUsage()) + usage
        }
    }
}

/// A system for one measurement: `herald up` on free ports, with all that it leaves behind in the run's folder.
final class OwnSystem: Sendable {
    private let child: ChildProcess
    private let folder: String
    private let nodes: Int
    private let logicPort: Int

    /// From its start to its ready line, on a busy machine.
    private static let readyWithin = Duration.seconds(60)
    private static let endsWithin = Duration.seconds(30)
    private static let lookEvery = Duration.milliseconds(20)

    /// Starts it.
    ///
    /// - Parameters:
    ///   - folder: of this run.
    ///   - nodes: how many cloud nodes.
    ///   - cpus: the cores that it may use, as taskset(1) takes them; nil: all.
    ///   - passedOn: options for `up`.
    /// - Throws: `Failure` when no ports are free.
    init(folder: String, nodes: Int, cpus: String?, passedOn: [String]) throws(Failure) {
        self.folder = folder
        self.nodes = nodes
        let logicPort = try Self.freePorts(nodes + 2)
        self.logicPort = logicPort
        let words = [
            Executable.path, "up", "--nodes", "\(nodes)", "--logic-port", "\(logicPort)",
            "--redis-port", "\(logicPort + 1)", "--cloud-port", "\(logicPort + 2)", "--dir", "\(folder)/up",
        ]
        child = ChildProcess.start(
            name: "up",
            words: BenchCPUs.pinned(words + passedOn, to: cpus),
            logPath: "\(folder)/up.log",
            started: { _ in },
            ended: { _ in }
        )
    }

    /// Waits until it is ready.
    func ready() async throws -> BenchSystem {
        let deadline = ContinuousClock.now + Self.readyWithin
        while !log.split(separator: "\n").contains(where: { $0.hasPrefix("ready ") }) {
            if let exit = child.exit { throw Failure(.failed, "herald up \(exit):\n\(log)") }
            guard ContinuousClock.now < deadline else {
                throw Failure(.failed, "herald up is not ready:\n\(log)")
            }
            try await Task.sleep(for: Self.lookEvery)
        }
        let clouds = (1...nodes).map { "cloud-\($0)" }
        let named = clouds.map { ($0, WatchedProcess.Role.cloud) } + [("logic", .logic), ("redis", .redis)]
        return BenchSystem(
            logic: LoadAddress(host: "127.0.0.1", port: logicPort, path: "/"),
            nodes: (0..<nodes).map { LoadAddress(host: "127.0.0.1", port: logicPort + 2 + $0, path: "/ws") },
            processes: named.compactMap { name, role in
                let text = try? FileContents.text(of: "\(folder)/up/\(name).pid")
                return text.flatMap { Int32($0.filter(\.isNumber)) }.map {
                    WatchedProcess(role: role, pid: $0)
                }
            }
        )
    }

    func stop() async {
        child.signal(SIGTERM)
        let deadline = ContinuousClock.now + Self.endsWithin
        while child.exit == nil {
            if ContinuousClock.now > deadline { child.signal(SIGKILL) }
            // Also when the task is cancelled, which `Task.sleep` would not bear.
            poll(nil, 0, 20)
        }
    }

    private var log: String { (try? FileContents.text(of: "\(folder)/up.log")) ?? "" }

    /// - Returns: the first of some ports in a row that nobody has, below those that the kernel hands out.
    private static func freePorts(_ count: Int) throws(Failure) -> Int {
        for _ in 0..<100 {
            let first = Int.random(in: 20_000..<32_000 - count)
            let isTaken = (first..<first + count).contains { port in
                do { try PortCheck.check(host: "127.0.0.1", port: port, for: "a measurement") } catch {
                    return true
                }
                return false
            }
            if !isTaken { return first }
        }
        throw Failure(.failed, "no \(count) ports in a row are free")
    }
}

/// Which cores a process may use.
enum BenchCPUs {
    /// `cpus`: as taskset(1) takes them; nil: all.
    static func pinned(_ words: [String], to cpus: String?) -> [String] {
        cpus.map { ["taskset", "-c", $0] + words } ?? words
    }
}
