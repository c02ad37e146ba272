public import HeraldCore

/// Many pushes in one body, and what became of each: `POST /v1/push/batch`.
///
/// The body is a JSON array of pushes, or one push on each line (NDJSON); its first character says which. A push
/// that cannot be used fails alone. Of an array that is badly written nothing can be used, since nobody knows where
/// the next entry begins; of lines all others can.
public enum PushBatchJSON {
    public typealias Entry = Result<Push, WireError>

    /// Why an entry got no verdicts; what a problem document says, without its constant parts.
    public struct Failure: Error, Sendable, Equatable {
        /// The status that a push alone would have been answered.
        public var status: Int
        public var code: String
        public var detail: String
        /// The field at fault as a path within the entry; empty when the whole entry is.
        public var field: String
        public var retryAfterSeconds: Int64?

        public init(
            status: Int,
            code: String,
            detail: String,
            field: String = "",
            retryAfterSeconds: Int64? = nil
        ) {
            self.status = status
            self.code = code
            self.detail = detail
            self.field = field
            self.retryAfterSeconds = retryAfterSeconds
        }
    }

    /// Reads a body.
    ///
    /// - Parameters:
    ///   - body: an array, or lines; empty lines are passed over.
    ///   - limits: bounds of a push and of a batch.
    ///   - id: makes the pushes' ids, called in order.
    /// - Returns: the pushes in order, at least one.
    /// - Throws: why nothing can be used: `bad_json`, `too_deep`, `too_many`.
    public static func decode(
        _ body: UnsafeRawBufferPointer,
        limits: Limits,
        id: () -> PushID
    ) throws(WireError) -> [Entry] {
        guard let first = body.firstIndex(where: { !isSpace($0) }) else {
            throw WireError(.badJSON, "is empty: give an array of pushes, or a push on each line")
        }
        var budget = Budget(limits: limits)
        var entries: [Entry] = []
        if body[first] == UInt8(ascii: "[") {
            try readArray(body, &budget, &entries, id)
        } else {
            try readLines(body, &budget, &entries, id)
        }
        guard !entries.isEmpty else { throw WireError(.noTarget, "has no pushes") }
        return entries
    }

    private static func readArray(
        _ body: UnsafeRawBufferPointer,
        _ budget: inout Budget,
        _ entries: inout [Entry],
        _ id: () -> PushID
    ) throws(WireError) {
        let limits = budget.limits
        try JSONReader.read(body, depthMax: limits.jsonDepthMax + 1) { reader throws(WireError) in
            try reader.array(max: limits.batchPushesMax) { reader throws(WireError) in
                let start = reader.position
                let entry = try reader.attempt { reader throws(WireError) in
                    try PushJSON.request(&reader, id: id(), limits: limits)
                }
                entries.append(entry.flatMap { budget.take($0, bytes: reader.position - start) })
            }
        }
    }

    private static func readLines(
        _ body: UnsafeRawBufferPointer,
        _ budget: inout Budget,
        _ entries: inout [Entry],
        _ id: () -> PushID
    ) throws(WireError) {
        let limits = budget.limits
        var start = 0
        while start < body.count {
            let end = body[start...].firstIndex(of: UInt8(ascii: "\n")) ?? body.count
            let line = UnsafeRawBufferPointer(rebasing: body[start..<end])
            start = end + 1
            guard !line.allSatisfy(isSpace) else { continue }
            guard entries.count < limits.batchPushesMax else {
                throw WireError(.tooMany, "has more than \(limits.batchPushesMax) pushes")
            }
            do throws(WireError) {
                let request = try PushJSON.request(line, id: id(), limits: limits)
                entries.append(budget.take(request, bytes: line.count))
            } catch {
                entries.append(.failure(error))
            }
        }
    }

    private static func isSpace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }

    /// What all pushes of a batch share.
    private struct Budget {
        let limits: Limits
        private var targets = 0
        private var durableBytes = 0

        init(limits: Limits) { self.limits = limits }

        /// Judges a push that is well in itself.
        mutating func take(_ request: PushJSON.Request, bytes: Int) -> Entry {
            if request.isQueued { return Self.refused("mode", "cannot be \"queued\" in a batch") }
            if request.idempotencyKey != nil {
                return Self.refused("idempotency_key", "is not kept for a push of a batch: push it alone")
            }
            guard bytes <= limits.pushBytesMax else {
                return .failure(WireError(.tooLarge, "is larger than \(limits.pushBytesMax) bytes"))
            }
            let push = request.push
            guard targets + push.targets.count <= limits.batchTargetsMax else {
                let reason = "makes more than \(limits.batchTargetsMax) targets of the batch"
                return .failure(WireError(.tooMany, reason))
            }
            if push.isDurable {
                let bytes = (push.message.payload?.bytes.count ?? 0) * push.targets.count
                guard durableBytes + bytes <= limits.durableBytesMax else {
                    let reason = "makes the batch more than \(limits.durableBytesMax) bytes in all inboxes"
                    return .failure(WireError(.tooLarge, field: "durable", reason))
                }
                durableBytes += bytes
            }
            targets += push.targets.count
            return .success(push)
        }

        private static func refused(_ field: String, _ reason: String) -> Entry {
            .failure(WireError(.unsupported, field: field, reason))
        }
    }

    /// Writes what became of the pushes of a batch, in their order.
    public static func encode(_ results: [Result<PushAnswer, Failure>]) -> [UInt8] {
        var failed = 0
        for case .failure in results { failed += 1 }
        var writer = JSONWriter(capacity: 64 + results.count * 96)
        writer.object { writer in
            writer.member("failed", failed)
            writer.array("answers") { writer in
                for result in results {
                    switch result {
                    case .success(let answer): PushJSON.write(answer, to: &writer)
                    case .failure(let failure): write(failure, to: &writer)
                    }
                }
            }
        }
        return writer.bytes
    }

    private static func write(_ failure: Failure, to writer: inout JSONWriter) {
        writer.object { writer in
            writer.object("error") { writer in
                writer.member("status", failure.status)
                writer.member("code", failure.code)
                writer.member("detail", failure.detail)
                if !failure.field.isEmpty { writer.member("field", failure.field) }
                if let seconds = failure.retryAfterSeconds { writer.member("retry_after", seconds) }
            }
        }
    }
}
