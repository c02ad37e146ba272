import Glibc
import Testing

@testable import herald

/// The parts of a measurement that count.
struct BenchCountingTests {
    @Test func `a time is told within 1,6 percent, and never too short`() {
        for nanoseconds: UInt64 in [
            0, 1, 63, 64, 65, 127, 128, 1000, 4711, 1_000_000, 123_456_789, 400_000_000_000,
        ] {
            let cell = LatencyHistogram.cell(ofNanoseconds: nanoseconds)
            let told = LatencyHistogram.nanoseconds(ofCell: cell)
            #expect(told >= nanoseconds)
            #expect(Double(told) <= Double(nanoseconds) * 1.016 + 1)
            #expect(LatencyHistogram.cell(ofNanoseconds: told) == cell)
            #expect(LatencyHistogram.cell(ofNanoseconds: told + 1) == cell + 1)
        }
        #expect(LatencyHistogram.cell(ofNanoseconds: .max) == LatencyHistogram.cellCount - 1)
    }

    @Test func `percentiles are the times that so many did not exceed`() {
        var histogram = LatencyHistogram()
        #expect(histogram.percentile(0.5) == 0)
        for nanoseconds: UInt64 in 1...50 { histogram.record(nanoseconds: nanoseconds) }
        var others = LatencyHistogram()
        for nanoseconds: UInt64 in 51...60 { others.record(nanoseconds: nanoseconds) }
        histogram += others
        #expect(histogram.count == 60)
        #expect(histogram.percentile(0.5) == 30)
        #expect(histogram.percentile(0.9) == 54)
        #expect(histogram.percentile(1) == 60)
        #expect(histogram.percentile(0) == 1)
    }

    @Test func `numbers in order, overtaken, repeated and too late are told apart`() {
        var window = SequenceWindow()
        #expect(window.receive(1) == .inOrder)
        #expect(window.receive(1) == .repeated)
        #expect(window.receive(4) == .inOrder)
        #expect(window.receive(2) == .overtaken)
        #expect(window.receive(2) == .repeated)
        #expect(window.receive(3) == .overtaken)
        #expect(window.receive(4) == .repeated)
        #expect(window.receive(66) == .inOrder)
        #expect(window.receive(3) == .repeated)
        #expect(window.receive(2) == .stale)
        #expect(window.receive(5) == .overtaken)
        #expect(window.receive(1_000_000) == .inOrder)
        #expect(window.receive(66) == .stale)
        #expect(window.receive(999_937) == .overtaken)
    }

    @Test func `a stamp is read back from the frame that shows it, wherever it stands`() throws {
        let stamp = BenchStamp(aim: .unicast, number: 4_294_967_295, nanoseconds: 1_234_567_890_123_456_789)
        var data: [UInt8] = []
        stamp.write(to: &data, bytes: 100)
        #expect(data.count == 100)
        var offset = 0
        for prefix in [#"{"push":{"id":"a","event":"bench","#, #"{"push":{"id":"abcdef","event":"bench","#] {
            let frame = Array((prefix + #""data":"#).utf8) + data + Array("}}".utf8)
            let read = frame.withUnsafeBytes { BenchStamp(in: $0, near: &offset) }
            #expect(read == stamp)
            #expect(offset == prefix.utf8.count)
        }
        var short: [UInt8] = []
        BenchStamp(aim: .fanOut, number: 1, nanoseconds: 2).write(to: &short, bytes: 0)
        #expect(short.count == BenchStamp.bytesMin)
    }

    @Test(arguments: ["", #"{"connected":{}}"#, #"{"push":{"data":"~123"}}"#, #"{"push":{"data":"hello"}}"#])
    func `a frame without a stamp has none`(_ text: String) {
        var offset = 12
        let stamp = Array(text.utf8).withUnsafeBytes { BenchStamp(in: $0, near: &offset) }
        #expect(stamp == nil)
    }

    @Test func `what one process writes on the board another reads`() throws {
        let path = "/tmp/herald-board-\(UInt64.random(in: 0...(.max)))"
        let writer = try BenchBoard(path, isNew: true)
        defer { unlink(path) }
        let reader = try BenchBoard(path, isNew: false)
        #expect(reader[.phase] == BenchBoard.Phase.wait.rawValue)
        writer[.expected] = 12
        writer[0, .arrived] = 5
        writer[63, .arrived] = 7
        for _ in 0..<3 { writer.record(1, .delivery, nanoseconds: 50) }
        writer.record(0, .connect, nanoseconds: 50)
        #expect(reader[.expected] == 12)
        #expect(reader.sum(.arrived, of: 1) == 5)
        #expect(reader.sum(.arrived, of: 64) == 12)
        #expect(reader.histogram(.delivery, of: 2).count == 3)
        #expect(reader.histogram(.delivery, of: 2).percentile(1) == 50)
        reader.clear(.delivery, of: 2)
        #expect(writer.histogram(.delivery, of: 2).count == 0)
        #expect(writer.histogram(.connect, of: 2).count == 1)
        #expect(throws: Failure.self) { try BenchBoard(path, isNew: true) }
    }
}
