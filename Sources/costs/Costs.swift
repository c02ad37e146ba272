import Glibc

/// What Herald's hot operations cost, in instructions and allocations: numbers that do not depend on how busy the
/// machine is, so that a regression can fail the build (`scripts/costs`).
///
///     costs list                              the operations
///     costs run OPERATION COUNT               carries one out COUNT times, to be watched by callgrind
///     costs judge [--accept] TABLE FOLDER TOOLS
///         compares callgrind's profiles FOLDER/OPERATION.1 and .2, of a run of COUNT and one of twice COUNT,
///         with what TABLE allows; TOOLS names what was measured with
///
/// The difference of two runs leaves out what starting, connecting and warming up cost. Nothing here is installed.
@main
enum Costs {
    static func main() {
        let words = Array(CommandLine.arguments.dropFirst())
        do {
            switch (words.first, words.count) {
            case ("list", 1): for operation in Operation.all { say("\(operation.name) \(operation.count)") }
            case ("run", 3): try run(words[1], words[2])
            case ("judge", 4): try judge(words[1], words[2], tools: words[3], accepts: false)
            case ("judge", 5) where words[1] == "--accept":
                try judge(words[2], words[3], tools: words[4], accepts: true)
            default:
                throw CostsError(
                    "usage: costs list | run OPERATION COUNT | judge [--accept] TABLE FOLDER TOOLS"
                )
            }
        } catch {
            say("costs: \(error)", to: STDERR_FILENO)
            exit(64)
        }
    }

    private static func run(_ name: String, _ text: String) throws {
        guard let operation = Operation.all.first(where: { $0.name == name }) else {
            throw CostsError("there is no operation '\(name)' (see `costs list`)")
        }
        guard let count = Int(text), count > 0 else { throw CostsError("'\(text)' is no number of times") }
        try operation.run(count)
        // Nothing is taken down: both runs would spend the same on it.
        exit(0)
    }

    private static func judge(_ path: String, _ folder: String, tools: String, accepts: Bool) throws {
        let allowed = try? TextFile.read(path)
        if allowed == nil, !accepts {
            throw CostsError("\(path) cannot be read; `scripts/costs --accept` makes it")
        }
        let table = try allowed.map { try CostTable(text: $0) } ?? CostTable()
        var measured: [String: Cost] = [:]
        for operation in Operation.all {
            let once = try CallgrindProfile(text: TextFile.read("\(folder)/\(operation.name).1"))
            let twice = try CallgrindProfile(text: TextFile.read("\(folder)/\(operation.name).2"))
            measured[operation.name] = Cost(from: once, to: twice, count: operation.count)
        }
        let judgement = CostJudgement(
            operations: Operation.all.map(\.name),
            measured: measured,
            allowed: table,
            tools: tools
        )
        for line in judgement.lines { say(line) }
        if accepts {
            try TextFile.write(judgement.accepted.text, to: path)
            say("Written to \(path).")
        } else if !judgement.isPassed {
            exit(1)
        }
    }

    private static func say(_ line: String, to descriptor: Int32 = STDOUT_FILENO) {
        let bytes = Array((line + "\n").utf8)
        _ = write(descriptor, bytes, bytes.count)
    }
}

/// Why nothing was measured, or nothing judged.
struct CostsError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// An operation and how often a run carries it out: enough that what a run costs besides does not show.
struct Operation: Sendable {
    let name: String
    let count: Int
    let run: @Sendable (Int) throws -> Void

    static let all = [
        Operation(name: "read-frame", count: 6400, run: ReadFrame.run),
        Operation(name: "decode-frame", count: 5000, run: Codecs.decodeFrame),
        Operation(name: "encode-push", count: 5000, run: Codecs.encodePush),
        Operation(name: "encode-envelope", count: 5000, run: Codecs.encodeEnvelope),
        Operation(name: "decode-envelope", count: 5000, run: Codecs.decodeEnvelope),
        Operation(name: "deliver-to-room", count: 300, run: DeliverToRoom.run),
        Operation(name: "route-push", count: 1000, run: RoutePush.alone),
        Operation(name: "route-64-pushes", count: 50, run: RoutePush.together),
    ]
}
