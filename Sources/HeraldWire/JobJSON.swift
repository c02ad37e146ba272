public import HeraldCore

/// A push that is to be queued, as the HTTP API takes it.
public struct JobRequest: Sendable, Equatable {
    /// The message and the push's options: what `JobJSON.push` reads.
    public var message: [UInt8]
    /// In the order in which the caller named them; at least one, no two equal.
    public var targets: [Target]
    /// Targets a second; 0 for as fast as it goes.
    public var ratePerSecond: Int
    public var dueAt: RedisTime?
    /// The caller's name for this very request: repeated with it, the job is the same.
    public var idempotencyKey: String?
}

/// Jobs as the HTTP API has them.
///
/// The body of a job is the body of a push with four more fields: `mode`, `deliver_at`, `rate` and
/// `idempotency_key`. What is neither one of these nor a target is kept as it came and read by `PushJSON` when a step
/// is carried out, so that a job can do what a push can.
public enum JobJSON {
    /// What a caller may ask for in targets a second.
    public static let rateMax = 1_000_000

    /// Reads the body of `POST /v1/jobs`.
    ///
    /// - Parameters:
    ///   - body: one JSON object.
    ///   - limits: bounds of a push.
    ///   - jobs: bounds of a job.
    /// - Returns: a request that can be carried out.
    /// - Throws: what is wrong, with the name of the field.
    public static func decode(
        _ body: UnsafeRawBufferPointer,
        limits: Limits,
        jobs: JobLimits
    ) throws(WireError) -> JobRequest {
        var request = JobRequest(message: [UInt8(ascii: "{")], targets: [], ratePerSecond: 0)
        var targets = JobTargets(max: jobs.targetsMax)
        try JSONReader.read(body, depthMax: limits.jsonDepthMax) { reader throws(WireError) in
            try reader.object { reader, name throws(WireError) in
                switch name {
                case "users", "keys", "rooms", "all": try targets.read(name, from: &reader)
                case "mode":
                    guard try reader.string() == "queued" else {
                        throw WireError(.unsupported, "must be \"queued\" here")
                    }
                case "deliver_at": request.dueAt = try Timestamp.read(&reader)
                case "rate": request.ratePerSecond = Int(try reader.integer(in: 1...Int64(rateMax)))
                case "idempotency_key": request.idempotencyKey = try idempotencyKey(&reader)
                default:
                    var member = JSONWriter()
                    member.string(name)
                    if request.message.count > 1 { request.message.append(UInt8(ascii: ",")) }
                    request.message += member.bytes + [UInt8(ascii: ":")]
                    request.message += try reader.raw()
                }
            }
        }
        request.message.append(UInt8(ascii: "}"))
        request.targets = try targets.checked(
            stepTargets: jobs.stepTargets(ratePerSecond: request.ratePerSecond)
        )
        // Read once as each step will read it, so that what is wrong is told to who can mend it.
        var ids = PushIDSource(random: 0)
        guard request.message.count <= limits.pushBytesMax else {
            throw WireError(.tooLarge, "has more than \(limits.pushBytesMax) bytes beside its targets")
        }
        let whole = try push(request.message, id: ids.next(), targets: request.targets, limits: limits)
        if whole.isDurable {
            let targets = min(request.targets.count, jobs.stepTargets(ratePerSecond: request.ratePerSecond))
            try PushJSON.checkDurableBytes(whole, targets: targets, limits: limits)
        }
        return request
    }

    /// One target of each kind there is: what may stand in a push depends on the kinds, and thousands of names that
    /// were read already need not be written and read again.
    private static func kinds(of targets: [Target]) -> String {
        var kinds: Set<String> = []
        for target in targets {
            switch target {
            case .user: kinds.insert(#""users":["-"]"#)
            case .key: kinds.insert(#""keys":["-/-"]"#)
            case .room: kinds.insert(#""rooms":["-"]"#)
            case .everyone: kinds.insert(#""all":true"#)
            }
        }
        return kinds.sorted().joined(separator: ",")
    }

    private static func idempotencyKey(_ reader: inout JSONReader) throws(WireError) -> String {
        let key = try reader.string()
        guard (1...128).contains(key.utf8.count) else {
            throw WireError(.outOfRange, "must have 1 to 128 bytes")
        }
        return key
    }

    /// Makes a job's step a push.
    ///
    /// - Parameters:
    ///   - message: what `decode` made of the body.
    ///   - id: the step's.
    ///   - targets: the step's.
    ///   - limits: bounds of a push, of which that of targets is left aside.
    /// - Returns: the push of the step.
    /// - Throws: what is wrong; only when another version wrote the message.
    public static func push(
        _ message: [UInt8],
        id: PushID,
        targets: [Target],
        limits: Limits
    ) throws(WireError) -> Push {
        let rest = message.dropFirst()
        let isEmpty = rest.first == UInt8(ascii: "}")
        let body = Array(("{" + kinds(of: targets) + (isEmpty ? "" : ",")).utf8) + rest
        var push = try PushJSON.decode(body, id: id, limits: limits)
        push.targets = targets
        return push
    }
}

/// The targets of one job, in order, each once.
private struct JobTargets {
    let max: Int
    private var list: [Target] = []
    private var seen: Set<Target> = []

    init(max: Int) { self.max = max }

    mutating func read(_ field: String, from reader: inout JSONReader) throws(WireError) {
        switch field {
        case "all": if try reader.bool() { try add(.everyone) }
        case "users":
            try reader.array(max: max) { reader throws(WireError) in
                try add(.user(try identifier(&reader, UserID.init)))
            }
        case "keys":
            try reader.array(max: max) { reader throws(WireError) in
                try add(.key(try identifier(&reader, UserKey.init)))
            }
        default:
            try reader.array(max: max) { reader throws(WireError) in
                try add(.room(try identifier(&reader, RoomID.init)))
            }
        }
    }

    private mutating func add(_ target: Target) throws(WireError) {
        guard seen.insert(target).inserted else { return }
        guard list.count < max else { throw WireError(.tooMany, "makes more than \(max) targets") }
        list.append(target)
    }

    /// The targets, such that no connection is in two steps: each step is a push of its own, and a client that drops
    /// repeats by push id does not see that two of them are the same message.
    ///
    /// - Parameter stepTargets: how many make a step.
    /// - Returns: what was named, without keys whose user is named too.
    /// - Throws: `conflicting_fields` when that cannot be had; `no_target`.
    func checked(stepTargets: Int) throws(WireError) -> [Target] {
        guard !list.isEmpty else {
            throw WireError(.noTarget, "names no target: give users, keys, rooms or all")
        }
        guard list.count > stepTargets else { return list }
        var named: [Target] = []
        named.reserveCapacity(list.count)
        for target in list {
            switch target {
            case .user: named.append(target)
            case .key(let key): if !seen.contains(.user(key.user)) { named.append(target) }
            case .room, .everyone:
                throw WireError(
                    .conflictingFields,
                    "has rooms or all beside more than \(stepTargets) targets, which would reach some twice"
                )
            }
        }
        return named
    }
}
