import ArgumentParser
import HeraldClient
import HeraldCore
import HeraldWire

struct WhyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "why",
        abstract: "Tells what became of a push for each target, step by step.",
        discussion: """
            Asks the logic process that took the push: it remembers its last ones for some minutes. Behind a load \
            balancer, ask that process itself with --url. Times are milliseconds after the push was accepted.

            Exit codes: 0 it is told, 1 this process does not know the push, 2 wrong usage, 69 logic is out of reach.
            """
    )

    @Argument(help: ArgumentHelp("The push's id, as its answer says it.", valueName: "push")) var push: String
    @Option(help: ArgumentHelp("The logic process that took it.", valueName: "url"))
    var url = "http://127.0.0.1:8080"
    @Flag(help: "Print logic's answer as JSON.") var json = false

    func run() async throws {
        do {
            let id = try PushID(push)
            var limits = ClientLimits.standard
            limits.lanesMax = 1
            let client = try HeraldPushClient(url: url, limits: limits)
            let story = try await client.story(of: id)
            await client.shutdown()
            if json {
                var writer = JSONWriter()
                PushStoryJSON.write(story, to: &writer)
                Console.say(writer.bytes)
            } else {
                for line in story.lines { Console.say(line) }
            }
        } catch let error as ClientError {
            if error.serverCode == "unknown_push" { throw Failure(.no, error.message) }
            throw Failure(error.mayRetry ? .unavailable : .usage, error.message)
        } catch let error as InvalidIdentifier {
            throw Failure(.usage, error.description)
        }
    }
}

extension PushStory {
    /// The story for a person.
    var lines: [String] {
        var lines = [
            "push \(id), taken by \(process) \(Self.seconds(age)) ago, confirm \(confirm.rawValue)"
        ]
        if let refusal {
            lines.append("its caller was refused: \(refusal)")
        } else if let answered {
            lines.append("its caller was answered after \(Self.milliseconds(answered)) ms")
        } else {
            lines.append("its caller still waits")
        }
        for target in targets {
            var head = "\(target.verdict.target.words): \(target.verdict.verdict.description)"
            if let reason = target.verdict.reason { head += " (\(reason))" }
            if let told = target.told { head += "; its caller was told \(told)" }
            lines.append(head)
            for step in target.steps {
                let time = Self.milliseconds(step.after)
                let padding = String(repeating: " ", count: max(0, 10 - time.utf8.count))
                lines.append("  \(padding)\(time) ms  \(step.event.words)")
            }
        }
        return lines
    }

    private static func milliseconds(_ duration: Duration) -> String {
        let tenths =
            duration.components.seconds * 10_000 + duration.components.attoseconds / 100_000_000_000_000
        return "\(tenths / 10).\(abs(tenths % 10))"
    }

    private static func seconds(_ duration: Duration) -> String {
        "\(duration.components.seconds) s"
    }
}

extension TargetStory.Event {
    /// One step for a person.
    fileprivate var words: String {
        switch self {
        case .lookedUp(let nodes) where nodes.isEmpty: return "looked up: nobody is connected under that name"
        case .lookedUp(let nodes):
            return "looked up: on \(nodes.map(\.description).joined(separator: ", "))"
        case .sent(let node, .yes): return "sent to \(node)"
        case .sent(let node, .no): return "published to \(node), where nobody listened"
        case .sent(let node, .unknown): return "published to \(node); Redis did not confirm it"
        case .told(let node, nil, _): return "\(node): not here"
        case .told(let node, let reach?, let isFinal):
            var words =
                "\(node): \(reach.connections) there, \(reach.written) written, \(reach.acked) acknowledged"
            let full = reach.dropped - reach.collapsed
            if full > 0 { words += ", \(full) dropped for full queues" }
            if reach.collapsed > 0 { words += ", \(reach.collapsed) replaced by a newer one" }
            return isFinal ? words : words + ", and no last word"
        }
    }
}
