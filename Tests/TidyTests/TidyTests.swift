import Foundation
import Testing

/// What the formatter cannot see: sizes, arrows, banned calls, headers. After TigerBeetle's tidy.zig.
struct TidyTests {
    @Test func `no file is over 400 lines`() throws {
        for file in try SourceTree.swift() {
            #expect(file.lines.count <= 401, "\(file.path) has \(file.lines.count) lines: is it two files?")
        }
    }

    @Test func `no function is over 70 lines`() throws {
        for file in try SourceTree.swift() {
            for function in SwiftText(file.text).functions {
                #expect(function.length <= 70, "\(file.path):\(function.line) has \(function.length) lines")
            }
        }
    }

    @Test func `a target imports only what its place allows`() throws {
        for file in try SourceTree.sources() {
            let allowed = try #require(
                Arrows.allowed[file.target],
                "\(file.target) has no place in the layout"
            )
            for module in Arrows.imports(of: file) where Arrows.watched(module) {
                #expect(allowed.contains(module), "\(file.path) imports \(module)")
            }
        }
    }

    @Test func `no call that has a better word is made`() throws {
        for file in try SourceTree.swift() {
            for (index, line) in SwiftText(file.text).lines.enumerated() {
                for rule in Banned.rules where rule.applies(to: file) && line.contains(rule.call) {
                    #expect(
                        rule.isExcused(file, line: index),
                        "\(file.path):\(index + 1) says \(rule.call): \(rule.instead)"
                    )
                }
            }
        }
    }

    @Test func `every script says what it is given`() throws {
        let scripts = try SourceTree.files(in: "Sources/HeraldRedis", ending: ".lua")
        #expect(!scripts.isEmpty)
        for script in scripts {
            let header = script.lines.prefix { $0.hasPrefix("--") }.joined(separator: "\n")
            for word in ["KEYS", "ARGV", "Reply"] {
                #expect(
                    header.contains(word),
                    "\(script.path) does not say its \(word) in the opening comment"
                )
            }
        }
    }

    @Test func `every state machine stands apart from I/O and has its tests`() throws {
        let tests = Set(try SourceTree.tests().map(\.name))
        let machines = try SourceTree.sources().filter { $0.name.contains("StateMachine") }
        #expect(!machines.isEmpty)
        for machine in machines {
            let type = machine.name.replacing("+", with: "").replacing(".swift", with: "")
            #expect(tests.contains("\(type)Tests.swift"), "\(machine.path) has no \(type)Tests.swift")
            let io = Arrows.imports(of: machine).filter {
                $0.hasPrefix("NIO") || $0 == "Glibc" || $0 == "CHiredis"
            }
            #expect(io.isEmpty, "\(machine.path) imports \(io)")
        }
    }

    @Test func `the top level holds what DESIGN.md names`() throws {
        let allowed: Set = [
            "Package.swift", "README.md", "redis.conf", "config", "Modules", "Sources", "Tests", "scripts",
        ]
        let found = try FileManager.default.contentsOfDirectory(atPath: SourceTree.root.path)
            .filter { !$0.hasPrefix(".") && $0 != "Package.resolved" }
        #expect(Set(found) == allowed)
    }
}

/// Who may import whom (DESIGN.md §8).
enum Arrows {
    static let allowed: [String: Set<String>] = [
        "HeraldCore": [],
        "HeraldWire": ["HeraldCore", "FoundationEssentials"],
        "HeraldSockets": ["COpenSSL", "CZlib"],
        "conformance": ["HeraldSockets"],
        "costs": [
            "HeraldCore", "HeraldWire", "HeraldSockets", "HeraldCloud", "HeraldLogic", "HeraldTesting",
        ],
        "HeraldRedis": ["HeraldCore", "HeraldWire", "CHiredis", "NIO", "Foundation", "FoundationEssentials"],
        "HeraldLogic": ["HeraldCore", "HeraldWire", "NIO", "Hummingbird", "FoundationEssentials"],
        "HeraldCloud": ["HeraldCore", "HeraldWire", "HeraldSockets", "NIO"],
        "HeraldClient": ["HeraldCore", "HeraldWire", "NIO", "FoundationEssentials"],
        "herald": [
            "HeraldCore", "HeraldWire", "HeraldRedis", "HeraldLogic", "HeraldSockets", "HeraldCloud",
            "HeraldClient",
            "NIO",
            "ArgumentParser", "Yams", "Foundation", "FoundationEssentials",
        ],
    ]

    /// The modules whose arrows are ours to decide; all of SwiftNIO counts as one, and so does Hummingbird.
    static func watched(_ module: String) -> Bool {
        module.hasPrefix("Herald") || module.hasPrefix("Foundation")
            || ["CHiredis", "COpenSSL", "CZlib", "ArgumentParser", "Yams", "NIO", "Hummingbird"].contains(
                module
            )
    }

    static func imports(of file: SourceTree.File) -> [String] {
        file.lines.compactMap { line in
            let words = line.split(separator: " ")
            guard let keyword = words.firstIndex(of: "import"), words[..<keyword].allSatisfy(isModifier)
            else {
                return nil
            }
            let module = words.dropFirst(keyword + 1).first {
                !["struct", "class", "enum", "func"].contains($0)
            }
            let name = String(module?.prefix { $0 != "." } ?? "")
            return ["NIO", "Hummingbird"].first(where: name.hasPrefix) ?? name
        }
    }

    private static func isModifier(_ word: Substring) -> Bool {
        word.hasPrefix("@") || ["public", "package", "internal", "private"].contains(word)
    }
}

/// Calls that the project does without, and what it says instead (STYLE.md).
struct Banned {
    let call: String
    let instead: String
    var inTests = true
    /// Folders in which the call is the right word.
    var homes: [String] = []
    /// A comment within three lines above that makes it right.
    var excuse: String?

    static let rules = [
        Banned(call: "Task.detached", instead: "give the task a parent that waits for it"),
        Banned(
            call: "print(",
            instead: "log it, or write to the terminal in the program",
            homes: ["Sources/herald/"]
        ),
        Banned(call: "try!", instead: "throw"),
        Banned(call: "as!", instead: "cast with a way out"),
        Banned(
            call: "fatalError(",
            instead: "precondition with the broken promise, or throw",
            inTests: false
        ),
        Banned(call: "DispatchQueue", instead: "an actor, a Mutex or an event loop"),
        Banned(call: "DispatchSemaphore", instead: "an async call"),
        Banned(call: "Thread.sleep", instead: "wait for the event"),
        Banned(
            call: "Task.sleep",
            instead: "wait for the event",
            homes: ["Sources/", "Tests/HeraldTesting/"]
        ),
        Banned(call: "usleep(", instead: "wait for the event"),
        Banned(call: ".wait()", instead: "await .get()"),
        Banned(call: "nonisolated(unsafe)", instead: "say why it is safe", excuse: "Safe because"),
        Banned(call: "@unchecked Sendable", instead: "say why it is safe", excuse: "Safe because"),
    ]

    func applies(to file: SourceTree.File) -> Bool {
        if homes.contains(where: file.path.hasPrefix) { return false }
        return inTests || file.path.hasPrefix("Sources/")
    }

    func isExcused(_ file: SourceTree.File, line: Int) -> Bool {
        guard let excuse else { return false }
        return file.lines[max(0, line - 3)...line].contains { $0.contains(excuse) }
    }
}
