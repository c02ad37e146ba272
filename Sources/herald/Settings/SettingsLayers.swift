/// Puts the layers on one another: defaults, file, environment, flags. The later wins.
///
/// Pure: what files hold comes in through a closure.
struct SettingsLayers {
    /// A value from outside, on its way to a setting.
    struct Entry: Equatable {
        var name: String
        var value: String
        var place: String
    }

    private(set) var settings = HeraldSettings()
    /// Variables that tests tell each other by; the programs that they start inherit them.
    private static let testPrefix = "HERALD_TEST_"

    /// Reads the file of a secret.
    private let contents: (String) throws -> String

    init(contents: @escaping (String) throws -> String) { self.contents = contents }

    /// What the file says; see `SettingsFile`.
    mutating func apply(_ entries: [Entry]) throws(SettingsError) {
        for entry in entries { try apply(entry) }
    }

    /// What the environment says: every variable that begins with `HERALD_` has to be a setting's.
    ///
    /// `others`: variables that mean something else.
    mutating func apply(environment: [String: String], others: Set<String>) throws(SettingsError) {
        for (variable, value) in environment.sorted(by: { $0.key < $1.key })
        where variable.hasPrefix("HERALD_") && !variable.hasPrefix(Self.testPrefix)
            && !others.contains(variable)
        {
            guard let name = Self.name(ofVariable: variable) else {
                let known = SettingTable.all.map(\.environmentName) + Array(others)
                throw SettingsError(
                    place: variable,
                    reason: "is not a setting" + Self.hint(Nearest.name(to: variable, among: known))
                )
            }
            try apply(Entry(name: name, value: value, place: variable))
        }
    }

    /// What `--set NAME=VALUE` and the flags that stand for a setting say.
    mutating func apply(set assignments: [String]) throws(SettingsError) {
        for assignment in assignments {
            guard let equals = assignment.firstIndex(of: "=") else {
                throw SettingsError(place: "--set \(assignment)", reason: "must be written NAME=VALUE")
            }
            let name = String(assignment[..<equals])
            try apply(
                Entry(
                    name: name,
                    value: String(assignment[assignment.index(after: equals)...]),
                    place: "--set"
                )
            )
        }
    }

    private mutating func apply(_ entry: Entry) throws(SettingsError) {
        if let setting = SettingTable.byName[entry.name] { return try set(setting, entry.value, entry.place) }
        if entry.name.hasSuffix("_file"), let setting = SettingTable.byName[String(entry.name.dropLast(5))],
            setting.isSecret
        {
            return try set(setting, try secret(entry), entry.place)
        }
        let near = Nearest.name(to: entry.name, among: SettingTable.byName.keys)
        throw SettingsError(place: entry.place, reason: "'\(entry.name)' is not a setting" + Self.hint(near))
    }

    private mutating func set(_ setting: Setting, _ value: String, _ place: String) throws(SettingsError) {
        do { try setting.set(value, &settings) } catch {
            throw SettingsError(place: place, reason: "\(setting.name) \(error.reason)")
        }
    }

    private func secret(_ entry: Entry) throws(SettingsError) -> String {
        do {
            let text = try contents(entry.value)
            return String(text.prefix { !$0.isNewline })
        } catch {
            throw SettingsError(place: entry.place, reason: "\(entry.value) cannot be read: \(error)")
        }
    }

    private static func name(ofVariable variable: String) -> String? {
        if let setting = SettingTable.byEnvironmentName[variable] { return setting.name }
        guard variable.hasSuffix("_FILE"),
            let setting = SettingTable.byEnvironmentName[String(variable.dropLast(5))], setting.isSecret
        else { return nil }
        return setting.name + "_file"
    }

    private static func hint(_ near: String?) -> String { near.map { "; did you mean \($0)?" } ?? "" }
}
