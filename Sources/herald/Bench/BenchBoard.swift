import Glibc
import Synchronization

/// The memory that the processes of a measurement share: orders to them, and their counts.
///
/// A file of 64-bit numbers that each process maps. Every number has one writer, so none is lost, and any process may
/// read it at any time. It is deleted as soon as all have opened it, or with the folder of the run.
// Safe because the words are atomics, and their memory is mapped for as long as this object lives.
final class BenchBoard: @unchecked Sendable {
    private let words: UnsafeMutablePointer<Atomic<UInt64>>

    /// What there is once, by the process that writes it.
    enum Word: Int, CaseIterable {
        // The one that measures.
        /// A `Phase`.
        case phase
        /// Messages sent before this moment, in nanoseconds, are not measured.
        case measureFrom
        /// The number of the publishing that is asked for.
        case order
        /// An index in `BenchWork.Aim.allCases`.
        case aim
        /// Pushes a second, or 0; pushes in flight, or 0.
        case rate, inFlight
        /// The last order that is to end.
        case stopped
        // The publisher.
        /// The last order that has ended.
        case finished
        case sent
        /// Answered 200 and routed; otherwise answered; never answered.
        case routed, refused, unanswered
        /// Deliveries that what was routed should bring.
        case expected
        /// The status of the last refusal.
        case refusalStatus
    }

    enum Phase: UInt64 {
        case wait, connect, stop
    }

    /// What each crowd of clients has.
    enum CrowdWord: Int, CaseIterable {
        case live, failed, closed
        /// Why the last connect failed or a connection ended: an HTTP status, a close code, or `errno`.
        case reason
        /// When the first began to connect and the last was told that it is connected, in nanoseconds.
        case firstStart, lastLive
        /// Messages: first arrivals, repeats, overtaken, and those that are too late to tell.
        case arrived, repeated, overtaken, stale
        /// Frames that are neither messages of this run nor the protocol's own.
        case strange
    }

    enum Histogram: Int, CaseIterable {
        /// From connect to `connected`.
        case connect
        /// From the time stamp to the client.
        case delivery
    }

    static let crowdsMax = 64

    private static let cells = LatencyHistogram.cellCount
    private static let crowdWords = CrowdWord.allCases.count + Histogram.allCases.count * cells
    private static let count = Word.allCases.count + crowdsMax * crowdWords
    private static let bytes = count * MemoryLayout<UInt64>.size

    /// Maps the file.
    ///
    /// - Throws: `Failure` with the system's reason.
    init(_ path: String, isNew: Bool) throws(Failure) {
        let file = open(path, isNew ? O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC : O_RDWR | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Failure(.failed, "\(path): \(String(cString: strerror(errno)))") }
        defer { close(file) }
        guard !isNew || ftruncate(file, Self.bytes) == 0,
            let memory = mmap(nil, Self.bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0),
            memory != MAP_FAILED
        else { throw Failure(.failed, "\(path) cannot be mapped: \(String(cString: strerror(errno)))") }
        // A new file is full of zeroes, and a zero is an atomic's memory of 0.
        words = memory.bindMemory(to: Atomic<UInt64>.self, capacity: Self.count)
    }

    deinit { munmap(words, Self.bytes) }

    subscript(word: Word) -> UInt64 {
        get { words[word.rawValue].load(ordering: .acquiring) }
        set { words[word.rawValue].store(newValue, ordering: .releasing) }
    }

    subscript(crowd: Int, word: CrowdWord) -> UInt64 {
        get { words[Self.place(crowd, word)].load(ordering: .acquiring) }
        set { words[Self.place(crowd, word)].store(newValue, ordering: .releasing) }
    }

    /// By the crowd itself.
    @inline(__always)
    func record(_ crowd: Int, _ histogram: Histogram, nanoseconds: UInt64) {
        let cell = Self.place(crowd, histogram) + LatencyHistogram.cell(ofNanoseconds: nanoseconds)
        words[cell].store(words[cell].load(ordering: .relaxed) &+ 1, ordering: .relaxed)
    }

    func sum(_ word: CrowdWord, of crowds: Int) -> UInt64 {
        (0..<crowds).reduce(0) { $0 + self[$1, word] }
    }

    /// All crowds' measurements together.
    func histogram(_ histogram: Histogram, of crowds: Int) -> LatencyHistogram {
        (0..<crowds).reduce(into: LatencyHistogram()) { sum, crowd in
            let start = Self.place(crowd, histogram)
            sum += LatencyHistogram(
                counts: (0..<Self.cells).map { words[start + $0].load(ordering: .relaxed) }
            )
        }
    }

    /// Forgets a histogram, between two measurements.
    func clear(_ histogram: Histogram, of crowds: Int) {
        for crowd in 0..<crowds {
            let start = Self.place(crowd, histogram)
            for cell in start..<start + Self.cells { words[cell].store(0, ordering: .relaxed) }
        }
    }

    private static func place(_ crowd: Int, _ word: CrowdWord) -> Int {
        Word.allCases.count + crowd * crowdWords + word.rawValue
    }

    private static func place(_ crowd: Int, _ histogram: Histogram) -> Int {
        Word.allCases.count + crowd * crowdWords + CrowdWord.allCases.count + histogram.rawValue * cells
    }
}

/// The clock that time stamps are from: one for all processes of a machine.
enum Monotonic {
    static var nanoseconds: UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
