public import HeraldCore

/// Reads what `PushStoryJSON` writes. Fields that are not known are passed over.
enum PushStoryReader {
    static func story(_ reader: inout JSONReader) throws(WireError) -> PushStory {
        var id: PushID?
        var process = ""
        var confirm = ConfirmLevel.routed
        var age = Duration.zero
        var answered: Duration?
        var refusal: String?
        var targets: [TargetStory] = []
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "id": id = try identifier(&reader, PushID.init)
            case "process": process = try reader.string()
            case "confirm": confirm = try known(&reader, ConfirmLevel.init(rawValue:))
            case "accepted_ms_ago": age = try milliseconds(&reader)
            case "answered_after_ms": answered = try milliseconds(&reader)
            case "refusal": refusal = try reader.string()
            case "targets":
                try reader.array(max: 100_000) { reader throws(WireError) in
                    targets.append(try target(&reader))
                }
            default: _ = try reader.raw()
            }
        }
        guard let id else { throw WireError(.missingField, field: "id", "is missing") }
        return PushStory(
            id: id,
            process: process,
            confirm: confirm,
            age: age,
            answered: answered,
            refusal: refusal,
            targets: targets
        )
    }

    private static func target(_ reader: inout JSONReader) throws(WireError) -> TargetStory {
        var verdict = VerdictFields()
        var told: Verdict?
        var steps: [TargetStory.Step] = []
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "told": told = try known(&reader, Verdict.init(_:))
            case "steps":
                try reader.array(max: 100_000) { reader throws(WireError) in
                    if let step = try step(&reader) { steps.append(step) }
                }
            default: try verdict.read(name, from: &reader)
            }
        }
        return TargetStory(verdict: try verdict.verdict, told: told, steps: steps)
    }

    /// Nil for a kind of step that this version does not know.
    private static func step(_ reader: inout JSONReader) throws(WireError) -> TargetStory.Step? {
        var after = Duration.zero
        var kind = ""
        var node: NodeID?
        var nodes: [NodeID] = []
        var listening = TargetStory.Listening.unknown
        var reach = Reach()
        var isHere = true
        var isFinal = false
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "after_ms": after = try milliseconds(&reader)
            case "step": kind = try reader.string()
            case "node": node = try identifier(&reader, NodeID.init)
            case "nodes":
                try reader.array(max: 100_000) { reader throws(WireError) in
                    nodes.append(try identifier(&reader, NodeID.init))
                }
            case "listening": listening = try known(&reader, TargetStory.Listening.init(rawValue:))
            case "here": isHere = try reader.bool()
            case "final": isFinal = try reader.bool()
            case "connections": reach.connections = try count(&reader)
            case "written": reach.written = try count(&reader)
            case "acked": reach.acked = try count(&reader)
            case "dropped": reach.dropped = try count(&reader)
            case "collapsed": reach.collapsed = try count(&reader)
            default: _ = try reader.raw()
            }
        }
        switch (kind, node) {
        case ("looked_up", _): return TargetStory.Step(after: after, .lookedUp(nodes))
        case ("sent", let node?): return TargetStory.Step(after: after, .sent(node, listening))
        case ("receipt", let node?):
            return TargetStory.Step(after: after, .told(by: node, isHere ? reach : nil, isFinal: isFinal))
        default: return nil
        }
    }

    private static func known<Value>(
        _ reader: inout JSONReader,
        _ make: (String) -> Value?
    ) throws(WireError) -> Value {
        guard let value = make(try reader.string()) else {
            throw WireError(.unsupported, "is a word that this version does not know")
        }
        return value
    }

    /// Milliseconds with up to three decimals, as they are written here.
    private static func milliseconds(_ reader: inout JSONReader) throws(WireError) -> Duration {
        let parts = String(decoding: try reader.raw(), as: UTF8.self).split(separator: ".")
        guard parts.count <= 2, let whole = parts.first.flatMap({ Int64($0) }),
            (0...Int64(1e12)).contains(whole)
        else { throw WireError(.outOfRange, "is no number of milliseconds") }
        guard parts.count == 2 else { return .milliseconds(whole) }
        let digits = parts[1].prefix(3)
        guard let decimals = Int64(digits + String(repeating: "0", count: 3 - digits.count)) else {
            throw WireError(.outOfRange, "is no number of milliseconds")
        }
        return .milliseconds(whole) + .microseconds(decimals)
    }
}

/// A verdict as `PushJSON` writes it, field by field.
public struct VerdictFields: Sendable {
    private var target: Target?
    private var known: Verdict?
    private var nodes: [NodeID] = []
    private var missed: [NodeID] = []
    private var reach: Reach?
    private var position: InboxPosition?
    private var counts: Reach {
        get { reach ?? Reach() }
        set { reach = newValue }
    }
    private var reason: String?

    public init() {}

    /// Reads one field; one that is not known is passed over.
    ///
    /// - Throws: a verdict that is not known is an error, because what became of the push would be hidden.
    public mutating func read(_ name: String, from reader: inout JSONReader) throws(WireError) {
        switch name {
        case "user": target = .user(try identifier(&reader, UserID.init))
        case "key": target = .key(try identifier(&reader, UserKey.init))
        case "room": target = .room(try identifier(&reader, RoomID.init))
        case "all": if try reader.bool() { target = .everyone }
        case "verdict":
            known = Verdict(try reader.string())
            guard known != nil else {
                throw WireError(.unsupported, "is a verdict that this client does not know")
            }
        case "nodes": nodes = try Self.nodes(&reader)
        case "missed": missed = try Self.nodes(&reader)
        case "connections": counts.connections = try count(&reader)
        case "written": counts.written = try count(&reader)
        case "acked": counts.acked = try count(&reader)
        case "dropped": counts.dropped = try count(&reader)
        case "collapsed": counts.collapsed = try count(&reader)
        case "stored": position = try Self.position(&reader)
        case "reason": reason = try reader.string()
        default: _ = try reader.raw()
        }
    }

    /// - Throws: what is missing.
    public var verdict: TargetVerdict {
        get throws(WireError) {
            guard let target, let known else {
                throw WireError(.missingField, "lacks a target or a verdict")
            }
            return TargetVerdict(
                target: target,
                verdict: known,
                nodes: nodes,
                missed: missed,
                reach: reach,
                position: position,
                reason: reason
            )
        }
    }

    private static func position(_ reader: inout JSONReader) throws(WireError) -> InboxPosition {
        var epoch: UInt64?
        var offset: UInt64 = 0
        try reader.object { reader, name throws(WireError) in
            switch name {
            case "epoch": epoch = UInt64(try reader.string())
            case "offset": offset = UInt64(try reader.integer(in: 0...Int64.max))
            default: _ = try reader.raw()
            }
        }
        guard let epoch else { throw WireError(.missingField, field: "epoch", "is missing or no number") }
        return InboxPosition(epoch: epoch, offset: offset)
    }

    private static func nodes(_ reader: inout JSONReader) throws(WireError) -> [NodeID] {
        var nodes: [NodeID] = []
        try reader.array(max: 100_000) { reader throws(WireError) in
            nodes.append(try identifier(&reader, NodeID.init))
        }
        return nodes
    }
}

private func count(_ reader: inout JSONReader) throws(WireError) -> Int {
    Int(try reader.integer(in: 0...Int64(Int32.max)))
}
