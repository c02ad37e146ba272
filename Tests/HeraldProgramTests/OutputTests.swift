import Glibc
import Logging
import Testing

@testable import herald

@Suite struct OutputTests {
    @Test func `columns are as wide as their widest cell`() {
        var table = TextTable("A", "LONG")
        table.add("alice/phone", .init("x", .good))
        table.add("b", "y")
        #expect(table.lines(colour: false) == ["A            LONG", "alice/phone  x", "b            y"])
    }

    @Test func `colour does not move columns`() {
        var table = TextTable("A", "B")
        table.add(.init("x", .bad), "y")
        #expect(table.lines(colour: true)[1] == "\u{1B}[31mx\u{1B}[0m  y")
    }

    @Test func `a log line is one line with quoted values`() {
        let time = timespec(tv_sec: 1_769_903_999, tv_nsec: 5_000_000)
        let line = StandardErrorLog.line(
            level: .warning,
            message: "two\nlines",
            metadata: ["b": "has space", "a": "1", "c": "say \"hi\"", "d": ""],
            at: time
        )
        #expect(
            line
                == "2026-01-31T23:59:59.005Z WARNING two lines a=1 b=\"has space\" c=\"say \\\"hi\\\"\" d=\"\"\n"
        )
    }

    @Test(arguments: [
        (0, 500, "0.5 s"), (0, 9999, "10.0 s"), (0, 90_000, "90 s"), (0, 7_000_000, "116 min"),
        (5, 0, "0.0 s"),
    ])
    func `spans are told in the unit that fits`(start: UInt64, end: UInt64, text: String) {
        #expect(Elapsed.text(from: start, to: end) == text)
    }
}
