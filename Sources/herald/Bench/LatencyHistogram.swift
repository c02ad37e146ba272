/// How often which time was measured, from nanoseconds to minutes, each at most 1.6 % too long or too short.
///
/// Log-linear, as HdrHistogram: 64 cells for each power of two. Of that library only this much is needed, and its
/// cells could not lie in the memory that the load's processes share (`BenchBoard`).
struct LatencyHistogram: Equatable, Sendable {
    /// Measurements in each cell.
    private(set) var counts: [UInt64]

    private static let cellsPerPowerLog2 = 6
    private static let cellsPerPower = 1 << cellsPerPowerLog2
    /// Up to 2^39 ns, nine minutes; what is longer falls into the last cell.
    static let cellCount = cellsPerPower * 34

    init() { counts = Array(repeating: 0, count: Self.cellCount) }

    init(counts: [UInt64]) {
        precondition(counts.count == Self.cellCount, "a histogram has all its cells")
        self.counts = counts
    }

    static func cell(ofNanoseconds value: UInt64) -> Int {
        guard value >= UInt64(cellsPerPower) else { return Int(value) }
        let shift = 63 - value.leadingZeroBitCount - cellsPerPowerLog2
        return min((shift + 1) * cellsPerPower + Int(value >> UInt64(shift)) - cellsPerPower, cellCount - 1)
    }

    /// The longest time that falls into a cell.
    static func nanoseconds(ofCell cell: Int) -> UInt64 {
        guard cell >= cellsPerPower else { return UInt64(cell) }
        let shift = UInt64(cell / cellsPerPower - 1)
        return (UInt64(cellsPerPower + cell % cellsPerPower + 1) << shift) - 1
    }

    mutating func record(nanoseconds: UInt64) { counts[Self.cell(ofNanoseconds: nanoseconds)] += 1 }

    static func += (left: inout Self, right: Self) {
        for cell in 0..<cellCount { left.counts[cell] += right.counts[cell] }
    }

    var count: UInt64 { counts.reduce(0, +) }

    /// The time that a share of all measurements did not exceed.
    ///
    /// - Parameter share: 0.5 for the median, 1 for the longest of all.
    /// - Returns: nanoseconds; 0 when there are no measurements.
    func percentile(_ share: Double) -> UInt64 {
        let total = count
        guard total > 0 else { return 0 }
        let wanted = max(1, UInt64((share * Double(total)).rounded(.up)))
        var seen: UInt64 = 0
        for (cell, count) in counts.enumerated() {
            seen += count
            if seen >= min(wanted, total) { return Self.nanoseconds(ofCell: cell) }
        }
        return 0
    }
}
