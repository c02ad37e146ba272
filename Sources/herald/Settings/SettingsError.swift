/// A setting that cannot be: the operator's to change.
struct SettingsError: Error, Equatable, CustomStringConvertible {
    /// Where it stands: `herald.yaml:12`, `HERALD_LOGIC_PORT`, `--port`.
    var place: String
    var reason: String

    var description: String { "\(place): \(reason)" }
}

/// Finds what somebody may have meant.
enum Nearest {
    /// - Returns: the candidate with the fewest changed letters, if they are few enough to be a slip.
    static func name(to text: String, among candidates: some Sequence<String>) -> String? {
        let closest = candidates.map { (name: $0, distance: distance(text, $0)) }.min {
            $0.distance < $1.distance
        }
        guard let closest, closest.distance <= max(2, text.count / 4) else { return nil }
        return closest.name
    }

    /// Levenshtein's: insertions, deletions and substitutions.
    static func distance(_ left: String, _ right: String) -> Int {
        let left = Array(left.utf8)
        let right = Array(right.utf8)
        var row = Array(0...right.count)
        for (i, a) in left.enumerated() {
            var diagonal = row[0]
            row[0] = i + 1
            for (j, b) in right.enumerated() {
                let above = row[j + 1]
                row[j + 1] = a == b ? diagonal : min(diagonal, above, row[j]) + 1
                diagonal = above
            }
        }
        return row[right.count]
    }
}
