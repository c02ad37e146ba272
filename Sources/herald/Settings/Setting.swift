/// One row of the table: what a setting is called, what it may be, and what it is for.
struct Setting: Sendable {
    /// As in the file, with dots between the levels: `limits.push_bytes_max`.
    let name: String
    /// What a value looks like, for people: `bytes, 1KiB to 1MiB`.
    let form: String
    /// What it does and when to change it.
    let help: String
    /// Whether it is never shown and may come from a file (`…_file`).
    let isSecret: Bool
    /// Whether its value is a list: a sequence in the file, parted by commas elsewhere.
    let isList: Bool
    /// Sets it from a text.
    let set: @Sendable (String, inout HeraldSettings) throws(BadValue) -> Void
    /// Writes it as a text that `set` reads.
    let text: @Sendable (HeraldSettings) -> String

    /// `HERALD_LIMITS_PUSH_BYTES_MAX`.
    var environmentName: String {
        "HERALD_" + String(name.map { $0 == "." ? "_" : $0 }).uppercased()
    }

    private init(
        _ name: String,
        form: String,
        help: String,
        isSecret: Bool = false,
        isList: Bool = false,
        set: @escaping @Sendable (String, inout HeraldSettings) throws(BadValue) -> Void,
        text: @escaping @Sendable (HeraldSettings) -> String
    ) {
        self.name = name
        self.form = form
        self.help = help
        self.isSecret = isSecret
        self.isList = isList
        self.set = set
        self.text = text
    }
}

// MARK: the kinds of values

extension Setting {
    typealias Path<Value> = any WritableKeyPath<HeraldSettings, Value> & Sendable

    static func integer(
        _ name: String,
        _ path: Path<Int>,
        _ bounds: ClosedRange<Int>,
        _ help: String
    ) -> Setting {
        Setting(
            name,
            form: "number, \(bounds.lowerBound) to \(bounds.upperBound)",
            help: help,
            set: { text, settings throws(BadValue) in
                settings[keyPath: path] = try SettingValue.integer(text, in: bounds)
            },
            text: { String($0[keyPath: path]) }
        )
    }

    static func bytes(
        _ name: String,
        _ path: Path<Int>,
        _ bounds: ClosedRange<Int>,
        _ help: String
    ) -> Setting {
        Setting(
            name,
            form:
                "bytes, \(SettingValue.bytes(bounds.lowerBound)) to \(SettingValue.bytes(bounds.upperBound))",
            help: help,
            set: { text, settings throws(BadValue) in
                settings[keyPath: path] = try SettingValue.bytes(text, in: bounds)
            },
            text: { SettingValue.bytes($0[keyPath: path]) }
        )
    }

    static func duration(
        _ name: String,
        _ path: Path<Duration>,
        _ bounds: ClosedRange<Duration>,
        _ help: String
    ) -> Setting {
        Setting(
            name,
            form:
                "time, \(SettingValue.duration(bounds.lowerBound)) to \(SettingValue.duration(bounds.upperBound))",
            help: help,
            set: { text, settings throws(BadValue) in
                settings[keyPath: path] = try SettingValue.duration(text, in: bounds)
            },
            text: { SettingValue.duration($0[keyPath: path]) }
        )
    }

    static func choice(_ name: String, _ path: Path<String>, of choices: [String], _ help: String) -> Setting
    {
        Setting(
            name,
            form: "one of " + choices.joined(separator: ", "),
            help: help,
            set: { text, settings throws(BadValue) in
                settings[keyPath: path] = try SettingValue.choice(text, of: choices)
            },
            text: { $0[keyPath: path] }
        )
    }

    /// `check`: throws a phrase that follows the name.
    static func text(
        _ name: String,
        _ path: Path<String>,
        form: String,
        _ help: String,
        isSecret: Bool = false,
        check: @escaping @Sendable (String) throws(BadValue) -> Void = { _ in }
    ) -> Setting {
        Setting(
            name,
            form: form,
            help: help,
            isSecret: isSecret,
            set: { text, settings throws(BadValue) in
                try check(text)
                settings[keyPath: path] = text
            },
            text: { $0[keyPath: path] }
        )
    }

    /// Empty stands for: none.
    static func path(_ name: String, _ path: Path<String?>, _ help: String) -> Setting {
        Setting(
            name,
            form: "path of a file, or empty",
            help: help,
            set: { text, settings throws(BadValue) in settings[keyPath: path] = text.isEmpty ? nil : text },
            text: { $0[keyPath: path] ?? "" }
        )
    }

    static func flag(_ name: String, _ path: Path<Bool>, _ help: String) -> Setting {
        Setting(
            name,
            form: "true or false",
            help: help,
            set: { text, settings throws(BadValue) in settings[keyPath: path] = try SettingValue.flag(text) },
            text: { $0[keyPath: path] ? "true" : "false" }
        )
    }

    static func list(_ name: String, _ path: Path<[String]>, form: String, _ help: String) -> Setting {
        Setting(
            name,
            form: form,
            help: help,
            isList: true,
            set: { text, settings throws(BadValue) in
                settings[keyPath: path] = text.split(separator: ",").map { item in
                    String(item.drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
                }
            },
            text: { $0[keyPath: path].joined(separator: ",") }
        )
    }
}
