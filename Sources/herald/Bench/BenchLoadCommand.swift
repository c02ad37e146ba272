import ArgumentParser
import Glibc

/// A process of the load: a crowd of clients, or the publisher. `herald bench` starts them.
struct BenchLoadCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench-load",
        abstract: "Used by `bench`.",
        shouldDisplay: false
    )

    @Option var board: String
    @Option var tag: String
    /// With this it is a crowd.
    @Option var crowd: Int?
    @Option var first = 0
    @Option var clients: Int
    @Option(name: .customLong("node")) var nodes: [String] = []
    @Option var logic: String?
    @Option var crowds = 1
    @Option var payloadBytes = 0

    func run() throws {
        LoadSocket.raiseDescriptorLimit()
        let board = try BenchBoard(board, isNew: false)
        if let crowd {
            let nodes = nodes.compactMap(LoadAddress.init)
            guard !nodes.isEmpty else { throw Failure(.usage, "a crowd needs a node") }
            let plan = CrowdLoop.Plan(crowd: crowd, first: first, count: clients, nodes: nodes, tag: tag)
            var loop = CrowdLoop(plan, board)
            loop.run()
        } else {
            guard let logic = logic.flatMap(LoadAddress.init) else {
                throw Failure(.usage, "a publisher needs logic")
            }
            let plan = PublisherLoop.Plan(
                logic: logic,
                crowds: crowds,
                clients: clients,
                tag: tag,
                payloadBytes: payloadBytes,
                // Not in the command line, which everybody on the machine can read.
                apiKey: getenv(Self.apiKeyVariable).map { String(cString: $0) } ?? ""
            )
            var loop = PublisherLoop(plan, board)
            loop.run()
        }
    }

    static let apiKeyVariable = "HERALD_LOGIC_API_KEY"
}
