import HeraldCore

/// A moment as callers write it: Unix milliseconds, or RFC 3339 such as `2026-01-31T23:59:59.5+01:00`.
public enum Timestamp {
    /// Reads a number or a string.
    static func read(_ reader: inout JSONReader) throws(WireError) -> RedisTime {
        reader.skipSpace()
        guard reader.peek() == UInt8(ascii: "\"") else {
            return RedisTime(milliseconds: UInt64(try reader.integer(in: 0...latest)))
        }
        guard let milliseconds = parse(try reader.string()) else {
            throw WireError(.wrongType, "must be RFC 3339 such as 2026-01-31T23:59:59Z, or Unix milliseconds")
        }
        return RedisTime(milliseconds: milliseconds)
    }

    /// The end of the year 9999.
    private static let latest: Int64 = 253_402_300_799_999

    /// - Returns: Unix milliseconds, fractions of one cut off; nil for what is no time from 1970 on.
    public static func parse(_ text: String) -> UInt64? {
        var rest = Substring(text).utf8[...]
        func number(_ digits: Int) -> Int64? {
            guard rest.count >= digits else { return nil }
            var number: Int64 = 0
            for byte in rest.prefix(digits) {
                guard byte &- UInt8(ascii: "0") < 10 else { return nil }
                number = number * 10 + Int64(byte &- UInt8(ascii: "0"))
            }
            rest = rest.dropFirst(digits)
            return number
        }
        func take(_ characters: String) -> UInt8? {
            guard let byte = rest.first, characters.utf8.contains(byte) else { return nil }
            rest = rest.dropFirst()
            return byte
        }
        guard let year = number(4), take("-") != nil, let month = number(2), take("-") != nil,
            let day = number(2), take("Tt ") != nil, let hour = number(2), take(":") != nil,
            let minute = number(2), take(":") != nil, let second = number(2),
            (1...12).contains(month), (1...daysInMonth(month, of: year)).contains(day), hour < 24,
            minute < 60,
            second < 61
        else { return nil }
        var milliseconds: Int64 = 0
        if take(".") != nil {
            guard let first = number(1) else { return nil }
            milliseconds = first * 100
            for scale in [10, 1] as [Int64] { milliseconds += (number(1) ?? 0) * scale }
            while number(1) != nil {}
        }
        var seconds = daysSince1970(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second
        switch take("Zz+-") {
        case UInt8(ascii: "Z"), UInt8(ascii: "z"): break
        case let sign?:
            guard let hours = number(2), take(":") != nil, let minutes = number(2), hours < 24, minutes < 60
            else { return nil }
            let offset = hours * 3600 + minutes * 60
            seconds += sign == UInt8(ascii: "+") ? -offset : offset
        case nil: return nil
        }
        guard rest.isEmpty, seconds >= 0 else { return nil }
        return UInt64(seconds * 1000 + milliseconds)
    }

    private static func daysInMonth(_ month: Int64, of year: Int64) -> Int64 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }

    /// Howard Hinnant's days_from_civil, for years from 0 on: March begins the year, so that leap days end one.
    private static func daysSince1970(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let year = month > 2 ? year : year - 1
        let era = year / 400
        let yearOfEra = year - era * 400
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
        return era * 146_097 + dayOfEra - 719_468
    }
}
