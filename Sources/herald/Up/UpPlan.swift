import HeraldRedis

/// What `up` starts: decided before anything is done.
struct UpPlan: Equatable {
    /// A process to start.
    struct Program: Equatable {
        /// `redis`, `logic`, `job`, `cloud-1`: names its pid file and its log.
        var name: String
        var words: [String]
        var host: String
        /// 0 for any free one: then nobody has to find it.
        var port: Int
        /// Where clients or callers reach it.
        var url: String
    }

    struct Options {
        var nodes = 3
        var redisPort = 6399
        var directory = ".herald"
        /// The program of Redis, and its configuration.
        var redisServer = "redis-server"
        var redisConfiguration = ".herald/redis.conf"
        var herald = "herald"
        /// What all servers are told besides.
        var passedOn: [String] = []
    }

    /// Nil: somebody else runs it.
    var redis: Program?
    var redisURL: String
    var logic: Program
    var job: Program
    var clouds: [Program]

    /// Without user and password.
    var redisForPeople: String { redis?.url ?? (try? RedisAddress(redisURL))?.description ?? "" }

    var programs: [Program] { (redis.map { [$0] } ?? []) + [logic, job] + clouds }

    /// How long a local node takes to part from its clients: nobody waits at the other end of a local stop.
    private static let localDrain = Duration.seconds(2)

    init(_ options: Options, settings: HeraldSettings) {
        // A Redis that was named in any layer is used; the default address is nobody's in particular.
        let ownsRedis = settings.redis.url == HeraldSettings().redis.url
        redisURL = ownsRedis ? "redis://127.0.0.1:\(options.redisPort)" : settings.redis.url
        var common = options.passedOn + ["--redis", redisURL]
        if ownsRedis {
            common += ["--set", "redis.username=", "--set", "redis.password="]
            redis = Program(
                name: "redis",
                words: [
                    options.redisServer, options.redisConfiguration, "--port", String(options.redisPort),
                    "--dir", options.directory, "--daemonize", "no",
                ],
                host: "127.0.0.1",
                port: options.redisPort,
                url: redisURL
            )
        }
        let logicSettings = settings.logic
        logic = Program(
            name: "logic",
            words: [
                options.herald, "logic", "--host", logicSettings.host, "--port", String(logicSettings.port),
            ] + common,
            host: logicSettings.host,
            port: logicSettings.port,
            url: "http://\(Self.authority(logicSettings.host, logicSettings.port))"
        )
        job = Self.job(options, settings.jobs, common)
        if settings.cloud.drainDuration == HeraldSettings().cloud.drainDuration {
            common += ["--set", "cloud.drain_duration=\(SettingValue.duration(Self.localDrain))"]
        }
        clouds = (0..<options.nodes).map { index in
            let port = settings.cloud.port + index
            let name = "cloud-\(index + 1)"
            let host = settings.cloud.host
            return Program(
                name: name,
                words: [
                    options.herald, "cloud", "--id", name, "--host", host, "--port", String(port), "--url",
                    "",
                ] + common,
                host: host,
                port: port,
                url: "ws://\(Self.authority(host, port))/ws"
            )
        }
    }

    /// Its pages are for operators alone, so that it takes any free port unless one was chosen.
    private static func job(_ options: Options, _ settings: JobSettings, _ common: [String]) -> Program {
        let port = settings.port == JobSettings().port ? 0 : settings.port
        return Program(
            name: "job",
            words: [options.herald, "job", "--host", settings.host, "--port", String(port)] + common,
            host: settings.host,
            port: port,
            url: "http://\(authority(settings.host, port))"
        )
    }

    /// - Returns: two programs that would want the same port; nil when all differ.
    var clash: (Program, Program)? {
        var seen: [Int: Program] = [:]
        for program in programs where program.port != 0 {
            if let other = seen.updateValue(program, forKey: program.port) { return (other, program) }
        }
        return nil
    }

    private static func authority(_ host: String, _ port: Int) -> String {
        let host = host == "localhost" ? "127.0.0.1" : host
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}
