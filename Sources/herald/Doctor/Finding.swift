import HeraldWire

/// One thing the doctor looked at.
struct Finding: Equatable {
    enum Level: String, Sendable {
        case ok, warn, fail
    }

    var level: Level
    /// A stable name for programs.
    var name: String
    var text: String
    /// What to do about it; empty when there is nothing.
    var todo: String

    init(_ level: Level, _ name: String, _ text: String, todo: String = "") {
        self.level = level
        self.name = name
        self.text = text
        self.todo = todo
    }

    func show() {
        let mark: String =
            switch level {
            case .ok: Colour.good("ok  ")
            case .warn: Colour.warning("warn")
            case .fail: Colour.bad("fail")
            }
        let padding = String(repeating: " ", count: max(1, 15 - name.count))
        Console.say("\(mark)  \(name)\(padding)\(text)")
        if !todo.isEmpty { Console.say(String(repeating: " ", count: 21) + Colour.quiet("→ \(todo)")) }
    }

    static func json(_ findings: [Finding]) -> [UInt8] {
        var writer = JSONWriter()
        writer.object { writer in
            writer.array("findings") { writer in
                for finding in findings {
                    writer.object { writer in
                        writer.member("level", finding.level.rawValue)
                        writer.member("name", finding.name)
                        writer.member("text", finding.text)
                        if !finding.todo.isEmpty { writer.member("todo", finding.todo) }
                    }
                }
            }
        }
        return writer.bytes
    }
}
