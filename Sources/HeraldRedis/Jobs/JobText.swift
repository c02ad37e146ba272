import HeraldCore

/// How jobs stand in Redis: the targets of a step as lines `u alice`, `k alice/phone`, `r news`, `*`; verdicts as
/// `offline=3 routed=7`. Ids have neither spaces nor line ends.
enum JobText {
    static func text(_ targets: [Target]) -> String {
        var text = ""
        text.reserveCapacity(targets.count * 24)
        for target in targets {
            if !text.isEmpty { text += "\n" }
            switch target {
            case .user(let user): text += "u \(user)"
            case .key(let key): text += "k \(key)"
            case .room(let room): text += "r \(room)"
            case .everyone: text += "*"
            }
        }
        return text
    }

    /// - Returns: nil for what `text` does not write.
    static func targets(_ text: String) -> [Target]? {
        var targets: [Target] = []
        for line in text.split(separator: "\n") {
            guard let target = target(line) else { return nil }
            targets.append(target)
        }
        return targets.isEmpty ? nil : targets
    }

    private static func target(_ line: Substring) -> Target? {
        if line == "*" { return .everyone }
        let name = String(line.dropFirst(2))
        switch line.prefix(2) {
        case "u ": return (try? UserID(name)).map { .user($0) }
        case "k ": return (try? UserKey(name)).map { .key($0) }
        case "r ": return (try? RoomID(name)).map { .room($0) }
        default: return nil
        }
    }

    static func verdicts(_ text: String) -> [String: Int] {
        var verdicts: [String: Int] = [:]
        for word in text.split(separator: " ") {
            let parts = word.split(separator: "=")
            if parts.count == 2, let count = Int(parts[1]) { verdicts[String(parts[0])] = count }
        }
        return verdicts
    }

    /// What `record` reads, in this order.
    static let fields = [
        "state", "since", "created", "due", "targets", "done", "steps", "step", "verdicts", "rate", "tries",
        "worker", "failure",
    ]

    /// - Returns: nil where a job is not there, or not one.
    static func record(_ id: JobID, _ values: [RedisValue]) -> JobRecord? {
        guard values.count == fields.count, let state = values[0].text.flatMap(JobState.init(rawValue:))
        else {
            return nil
        }
        func number(_ index: Int) -> Int { Int(clamping: values[index].number ?? 0) }
        func time(_ index: Int) -> RedisTime { RedisTime(milliseconds: UInt64(clamping: number(index))) }
        return JobRecord(
            id: id,
            state: state,
            since: time(1),
            created: time(2),
            due: number(3) > 0 ? time(3) : nil,
            targets: number(4),
            targetsDone: number(5),
            steps: number(6),
            stepsDone: number(7),
            verdicts: verdicts(values[8].text ?? ""),
            ratePerSecond: number(9),
            tries: number(10),
            worker: values[11].text ?? "",
            failure: values[12].text ?? ""
        )
    }
}
