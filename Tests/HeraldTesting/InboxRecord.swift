public import HeraldCore

/// One inbox, and what the scripts `inbox_append.lua`, `inbox_read.lua` and `inbox_delete.lua` make of it, as a value.
///
/// It trims exactly, where Redis keeps a few messages more; a differential test holds the two together.
public struct InboxRecord: Hashable, Sendable {
    /// What outlives the messages; nil: there is no inbox.
    private var head: Head?
    /// What is kept, oldest first.
    public private(set) var messages: [InboxMessage] = []

    private struct Head: Hashable, Sendable {
        var epoch: UInt64
        var offset: UInt64 = 0
        var run: String
        /// The offset with which the run began.
        var since: UInt64 = 0
        var ends: RedisTime
        var messagesEnd: RedisTime
    }

    private static let repeatsSought = 64

    public init() {}

    public mutating func append(
        _ append: InboxAppend,
        run: String,
        keep retention: InboxRetention,
        at now: RedisTime
    ) -> InboxPlace {
        expire(at: now)
        if append.isRepeat, let epoch = head?.epoch,
            let found = messages.suffix(Self.repeatsSought).last(where: { $0.push == append.push })
        {
            let position = InboxPosition(epoch: epoch, offset: found.position.offset)
            return InboxPlace(position: position, isNew: false)
        }
        var head = begun(by: run, keep: retention, at: now)
        head.offset += 1
        head.ends = now + retention.age
        head.messagesEnd = head.ends
        self.head = head
        let position = InboxPosition(epoch: head.epoch, offset: head.offset)
        messages.append(
            InboxMessage(position: position, push: append.push, message: append.message, at: now)
        )
        messages.removeAll { $0.at + retention.age <= now }
        messages.removeFirst(max(0, messages.count - max(1, retention.countMax)))
        return InboxPlace(position: position, isNew: true)
    }

    /// `alsoBroken`: whether messages come also where some are missing.
    public mutating func read(
        after position: InboxPosition?,
        limit: Int,
        alsoBroken: Bool,
        run: String,
        keep retention: InboxRetention,
        at now: RedisTime
    ) -> InboxPage {
        expire(at: now)
        var head = begun(by: run, keep: retention, at: now)
        head.ends = now + retention.age
        self.head = head
        let end = InboxPosition(epoch: head.epoch, offset: head.offset)
        var isContinuous = true
        var from: UInt64 = 0
        if let position {
            if position.epoch == head.epoch { from = position.offset }
            let next = messages.first { $0.position.offset > from }
            isContinuous =
                position.epoch == head.epoch && from >= head.since && from <= head.offset
                && (from == head.offset || next?.position.offset == from + 1)
        }
        let page = alsoBroken || isContinuous ? messages.filter { $0.position.offset > from } : []
        return InboxPage(isContinuous: isContinuous, messages: Array(page.prefix(limit)), head: end)
    }

    public mutating func delete(run: String, keep retention: InboxRetention, at now: RedisTime) {
        expire(at: now)
        messages = []
        guard let old = head else { return }
        let epoch = max(now.milliseconds, old.epoch + 1)
        head = Head(epoch: epoch, run: run, ends: now + retention.age, messagesEnd: now)
    }

    /// The head as it is when this run has begun.
    private func begun(by run: String, keep retention: InboxRetention, at now: RedisTime) -> Head {
        guard var head else {
            return Head(epoch: now.milliseconds, run: run, ends: now + retention.age, messagesEnd: now)
        }
        if head.run != run {
            head.run = run
            head.offset += InboxPosition.jump
            head.since = head.offset
        }
        return head
    }

    private mutating func expire(at now: RedisTime) {
        guard let head else { return }
        if head.messagesEnd <= now { messages = [] }
        if head.ends <= now { self.head = nil }
    }
}
