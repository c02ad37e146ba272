// The reading half of the codec: bytes in, `RedisValue`s out.
//
// hiredis's `redisReader` does the parsing and this type owns it. Instead of letting hiredis build its tree of
// `redisReply` structs and then copying that tree, the reader is given our own five constructors. They hand
// each element to a `ReplyBuilder` as it is parsed, so that a bulk string is copied once, from the reader's
// buffer into a Swift array, and no C object ever has to be freed. To hiredis a constructed object is a pointer
// that it only compares with NULL; all of ours are the builder's own address.
//
// Limits: hiredis itself refuses arrays nested deeper than 7 and lengths that are no numbers. A length that is
// merely huge would make it buffer for ever, so what is buffered and what is built are bounded here. After any
// error the stream has no meaning any more: the link that owns the reader closes.

internal import CHiredis

/// Parses one connection's replies, in whatever pieces they arrive.
struct RedisReader: ~Copyable {
    private let reader: UnsafeMutablePointer<redisReader>
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    private let builder: ReplyBuilder
    private let replyBytesMax: Int

    /// - Parameter replyBytesMax: what one reply may hold, each of its elements counted as 16 bytes more.
    /// - Throws: `badConfiguration` when there is no memory for a reader.
    init(replyBytesMax: Int) throws(RedisError) {
        builder = ReplyBuilder(bytesMax: replyBytesMax)
        self.replyBytesMax = replyBytesMax
        functions = .allocate(capacity: 1)
        functions.initialize(to: ReplyBuilder.functions)
        guard let reader = redisReaderCreateWithFunctions(functions) else {
            functions.deallocate()
            throw RedisError(.badConfiguration, "hiredis has no memory for a reader")
        }
        reader.pointee.privdata = Unmanaged.passUnretained(builder).toOpaque()
        self.reader = reader
    }

    deinit {
        redisReaderFree(reader)
        functions.deallocate()
    }

    /// Takes what arrived. The bytes are copied; the pointer is not kept.
    ///
    /// - Throws: `protocolViolated` after an earlier one, or when there is no memory.
    func feed(_ bytes: UnsafeRawBufferPointer) throws(RedisError) {
        guard !bytes.isEmpty else { return }
        let pointer = bytes.baseAddress?.assumingMemoryBound(to: CChar.self)
        guard redisReaderFeed(reader, pointer, bytes.count) == REDIS_OK else { throw violation() }
    }

    /// The next whole reply, or nil until more has arrived.
    ///
    /// - Throws: `protocolViolated`; the reader is of no use afterwards.
    func next() throws(RedisError) -> RedisValue? {
        var reply: UnsafeMutableRawPointer?
        guard redisReaderGetReply(reader, &reply) == REDIS_OK else { throw violation() }
        if reply != nil { return builder.take() }
        guard reader.pointee.len - reader.pointee.pos <= replyBytesMax else {
            throw RedisError(.protocolViolated, "a reply is larger than \(replyBytesMax) bytes")
        }
        return nil
    }

    private func violation() -> RedisError {
        if builder.isOverfull {
            return RedisError(.protocolViolated, "a reply is larger than \(replyBytesMax) bytes")
        }
        let reason = withUnsafeBytes(of: &reader.pointee.errstr) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return RedisError(.protocolViolated, "Redis sent what is no RESP2: \(reason)")
    }
}

/// Puts the elements of one reply together in the order in which hiredis parses them.
private final class ReplyBuilder {
    private var open: [OpenArray] = []
    private var finished: RedisValue?
    private var bytes = 0
    private let bytesMax: Int
    private(set) var isOverfull = false

    /// An array whose last `missing` elements have not been parsed yet.
    private struct OpenArray {
        var elements: [RedisValue] = []
        var missing: Int
    }

    init(bytesMax: Int) { self.bytesMax = bytesMax }

    func take() -> RedisValue? {
        bytes = 0
        defer { finished = nil }
        return finished
    }

    /// - Returns: whether the reply is still within its bounds.
    private func add(_ value: RedisValue, bytes count: Int) -> Bool {
        guard isWithinBounds(adding: count) else { return false }
        var value = value
        while let last = open.indices.last {
            open[last].elements.append(value)
            open[last].missing -= 1
            guard open[last].missing == 0 else { return true }
            value = .array(open.removeLast().elements)
        }
        finished = value
        return true
    }

    private func beginArray(count: Int) -> Bool {
        guard count > 0 else { return add(.array([]), bytes: 0) }
        guard isWithinBounds(adding: 0) else { return false }
        var array = OpenArray(missing: count)
        // What a length promises is not yet there: memory grows with what has arrived.
        array.elements.reserveCapacity(min(count, 256))
        open.append(array)
        return true
    }

    private func isWithinBounds(adding count: Int) -> Bool {
        bytes += count + 16
        isOverfull = bytes > bytesMax
        return !isOverfull
    }

    /// The constructors. hiredis calls them within `redisReaderGetReply`, on the thread of that call; the text
    /// is lent for the length of the call, and NULL means that the reply is refused.
    static let functions = redisReplyObjectFunctions(
        createString: { task, text, count in
            let bytes = UnsafeRawBufferPointer(start: text, count: count)
            let value: RedisValue =
                switch task?.pointee.type {
                case REDIS_REPLY_STATUS: .status(String(decoding: bytes, as: UTF8.self))
                case REDIS_REPLY_ERROR: .error(RedisReplyError(String(decoding: bytes, as: UTF8.self)))
                default: .string([UInt8](bytes))
                }
            return ReplyBuilder.of(task) { $0.add(value, bytes: count) }
        },
        createArray: { task, count in ReplyBuilder.of(task) { $0.beginArray(count: Int(count)) } },
        createInteger: { task, number in ReplyBuilder.of(task) { $0.add(.integer(number), bytes: 0) } },
        createNil: { task in ReplyBuilder.of(task) { $0.add(.null, bytes: 0) } },
        freeObject: { _ in }
    )

    private static func of(
        _ task: UnsafePointer<redisReadTask>?,
        _ build: (ReplyBuilder) -> Bool
    ) -> UnsafeMutableRawPointer? {
        guard let pointer = task?.pointee.privdata else { return nil }
        return build(Unmanaged<ReplyBuilder>.fromOpaque(pointer).takeUnretainedValue()) ? pointer : nil
    }
}
