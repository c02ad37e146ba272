/// Why a text is no value for a setting, as a phrase that follows the setting's name.
struct BadValue: Error, Equatable {
    var reason: String

    init(_ reason: String) { self.reason = reason }
}

/// How values are written: the same in the file, in the environment and behind a flag.
enum SettingValue {
    static func integer(_ text: String, in bounds: ClosedRange<Int>) throws(BadValue) -> Int {
        guard let number = Int(text) else { throw BadValue("must be a whole number, and is '\(text)'") }
        guard bounds.contains(number) else {
            throw BadValue("must be from \(bounds.lowerBound) to \(bounds.upperBound), and is \(number)")
        }
        return number
    }

    private static let byteUnits: [(suffix: String, factor: Int)] = [
        ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30),
    ]

    static func bytes(_ text: String, in bounds: ClosedRange<Int>) throws(BadValue) -> Int {
        var number = Int(text)
        for unit in byteUnits where text.hasSuffix(unit.suffix) {
            let (product, overflow) = (Int(text.dropLast(3)) ?? -1).multipliedReportingOverflow(
                by: unit.factor
            )
            number = overflow || product < 0 ? nil : product
        }
        guard let number else {
            throw BadValue("must be bytes such as 65536, 64KiB or 1MiB, and is '\(text)'")
        }
        guard bounds.contains(number) else {
            throw BadValue(
                "must be from \(bytes(bounds.lowerBound)) to \(bytes(bounds.upperBound)), and is \(text)"
            )
        }
        return number
    }

    static func bytes(_ number: Int) -> String {
        for unit in byteUnits.reversed() where number >= unit.factor && number % unit.factor == 0 {
            return "\(number / unit.factor)\(unit.suffix)"
        }
        return String(number)
    }

    private static let timeUnits: [(suffix: String, milliseconds: Int64)] = [
        ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000),
    ]

    static func duration(_ text: String, in bounds: ClosedRange<Duration>) throws(BadValue) -> Duration {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard let number = Int64(digits), number <= 1_000_000_000,
            let unit = timeUnits.first(where: { $0.suffix == text.dropFirst(digits.count) })
        else { throw BadValue("must be a time such as 500ms, 3s, 2m or 1h, and is '\(text)'") }
        let value = Duration.milliseconds(number * unit.milliseconds)
        guard bounds.contains(value) else {
            throw BadValue(
                "must be from \(duration(bounds.lowerBound)) to \(duration(bounds.upperBound)), and is \(text)"
            )
        }
        return value
    }

    static func duration(_ value: Duration) -> String {
        let milliseconds =
            value.components.seconds * 1000 + value.components.attoseconds / 1_000_000_000_000_000
        guard milliseconds != 0 else { return "0s" }
        // Minutes and hours only where nobody would rather read seconds.
        for unit in timeUnits.reversed() where milliseconds % unit.milliseconds == 0 {
            if unit.suffix == "h" || unit.suffix == "m", milliseconds / unit.milliseconds < 5 { continue }
            return "\(milliseconds / unit.milliseconds)\(unit.suffix)"
        }
        return "\(milliseconds)ms"
    }

    static func flag(_ text: String) throws(BadValue) -> Bool {
        switch text {
        case "true", "yes", "on": return true
        case "false", "no", "off": return false
        default: throw BadValue("must be true or false, and is '\(text)'")
        }
    }

    static func choice(_ text: String, of choices: [String]) throws(BadValue) -> String {
        guard choices.contains(text) else {
            throw BadValue("must be one of \(choices.joined(separator: ", ")), and is '\(text)'")
        }
        return text
    }
}
