/// What a connection says before anything else, and what may go wrong in it.
///
/// All of it leaves in one write: AUTH, SELECT, CLIENT SETNAME, SCRIPT LOAD, INFO. A wrong password or a missing
/// database ends the connection; a user who may not name himself, load scripts or ask for INFO may still be good
/// enough for his commands, so those refusals are let pass.
struct RedisGreeting {
    let commands: [RedisCommand]
    /// Which run of Redis answers; known when all is judged.
    private(set) var run: String?
    private var answered = 0

    init(address: RedisAddress, name: String, scripts: [RedisScript]) {
        var commands: [RedisCommand] = []
        if let password = address.password {
            let user: [RedisArgument] = address.user.map { [.text($0)] } ?? []
            commands.append(RedisCommand("AUTH", arguments: user + [.text(password)]))
        }
        if address.database != 0 {
            commands.append(RedisCommand("SELECT", .integer(Int64(address.database))))
        }
        commands.append(RedisCommand("CLIENT", "SETNAME", .text(name)))
        commands.append(contentsOf: scripts.map(\.load))
        commands.append(RedisCommand("INFO", "server"))
        self.commands = commands
    }

    /// Judges the reply to the next of the commands.
    ///
    /// - Throws: `refused`, after which the connection is of no use; trying again helps once the operator acted.
    mutating func judge(_ reply: RedisValue) throws(RedisError) {
        let name = commands.indices.contains(answered) ? commands[answered].name : "?"
        answered += 1
        if name == "INFO" { run = Self.run(in: reply) }
        guard case .error(let error) = reply else { return }
        let isNeeded = name == "AUTH" || name == "SELECT" || error.code == "NOAUTH"
        guard isNeeded, !error.isPassing else { return }
        throw RedisError(.refused, "Redis refuses \(name) at the start of a connection", cause: error)
    }

    private static func run(in info: RedisValue) -> String? {
        let field = "run_id:"
        let line = info.text?.split(whereSeparator: \.isNewline).first { $0.hasPrefix(field) }
        return line.map { String($0.dropFirst(field.count)) }
    }
}
