import Yams

/// A file of settings: YAML of nested mappings, whose path of keys is a setting's name.
enum SettingsFile {
    /// Reads the text of a file.
    ///
    /// - Parameters:
    ///   - text: what the file holds.
    ///   - path: what to call it in errors.
    /// - Returns: the entries in order, each with its line.
    /// - Throws: what is wrong and in which line; names are judged later.
    static func entries(in text: String, path: String) throws(SettingsError) -> [SettingsLayers.Entry] {
        let root: Node?
        do { root = try Yams.compose(yaml: text) } catch let error as YamlError {
            throw Self.error(error, path: path)
        } catch {
            throw SettingsError(place: path, reason: "\(error)")
        }
        guard let root else { return [] }
        if case .scalar(let scalar) = root, scalar.string.isEmpty || ["null", "~"].contains(scalar.string) {
            return []
        }
        guard case .mapping(let mapping) = root else {
            throw SettingsError(
                place: path,
                reason: "must hold sections such as 'redis:' with settings in them"
            )
        }
        var entries: [SettingsLayers.Entry] = []
        try walk(mapping, under: "", path: path, into: &entries)
        return entries
    }

    private static func walk(
        _ mapping: Node.Mapping,
        under prefix: String,
        path: String,
        into entries: inout [SettingsLayers.Entry]
    ) throws(SettingsError) {
        for (key, value) in mapping {
            let place = "\(path):\(key.mark?.line ?? 0)"
            guard let word = key.string else {
                throw SettingsError(place: place, reason: "a key must be a word")
            }
            let name = prefix.isEmpty ? word : "\(prefix).\(word)"
            switch value {
            case .mapping(let inner):
                let isSection = SettingTable.all.contains { $0.name.hasPrefix("\(name).") }
                guard isSection else { throw unknownSection(name, place) }
                try walk(inner, under: name, path: path, into: &entries)
            case .sequence(let sequence):
                guard SettingTable.byName[name]?.isList ?? true else {
                    throw SettingsError(place: place, reason: "\(name) must be one value and is a list")
                }
                let items = sequence.compactMap(\.scalar?.string)
                guard items.count == sequence.count else {
                    throw SettingsError(place: place, reason: "\(name) must be a list of plain values")
                }
                entries.append(.init(name: name, value: items.joined(separator: ","), place: place))
            case .scalar(let scalar):
                entries.append(.init(name: name, value: scalar.string, place: place))
            case .alias:
                throw SettingsError(place: place, reason: "aliases are not used here")
            }
        }
    }

    private static func unknownSection(_ name: String, _ place: String) -> SettingsError {
        let sections = Set(SettingTable.all.map { String($0.name.prefix { $0 != "." }) })
        let near = Nearest.name(to: name, among: sections).map { "; did you mean \($0)?" } ?? ""
        return SettingsError(place: place, reason: "'\(name)' is not a section\(near)")
    }

    private static func error(_ error: YamlError, path: String) -> SettingsError {
        switch error {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            SettingsError(place: "\(path):\(mark.line)", reason: "is not YAML: \(problem)")
        case .duplicatedKeysInMapping(let duplicates, _):
            SettingsError(
                place: path,
                reason: "is there twice: \(duplicates.map { "\($0)" }.joined(separator: ", "))"
            )
        default: SettingsError(place: path, reason: "cannot be read: \(error)")
        }
    }
}
