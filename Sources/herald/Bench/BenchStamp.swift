/// What a measured message carries in its data: whether it was for the room or one user, its number among those for
/// the same target, and when it was sent.
///
/// A JSON string `~ANNNNNNNNNNTTTTTTTTTTTTTTTTTTTxxx…`, each number in a fixed width, so that a receiver finds and
/// reads it without looking at anything else in the frame.
struct BenchStamp: Equatable, Sendable {
    var aim: BenchWork.Aim
    var number: UInt32
    /// By the monotonic clock, which all processes of a machine share.
    var nanoseconds: UInt64

    private static let aimDigits = 1
    private static let numberDigits = 10
    private static let timeDigits = 19
    private static let digits = aimDigits + numberDigits + timeDigits
    /// Quotes, the mark and the digits: no message is shorter.
    static let bytesMin = 3 + digits

    private static let mark: StaticString = #""data":"~"#

    /// Appends the data, quotes included, filled up to `bytes`.
    func write(to output: inout [UInt8], bytes: Int) {
        output.append(UInt8(ascii: "\""))
        output.append(UInt8(ascii: "~"))
        output.append(UInt8(ascii: "0") + (aim == .fanOut ? 0 : 1))
        Self.append(UInt64(number), width: Self.numberDigits, to: &output)
        Self.append(nanoseconds, width: Self.timeDigits, to: &output)
        for _ in Self.bytesMin..<max(bytes, Self.bytesMin) { output.append(UInt8(ascii: "x")) }
        output.append(UInt8(ascii: "\""))
    }

    /// Finds and reads a stamp in a frame.
    ///
    /// - Parameters:
    ///   - frame: a frame's payload.
    ///   - offset: where the mark was last found; frames of one run look alike.
    init?(in frame: UnsafeRawBufferPointer, near offset: inout Int) {
        guard let start = Self.digitsStart(in: frame, near: &offset), start + Self.digits <= frame.count,
            let aim = Self.read(frame, at: start, width: Self.aimDigits),
            let number = Self.read(frame, at: start + Self.aimDigits, width: Self.numberDigits),
            let nanoseconds = Self.read(
                frame,
                at: start + Self.aimDigits + Self.numberDigits,
                width: Self.timeDigits
            )
        else { return nil }
        self.init(
            aim: aim == 0 ? .fanOut : .unicast,
            number: UInt32(truncatingIfNeeded: number),
            nanoseconds: nanoseconds
        )
    }

    init(aim: BenchWork.Aim, number: UInt32, nanoseconds: UInt64) {
        self.aim = aim
        self.number = number
        self.nanoseconds = nanoseconds
    }

    private static func digitsStart(in frame: UnsafeRawBufferPointer, near offset: inout Int) -> Int? {
        let count = mark.utf8CodeUnitCount
        if isMark(frame, at: offset) { return offset + count }
        var place = 0
        while place + count <= frame.count {
            if isMark(frame, at: place) {
                offset = place
                return place + count
            }
            place += 1
        }
        return nil
    }

    private static func isMark(_ frame: UnsafeRawBufferPointer, at offset: Int) -> Bool {
        let count = mark.utf8CodeUnitCount
        guard offset >= 0, offset + count <= frame.count else { return false }
        for index in 0..<count where frame[offset + index] != mark.utf8Start[index] { return false }
        return true
    }

    private static func read(_ frame: UnsafeRawBufferPointer, at start: Int, width: Int) -> UInt64? {
        var value: UInt64 = 0
        for index in start..<start + width {
            let digit = frame[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            value = value &* 10 &+ UInt64(digit)
        }
        return value
    }

    private static func append(_ value: UInt64, width: Int, to output: inout [UInt8]) {
        let end = output.count + width
        for _ in 0..<width { output.append(UInt8(ascii: "0")) }
        var rest = value
        var place = end - 1
        while rest > 0, place >= end - width {
            output[place] = UInt8(ascii: "0") + UInt8(rest % 10)
            rest /= 10
            place -= 1
        }
    }
}
