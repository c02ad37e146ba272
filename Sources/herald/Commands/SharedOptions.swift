import ArgumentParser
import Glibc
import HeraldRedis
import Logging

/// What every command that has settings takes.
struct SharedOptions: ParsableArguments {
    @Option(
        name: .customLong("config"),
        help: ArgumentHelp(
            "File of settings, such as config/herald.yaml.",
            discussion:
                "None is read unless it is named here or in HERALD_CONFIG. Order: defaults, file, HERALD_… "
                + "variables, flags; the later wins.",
            valueName: "file"
        )
    )
    var configFile: String?

    @Option(
        name: .customLong("set"),
        help: ArgumentHelp("Any setting, such as limits.route_ttl=60s; repeatable.", valueName: "name=value")
    )
    var assignments: [String] = []

    @Option(
        name: .customLong("redis"),
        help: ArgumentHelp("Where Redis is (setting redis.url).", valueName: "url")
    )
    var redisURL: String?

    @Option(
        name: .customLong("log-level"),
        help: ArgumentHelp("trace, debug, info, notice, warning, error or critical.", valueName: "level")
    )
    var logLevel: String?

    /// Reads the settings of all layers.
    ///
    /// `flags`: the command's own flags that stand for a setting, by the setting's name.
    func settings(_ flags: [(flag: String, setting: String, value: String?)] = []) throws -> HeraldSettings {
        var layers = SettingsLayers(contents: FileContents.text)
        let environment = Environment.all
        if let path = configFile ?? environment["HERALD_CONFIG"] {
            let text: String
            do { text = try FileContents.text(of: path) } catch {
                throw SettingsError(place: path, reason: "cannot be read: \(error)")
            }
            try layers.apply(SettingsFile.entries(in: text, path: path))
        }
        try layers.apply(environment: environment, others: ["HERALD_CONFIG"])
        try layers.apply(set: assignments)
        let own = flags + [("--redis", "redis.url", redisURL), ("--log-level", "log.level", logLevel)]
        try layers.apply(
            own.compactMap { flag, setting, value in
                value.map { SettingsLayers.Entry(name: setting, value: $0, place: flag) }
            }
        )
        return layers.settings
    }

    /// The same options for a process that this one starts, without the address of Redis.
    var passedOn: [String] {
        var words: [String] = []
        if let configFile { words += ["--config", configFile] }
        for assignment in assignments { words += ["--set", assignment] }
        if let logLevel { words += ["--log-level", logLevel] }
        return words
    }
}

/// The environment as a dictionary.
enum Environment {
    static var all: [String: String] {
        var result: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let pair = String(cString: text).split(
                separator: "=",
                maxSplits: 1,
                omittingEmptySubsequences: false
            )
            if pair.count == 2 { result[String(pair[0])] = String(pair[1]) }
            entry += 1
        }
        return result
    }
}

/// Small files, read whole.
enum FileContents {
    /// Settings and secrets; anything larger is not one.
    private static let bytesMax = 16 << 20

    struct Unreadable: Error, CustomStringConvertible {
        var description: String
    }

    @Sendable static func text(of path: String) throws -> String {
        guard let text = String(validating: try bytes(of: path), as: UTF8.self) else {
            throw Unreadable(description: "it is not UTF-8")
        }
        return text
    }

    /// Reads a file, or standard input for `-`.
    static func bytes(of path: String) throws(Unreadable) -> [UInt8] {
        let descriptor = path == "-" ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Unreadable(description: String(cString: strerror(errno))) }
        defer { if path != "-" { close(descriptor) } }
        var result: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = read(descriptor, &chunk, chunk.count)
            if count < 0 && errno == EINTR { continue }
            guard count >= 0 else { throw Unreadable(description: String(cString: strerror(errno))) }
            guard count > 0 else { return result }
            result += chunk[..<count]
            guard result.count <= bytesMax else { throw Unreadable(description: "it is larger than 16 MiB") }
        }
    }
}
