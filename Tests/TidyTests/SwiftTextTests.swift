import Testing

/// The rules are only as good as what they read.
struct SwiftTextTests {
    @Test func `comments and strings are blanked, code and line numbers stay`() {
        let text = SwiftText(
            ##"""
            let a = "try! // no" // try! yes
            /* try!
            try! */ let b = #"a " try! \"#
            let c = "x\(f("try!"))y"; let d = 1
            """##
        )
        #expect(text.lines.count == 4)
        #expect(!text.lines.joined().contains("try!"))
        #expect(text.lines[2].contains("let b"))
        #expect(text.lines[3].contains("let d = 1"))
    }

    @Test func `functions are measured from their declaration to their closing brace`() {
        let text = SwiftText(
            """
            struct A {
                init() {
                    self.x = Self.init()
                }
                func long(
                    a: Int
                ) -> Int {
                    if a { "{" } else {}
                    func inner() { }
                    return 1
                }
                func promised()
                var x: Int { 1 }
            }
            """
        )
        #expect(
            Set(text.functions.map { [$0.line, $0.length] }) == [[2, 3], [9, 1], [5, 7]]
        )
    }

    @Test func `imports are seen with every modifier`() {
        let file = SourceTree.File(
            path: "Sources/HeraldCore/X.swift",
            text:
                "public import HeraldWire\n@testable import NIOCore\nimport struct Foundation.URL\n// import Yams\nlet import1 = 2"
        )
        #expect(Arrows.imports(of: file) == ["HeraldWire", "NIO", "Foundation"])
    }
}
