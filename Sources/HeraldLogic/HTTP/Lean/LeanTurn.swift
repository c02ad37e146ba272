import FoundationEssentials
import NIOCore

/// One turn of an event loop, for the lanes on it: what becomes known in it leaves when it ends.
///
/// Used on its loop.
// Safe because every use is on `loop`, which the callers are handlers of.
final class LeanTurn: @unchecked Sendable {
    let loop: any EventLoop
    private var planned: [LeanLane] = []
    private var dateText: [UInt8] = []
    private var dateEnds = NIODeadline.uptimeNanoseconds(0)

    init(_ loop: any EventLoop) { self.loop = loop }

    /// Tells a lane when the turn ends; a lane is planned once a turn.
    func plan(_ lane: LeanLane) {
        planned.append(lane)
        if planned.count == 1 { loop.execute { self.end() } }
    }

    private func end() {
        let lanes = planned
        planned.removeAll(keepingCapacity: true)
        for lane in lanes { lane.turnEnded() }
    }

    /// The `Date` field, made once a second.
    func date(at now: NIODeadline) -> [UInt8] {
        if now < dateEnds { return dateText }
        let moment = Date().timeIntervalSince1970
        let second = moment.rounded(.down)
        dateText = HTTPDate.text(Int(second))
        dateEnds = now + .nanoseconds(Int64((1 - (moment - second)) * 1e9))
        return dateText
    }
}

/// RFC 9110 §5.6.7: `Sun, 06 Nov 1994 08:49:37 GMT`.
enum HTTPDate {
    private static let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"]
    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// - Parameter time: Unix seconds, from 1970 on.
    /// - Returns: 29 bytes.
    static func text(_ time: Int) -> [UInt8] {
        let (day, second) = (time / 86_400, time % 86_400)
        let (year, month, dayOfMonth) = civil(day)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        let clock = "\(two(second / 3600)):\(two(second / 60 % 60)):\(two(second % 60))"
        let date = "\(days[day % 7]), \(two(dayOfMonth)) \(months[month - 1]) \(year)"
        return Array("\(date) \(clock) GMT".utf8)
    }

    /// Howard Hinnant's civil_from_days, for days from 1970 on: March begins the year, so that leap days end one.
    private static func civil(_ day: Int) -> (year: Int, month: Int, day: Int) {
        let shifted = day + 719_468
        let era = shifted / 146_097
        let dayOfEra = shifted % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let shiftedMonth = (5 * dayOfYear + 2) / 153
        let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
    }
}
