import ArgumentParser
import Glibc

/// The program: one subcommand for each thing there is to do. Every command is a file in `Commands`.
struct Herald: AsyncParsableCommand {
    static let version = "0.1.0"

    static let configuration = CommandConfiguration(
        commandName: "herald",
        abstract:
            "Delivers pushes to the WebSockets of users, wherever they are, and says what became of them.",
        discussion: """
            A first try, in two terminals:

              herald up
              herald tail --user alice --key phone
              herald push --user alice --event hello --data '{"text":"hi"}'

            Exit codes: 0 success, 1 the answer is no, 2 wrong usage or setting, 69 something is out of reach, \
            70 failed.
            """,
        version: version,
        subcommands: [
            UpCommand.self, LogicCommand.self, CloudCommand.self, PushCommand.self, WhyCommand.self,
            RoutesCommand.self, NodesCommand.self, TailCommand.self, EventsCommand.self, JobCommand.self,
            JobsCommand.self, DoctorCommand.self, BenchCommand.self, TiedCommand.self, BenchLoadCommand.self,
        ]
    )
}

@main
enum Program {
    static func main() {
        // A reader that went away (`herald tail | head -1`) shall end us by an error of write, not silently.
        signal(SIGPIPE, SIG_IGN)
        // Not on the main actor, whose thread is taken.
        Task { @concurrent in
            await run()
            exit(0)
        }
        MainThread.serve()
    }

    private static func run() async {
        do {
            var command = try Herald.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand {
                try await asynchronous.run()
            } else {
                try command.run()
            }
        } catch {
            end(error)
        }
    }

    private static func end(_ error: any Error) -> Never {
        switch error {
        case let failure as Failure:
            Console.complain("herald: \(failure)")
            exit(failure.code.rawValue)
        case let error as SettingsError:
            Console.complain("herald: \(error)")
            exit(Failure.Code.usage.rawValue)
        case let code as ExitCode:
            exit(code.rawValue)
        default:
            guard !Herald.exitCode(for: error).isSuccess else {
                Console.say(Herald.fullMessage(for: error))
                exit(0)
            }
            let isUsage = Herald.exitCode(for: error) == .validationFailure
            let message = Herald.message(for: error)
            Console.complain("herald: \(message)" + (isUsage ? " (herald --help tells more)" : ""))
            exit(isUsage ? Failure.Code.usage.rawValue : Failure.Code.failed.rawValue)
        }
    }
}
