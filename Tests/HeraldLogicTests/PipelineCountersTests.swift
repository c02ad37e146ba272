import HeraldCore
import Testing

@testable import HeraldLogic

struct PipelineCountersTests {
    @Test func `each duration falls into the first class that holds it`() {
        var histogram = DurationHistogram()
        for microseconds in [0, 500, 501, 3_000_000, 3_000_001] { histogram.add(.microseconds(microseconds)) }
        #expect(histogram.counts.first == 2)
        #expect(histogram.counts[1] == 1)
        #expect(histogram.counts.suffix(2) == [1, 1])
        #expect(histogram.count == 5)
        #expect(histogram.sumMicroseconds == 6_001_002)
    }
}
