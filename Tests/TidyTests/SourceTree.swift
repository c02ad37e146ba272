import Foundation

/// The project's own text, as the tidy rules read it.
enum SourceTree {
    /// The checkout that this test was compiled from.
    static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
        .standardizedFileURL

    struct File: Sendable {
        /// Below the root, such as `Sources/HeraldCore/Push.swift`.
        let path: String
        let text: String

        var name: String { String(path.split(separator: "/").last ?? "") }
        /// `HeraldCore` for `Sources/HeraldCore/Push.swift`.
        var target: String { String(path.split(separator: "/").dropFirst().first ?? "") }
        var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
    }

    /// All files below a folder with this ending, by path.
    static func files(in folder: String, ending: String) throws -> [File] {
        let base = root.appending(path: folder)
        guard let walker = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil) else {
            return []
        }
        var files: [File] = []
        for case let url as URL in walker where url.lastPathComponent.hasSuffix(ending) {
            let path = url.standardizedFileURL.path.dropFirst(root.path.count).drop { $0 == "/" }
            files.append(File(path: String(path), text: try String(contentsOf: url, encoding: .utf8)))
        }
        return files.sorted { $0.path < $1.path }
    }

    static func swift() throws -> [File] { try files(in: "Sources", ending: ".swift") + tests() }
    static func sources() throws -> [File] { try files(in: "Sources", ending: ".swift") }
    static func tests() throws -> [File] { try files(in: "Tests", ending: ".swift") }
}
