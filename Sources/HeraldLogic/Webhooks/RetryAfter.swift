import HeraldCore

/// The field `Retry-After` (RFC 9110 §10.2.3): seconds, or the date of HTTP as it is written today.
enum RetryAfter {
    /// - Parameters:
    ///   - text: the field's value.
    ///   - now: Unix time in seconds, for a date.
    /// - Returns: at least zero; nil for what is neither.
    static func pause(
        _ text: String,
        now: Int64 = Int64(WallClock.now.milliseconds / 1000)
    ) -> Duration? {
        if let seconds = UInt32(text) { return .seconds(Int64(seconds)) }
        return unixSeconds(ofDate: text).map { .seconds(max(0, $0 - now)) }
    }

    private static let months = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ]

    /// `Sun, 06 Nov 1994 08:49:37 GMT`.
    private static func unixSeconds(ofDate text: String) -> Int64? {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 6, words[0].hasSuffix(","), words[5] == "GMT", let day = UInt8(words[1]),
            let month = months.firstIndex(of: String(words[2])), let year = UInt16(words[3])
        else { return nil }
        let clock = words[4].split(separator: ":", omittingEmptySubsequences: false).map { UInt8($0) }
        guard clock.count == 3, let hour = clock[0], let minute = clock[1], let second = clock[2],
            (1...31).contains(day), hour < 24, minute < 60, second < 61, year >= 1970
        else { return nil }
        let days = days(year: Int64(year), month: Int64(month) + 1, day: Int64(day))
        return ((days * 24 + Int64(hour)) * 60 + Int64(minute)) * 60 + Int64(second)
    }

    /// Since 1970-01-01, in the Gregorian calendar: years that begin in March, so that the leap day is the last
    /// (Howard Hinnant's days_from_civil).
    private static func days(year: Int64, month: Int64, day: Int64) -> Int64 {
        let year = month <= 2 ? year - 1 : year
        let era = year / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }
}
