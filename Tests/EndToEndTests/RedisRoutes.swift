import HeraldTesting

/// The routes that Redis holds, read as DESIGN.md §3 says: a mapping counts while it has not ended and the
/// incarnation that wrote it holds its node's lease. What stands there of a departure is no mapping.
enum RedisRoutes {
    struct Mapping: Equatable {
        var node: String
        var incarnation: Int
        var expires: Int

        /// From `cloud-1#7.42 EPOCH EXPIRES`; nil for a departure, `~…`, and what is not Herald's.
        init?(_ text: String) {
            let words = text.split(separator: " ")
            guard !text.hasPrefix("~"), words.count == 3, let expires = Int(words[2]) else { return nil }
            let session = words[0].split(separator: "#")
            guard session.count == 2,
                let incarnation = session[1].split(separator: ".").first.flatMap({ Int($0) })
            else { return nil }
            (node, self.incarnation, self.expires) = (String(session[0]), incarnation, expires)
        }
    }

    /// - Returns: `user/key` to its node.
    static func valid(_ wire: RedisWire, users pattern: String = "*") throws -> [String: String] {
        let now = try time(wire)
        var leases: [String: Int] = [:]
        for key in try wire.keys("herald:node:*") {
            let node = try wire.hash(key)
            guard let incarnation = node["incarnation"], Int(node["deadline"] ?? "") ?? 0 > now else {
                continue
            }
            leases[name(in: key)] = Int(incarnation)
        }
        var routes: [String: String] = [:]
        for key in try wire.keys("herald:user:{\(pattern)}") {
            for (field, text) in try wire.hash(key) {
                guard let mapping = Mapping(text), mapping.expires > now,
                    leases[mapping.node] == mapping.incarnation
                else { continue }
                routes["\(name(in: key))/\(field)"] = mapping.node
            }
        }
        return routes
    }

    /// What stands between the braces of a key.
    private static func name(in key: String) -> String {
        String(key.drop { $0 != "{" }.dropFirst().prefix { $0 != "}" })
    }

    /// Redis's own clock, in milliseconds.
    private static func time(_ wire: RedisWire) throws -> Int {
        guard case .list(let parts) = try wire.ask("TIME"), parts.count == 2,
            case .text(let seconds) = parts[0],
            case .text(let micros) = parts[1]
        else { return 0 }
        return (Int(seconds) ?? 0) * 1000 + (Int(micros) ?? 0) / 1000
    }
}
