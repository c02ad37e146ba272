/// A Lua script that lives in Redis and is called by the SHA-1 of its text.
///
/// The texts are the files in `Scripts/`, compiled into the program. A link loads them when it connects; a
/// `NOSCRIPT` answer (a restart, `SCRIPT FLUSH`) makes it load them again and repeat the call once.
public final class RedisScript: Sendable {
    /// The file's name without `.lua`.
    public let name: String
    public let source: [UInt8]
    /// 40 hexadecimal digits.
    public let sha: String

    public init(name: String, source: [UInt8]) {
        self.name = name
        self.source = source
        sha = sha1Hex(source)
    }

    /// The command that runs the script, with its `KEYS` (all in one Cluster slot) and `ARGV`.
    public func call(keys: [String], _ arguments: [RedisArgument] = []) -> RedisCommand {
        var all: [RedisArgument] = []
        all.reserveCapacity(2 + keys.count + arguments.count)
        all.append(.text(sha))
        all.append(.integer(Int64(keys.count)))
        for key in keys { all.append(.text(key)) }
        all.append(contentsOf: arguments)
        return RedisCommand("EVALSHA", arguments: all, script: self)
    }

    var load: RedisCommand { RedisCommand("SCRIPT", "LOAD", .bytes(source)) }
}

/// Herald's own scripts, one for each file in `Scripts/`; the file's header says what it takes and answers.
extension RedisScript {
    static let nodeRegister = RedisScript(name: "node_register", source: PackageResources.node_register_lua)
    static let nodeRenew = RedisScript(name: "node_renew", source: PackageResources.node_renew_lua)
    static let nodeLeave = RedisScript(name: "node_leave", source: PackageResources.node_leave_lua)
    static let nodesDrop = RedisScript(name: "nodes_drop", source: PackageResources.nodes_drop_lua)
    static let routeBind = telling("route_bind", PackageResources.route_bind_lua)
    static let routeRenew = telling("route_renew", PackageResources.route_renew_lua)
    static let routeUnbind = telling("route_unbind", PackageResources.route_unbind_lua)
    static let routePrune = telling("route_prune", PackageResources.route_prune_lua)
    static let presenceSettle = telling("presence_settle", PackageResources.presence_settle_lua)
    static let presenceWalk = telling("presence_walk", PackageResources.presence_walk_lua)
    static let roomShare = RedisScript(name: "room_share", source: PackageResources.room_share_lua)
    static let roomPrune = RedisScript(name: "room_prune", source: PackageResources.room_prune_lua)
    static let busPublish = publishing("bus_publish", PackageResources.bus_publish_lua)
    static let busDirect = publishing("bus_direct", PackageResources.bus_direct_lua)
    static let busProbe = RedisScript(name: "bus_probe", source: PackageResources.bus_probe_lua)
    static let hold = RedisScript(name: "hold", source: PackageResources.hold_lua)
    static let onceClaim = RedisScript(name: "once_claim", source: PackageResources.once_claim_lua)
    static let onceComplete = RedisScript(name: "once_complete", source: PackageResources.once_complete_lua)
    static let onceAbandon = RedisScript(name: "once_abandon", source: PackageResources.once_abandon_lua)

    /// All of them.
    public static let herald: [RedisScript] =
        [
            nodeRegister, nodeRenew, nodeLeave, nodesDrop, routeBind, routeRenew, routeUnbind, routePrune,
            presenceSettle, presenceWalk, roomShare, roomPrune, hold,
            busPublish, busDirect, busProbe, onceClaim, onceComplete, onceAbandon,
        ] + jobs + inbox

    /// A script that begins with what `hop.lua` defines.
    private static func publishing(_ name: String, _ source: [UInt8]) -> RedisScript {
        RedisScript(name: name, source: PackageResources.hop_lua + source)
    }

    /// A script that begins with what `presence.lua` defines.
    private static func telling(_ name: String, _ source: [UInt8]) -> RedisScript {
        RedisScript(name: name, source: PackageResources.presence_lua + source)
    }
}
