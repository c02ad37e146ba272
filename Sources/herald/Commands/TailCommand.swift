import ArgumentParser
import HeraldClient
import HeraldCore
import HeraldWire
import ServiceLifecycle
import UnixSignals

struct TailCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tail",
        abstract: "Connects as a client and prints what arrives, one line each.",
        discussion: """
            Comes back by itself when the connection is lost, and acknowledges what it printed. Ends at SIGINT, after --count pushes, or after \
            --timeout seconds. With --json each line is an object: connected, push, reset, error or away.

            Exit codes: 0 ended as asked, 1 --timeout came before --count pushes, 2 wrong usage, 69 the node closed \
            for good or refused us.
            """
    )

    @Option(help: ArgumentHelp("A cloud node.", valueName: "url")) var url = "ws://127.0.0.1:9001/ws"
    @Option(help: ArgumentHelp("The user to be; else the node makes one up.", valueName: "user")) var user:
        String?
    @Option(help: ArgumentHelp("The key to take; else the node makes one up.", valueName: "key")) var key:
        String?
    @Option(name: .customLong("room"), help: ArgumentHelp("A room to join; repeatable.", valueName: "room"))
    var rooms: [String] = []
    @Option(
        help: ArgumentHelp(
            "Follow the user's inbox: from now on (new), or from a place that was shown (EPOCH.OFFSET).",
            valueName: "new|place"
        )
    )
    var resume: String?
    @Option(help: ArgumentHelp("End after so many pushes.", valueName: "n")) var count: Int?
    @Option(help: ArgumentHelp("End after so many seconds.", valueName: "seconds")) var timeout: Double?
    @Flag(help: "Print JSON lines.") var json = false

    func validate() throws {
        if let count, count < 1 { throw ValidationError("--count must be at least 1") }
        if let resume, resume != "new", InboxPosition(resume) == nil {
            throw ValidationError("--resume must be new, or a place such as 1712345678901.42")
        }
        if resume != nil, user == nil { throw ValidationError("--resume needs --user: whose inbox it is") }
        if let timeout, !(timeout > 0 && timeout < 1e9) {
            throw ValidationError("--timeout must be a number of seconds")
        }
    }

    private enum Outcome: Sendable {
        case counted, interrupted, timedOut
        case ended(ConnectionEnd)
    }

    private struct Counted: Error {}

    func run() async throws {
        let configuration: ConnectionConfiguration
        do {
            configuration = try ConnectionConfiguration(
                url: url,
                user: user,
                key: key,
                rooms: rooms,
                resume: resume.map { InboxPosition($0).map(ResumeRequest.after) ?? .fresh }
            )
        } catch { throw Failure(.usage, "\(error)") }
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        let outcome = try await withThrowingTaskGroup(of: Outcome.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await follow(configuration) }
            group.addTask {
                for await _ in signals { return .interrupted }
                try await Task.sleep(for: .seconds(1e9))
                return .interrupted
            }
            if let timeout {
                group.addTask {
                    try await Task.sleep(for: .milliseconds(Int64(timeout * 1000)))
                    return .timedOut
                }
            }
            return try await group.next() ?? .interrupted
        }
        switch outcome {
        case .counted, .interrupted: return
        case .timedOut: if count != nil { throw ExitCode(Failure.Code.no.rawValue) }
        case .ended(let end): throw Failure(.unavailable, end.description)
        }
    }

    private func follow(_ configuration: ConnectionConfiguration) async throws -> Outcome {
        var left = count
        var connection: HeraldConnection?
        do {
            let end = try await PersistentConnection(configuration).run { event in
                show(event)
                if case .connected(let live) = event { connection = live }
                guard case .push(let push) = event, let some = left else { return }
                left = some - 1
                guard some == 1 else { return }
                // What is thrown on is not acknowledged by itself.
                if push.wantsAck { connection?.acknowledge(push.id) }
                throw Counted()
            }
            return .ended(end)
        } catch is Counted {
            return .counted
        } catch let error as ClientError {
            throw Failure(.unavailable, error.message)
        }
    }

    private func show(_ event: PersistentConnection.Event) {
        if json { return Console.say(jsonLine(event)) }
        switch event {
        case .connected(let connection):
            let who = connection.identity
            let place =
                who.inbox.map { ", inbox at \($0.position)" + ($0.isRecovered ? ", recovered" : "") } ?? ""
            Console.say(Colour.good("connected") + " as \(who.user)/\(who.key) to \(who.node)\(place)")
        case .push(let push):
            var words = [Colour.heading(push.message.event ?? "push"), push.id.description]
            if let op = push.message.op { words.append("op=\(op)") }
            if let room = push.room { words.append("room=\(room)") }
            if let position = push.position { words.append("offset=\(position.offset)") }
            switch push.message.payload {
            case .json(let bytes): words.append(String(decoding: bytes, as: UTF8.self))
            case .binary(let bytes): words.append("(\(bytes.count) bytes)")
            case nil: break
            }
            Console.say(words.joined(separator: " "))
        case .reset(let position):
            Console.say(Colour.warning("reset") + ": messages are lost; going on from \(position)")
        case .error(let code, let message): Console.say(Colour.bad("error") + " \(code): \(message)")
        case .away(let reason, let pause):
            Console.say(
                Colour.warning("away")
                    + ": \(reason); again in \(SettingValue.duration(.milliseconds(pause.wholeMilliseconds)))"
            )
        }
    }

    private func jsonLine(_ event: PersistentConnection.Event) -> [UInt8] {
        switch event {
        case .connected(let connection):
            let who = connection.identity
            return ServerFrame.connected(user: who.user, key: who.key, node: who.node, inbox: who.inbox)
                .encoded()
        case .push(let push):
            let frame = PushFrame(
                id: push.id,
                message: push.message,
                room: push.room,
                wantsAck: push.wantsAck,
                position: push.position
            )
            return ServerFrame.push(frame).encoded()
        case .reset(let position): return ServerFrame.reset(position).encoded()
        case .error(let code, let message):
            return ServerFrame.error(id: nil, code: code, message: message).encoded()
        case .away(let reason, let pause):
            var writer = JSONWriter()
            writer.object { writer in
                writer.object("away") { writer in
                    writer.member("reason", reason)
                    writer.member("pause_ms", pause.wholeMilliseconds)
                }
            }
            return writer.bytes
        }
    }
}
