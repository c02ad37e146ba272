import ArgumentParser
import HeraldClient
import HeraldCore
import HeraldWire

struct PushCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "push",
        abstract: "Pushes a message, and shows what became of it for each target.",
        discussion: """
            Examples:
              herald push --user alice --event order.shipped --data '{"order":7}'
              herald push --key alice/phone --room news --data @message.json
              echo '"hi"' | herald push --all --data -
              herald push --queued --at 2026-12-24T18:00:00Z --all --event closing

            Exit codes: 0 every target was reached as far as --confirm asks, or the push is queued, 1 some target was \
            not, 2 wrong usage or the push was refused, 69 logic is out of reach or cannot serve now. \
            `herald why PUSH` tells more.
            """
    )

    @Option(
        name: .customLong("user"),
        help: ArgumentHelp("A user: all connections; repeatable.", valueName: "user")
    )
    var users: [String] = []
    @Option(
        name: .customLong("key"),
        help: ArgumentHelp("One connection; repeatable.", valueName: "user/key")
    )
    var keys: [String] = []
    @Option(
        name: .customLong("room"),
        help: ArgumentHelp("Everybody in a room; repeatable.", valueName: "room")
    )
    var rooms: [String] = []
    @Flag(name: .customLong("all"), help: "Every connection there is.")
    var everyone = false
    @Option(
        name: .customLong("exclude"),
        help: ArgumentHelp("A connection that shall not get it; repeatable.", valueName: "user/key")
    )
    var excluded: [String] = []
    @Option(help: "The event's name.") var event: String?
    @Option(help: ArgumentHelp("The operation number.", valueName: "number")) var op: Int32?
    @Option(
        help: ArgumentHelp("The payload: JSON, @file, or - for standard input.", valueName: "json|@file|-")
    )
    var data: String?
    @Flag(help: "Keep it in the inboxes of its users and rooms first.") var durable = false
    @Option(
        help: ArgumentHelp(
            "Replace those with this key that still wait at slow connections.",
            valueName: "key"
        )
    )
    var collapseKey: String?
    @Flag(help: "Leave slow connections out instead of letting it wait there.") var droppable = false
    @Option(
        help: ArgumentHelp(
            "How far to follow it: routed, written to a socket, or acked by a client.",
            valueName: "level"
        ),
        transform: { text in
            guard let level = ConfirmLevel(rawValue: text) else {
                throw ValidationError("--confirm must be routed, written or acked")
            }
            return level
        }
    )
    var confirm = ConfirmLevel.routed
    @Option(
        help: ArgumentHelp("Answer after so long at the latest; else 3000.", valueName: "milliseconds")
    )
    var deadlineMs: Int64?
    @Option(
        help: ArgumentHelp("Push once, however often this is repeated within 5 minutes.", valueName: "key")
    )
    var idempotencyKey: String?
    @OptionGroup var queue: QueueOptions
    @Option(help: ArgumentHelp("Where logic is.", valueName: "url"))
    var url = "http://127.0.0.1:8080"
    @Option(
        help: ArgumentHelp(
            "How many seconds to wait for the answer; longer than the deadline.",
            valueName: "seconds"
        )
    )
    var timeout: Double?
    @Flag(help: "Print logic's answer as JSON.") var json = false

    func validate() throws {
        guard !targetNames.isEmpty || everyone else {
            throw ValidationError("a push needs a target: --user, --key, --room or --all")
        }
        if let deadlineMs, !(1...Limits.standard.confirmDeadlineMax.wholeMilliseconds).contains(deadlineMs) {
            throw ValidationError(
                "--deadline-ms must be from 1 to \(Limits.standard.confirmDeadlineMax.wholeMilliseconds)"
            )
        }
        if let timeout, !(timeout > 0 && timeout <= 3600) {
            throw ValidationError("--timeout must be from 0 to 3600 seconds")
        }
    }

    private var targetNames: [String] { users + keys + rooms }

    func run() async throws {
        var limits = ClientLimits.standard
        let usual = 5 + Double(deadlineMs ?? 0) / 1000
        limits.requestTimeout = .milliseconds(Int64((timeout ?? usual) * 1000))
        limits.connectTimeout = limits.requestTimeout
        limits.lanesMax = 1
        do {
            let client = try HeraldPushClient(url: url, limits: limits)
            if queue.isQueued {
                try await queue.queue(request(), at: client, json: json)
                return await client.shutdown()
            }
            let answer = try await client.push(request())
            await client.shutdown()
            show(answer)
            guard answer.verdicts.allSatisfy({ $0.verdict.reaches(confirm) }) else {
                throw ExitCode(Failure.Code.no.rawValue)
            }
        } catch let error as ClientError {
            throw Failure(error.mayRetry ? .unavailable : .usage, error.message)
        } catch let error as InvalidIdentifier {
            throw Failure(.usage, error.description)
        }
    }

    private func request() throws -> PushRequest {
        var targets: [Target] = []
        for user in users { targets.append(.user(try UserID(user))) }
        for key in keys { targets.append(.key(try UserKey(key))) }
        for room in rooms { targets.append(.room(try RoomID(room))) }
        if everyone { targets.append(.everyone) }
        return PushRequest(
            to: targets,
            Message(event: event, op: op, payload: try payload()),
            exclude: try excluded.map { try UserKey($0) },
            isDurable: durable,
            queuePolicy: QueuePolicy(
                collapseKey: try collapseKey.map { try CollapseKey($0) },
                isDroppable: droppable
            ),
            confirm: confirm,
            deadline: deadlineMs.map { .milliseconds($0) },
            idempotencyKey: try idempotencyKey.map { try IdempotencyKey($0) }
        )
    }

    private func payload() throws -> Payload? {
        guard let data else { return nil }
        let bytes: [UInt8]
        do {
            switch data {
            case "-": bytes = try FileContents.bytes(of: "-")
            case _ where data.hasPrefix("@"): bytes = try FileContents.bytes(of: String(data.dropFirst()))
            default: bytes = Array(data.utf8)
            }
        } catch { throw Failure(.usage, "--data \(data) cannot be read: \(error)") }
        do {
            return .json(
                try bytes.withUnsafeBytes { bytes in
                    try JSONReader.read(bytes, depthMax: Limits.standard.jsonDepthMax) {
                        reader throws(WireError) in
                        try reader.raw()
                    }
                }
            )
        } catch let error as WireError {
            throw Failure(
                .usage,
                "--data is not JSON (a text needs quotes, as in '\"hi\"'): \(error.message)"
            )
        }
    }

    private func show(_ answer: PushAnswer) {
        guard !json else { return Console.say(PushJSON.encode(answer)) }
        Console.say("push \(answer.id)")
        var table = TextTable("TARGET", "VERDICT", "NODES")
        for verdict in answer.verdicts {
            let nodes = verdict.nodes.map(\.description) + verdict.missed.map { "\($0) (missed)" }
            table.add(
                .init(verdict.target.words),
                .init(verdict.verdict.description, verdict.verdict.colour),
                .init(nodes.joined(separator: " "))
            )
        }
        table.show()
        for verdict in answer.verdicts {
            if let reason = verdict.reason { Console.say("\(verdict.target.words): \(reason)") }
        }
    }
}

extension Target {
    var words: String {
        switch self {
        case .user(let user): "user \(user)"
        case .key(let key): "key \(key)"
        case .room(let room): "room \(room)"
        case .everyone: "all"
        }
    }
}

extension Verdict {
    var colour: Colour {
        switch self {
        case .routed, .written, .acked, .stored: .good
        case .offline: .warning
        default: .bad
        }
    }

    /// Whether it is what a push of this level asked for.
    fileprivate func reaches(_ level: ConfirmLevel) -> Bool {
        switch level {
        case .routed: [.routed, .written, .acked].contains(self)
        case .written: [.written, .acked].contains(self)
        case .acked: self == .acked
        }
    }
}
