import Foundation
import Testing

@testable import herald

@Suite struct SettingTableTests {
    static let file: String = {
        let here = URL(filePath: #filePath).resolvingSymlinksInPath()
        let root = here.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        return (try? String(contentsOf: root.appending(path: "config/herald.yaml"), encoding: .utf8)) ?? ""
    }()

    @Test func `names and environment names are unique, and no name is another's prefix`() {
        #expect(SettingTable.byName.count == SettingTable.all.count)
        #expect(SettingTable.byEnvironmentName.count == SettingTable.all.count)
        for setting in SettingTable.all {
            #expect(!SettingTable.all.contains { $0.name.hasPrefix(setting.name + ".") })
            #expect(setting.name.split(separator: ".").count == 2)
            #expect(!setting.help.isEmpty && !setting.form.isEmpty)
        }
    }

    @Test(arguments: SettingTable.all.map(\.name))
    func `a default can be written and read again`(name: String) throws {
        let setting = try #require(SettingTable.byName[name])
        let text = setting.text(HeraldSettings())
        var settings = HeraldSettings()
        try setting.set(text, &settings)
        #expect(setting.text(settings) == text)
    }

    @Test func `the file that teaches lists every setting once, in order, with its default`() throws {
        let entries = try SettingsFile.entries(in: Self.file, path: "herald.yaml")
        #expect(entries.map(\.name) == SettingTable.all.map(\.name))
        for entry in entries {
            let setting = try #require(SettingTable.byName[entry.name])
            #expect(entry.value == setting.text(HeraldSettings()), "\(entry.name)")
        }
    }

    @Test func `the file that teaches changes nothing`() throws {
        var layers = SettingsLayers { _ in "" }
        try layers.apply(SettingsFile.entries(in: Self.file, path: "herald.yaml"))
        for setting in SettingTable.all {
            #expect(setting.text(layers.settings) == setting.text(HeraldSettings()))
        }
    }
}
