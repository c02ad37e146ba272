// The inboxes in Redis: a stream for the messages and a hash for what outlives them, one slot each.
//
// What is decided is in the scripts, in one step each; this type packs many of them into one turn on the wire. Every
// script is told which run of Redis it speaks to, because only a change of it tells that writes may have been lost
// (a restart with `appendfsync everysec`, a failover), and a script cannot ask cheaply. The run was read when the
// connection began, so the commands are bound to that connection: sent over the next one they would tell the new run
// that it is the old one, and give the offsets of lost messages to others.
//
// Considered for telling what a run lost, and left: a break that only those cannot pass who saw lost messages. It
// lets a reader pass who did not see them yet, and it would never hear that they existed.

public import HeraldCore

/// The inboxes in Redis, over a link that somebody else runs.
///
/// Errors: `unavailable` (retry) when the link is down, slow or full, or when Redis passes through a bad moment;
/// `full` when it has no memory left; `corrupt` when it refuses a command for good.
public final class RedisInbox: Inbox {
    private let link: RedisLink
    private let keys: RedisKeys
    private let retention: InboxRetention

    /// What one piece of a batch may hold: some 4 ms of Redis (measured: 256 KiB are 1 ms), then others get their
    /// turn.
    private static let pieceBytesMax = 1024 * 1024
    /// Connections that may end under a call before it gives up.
    private static let triesMax = 3

    /// - Parameters:
    ///   - link: carries the commands; may be shared.
    ///   - prefix: goes before every key's name.
    ///   - retention: the same for all processes of a system.
    public init(link: RedisLink, prefix: String = "herald:", retention: InboxRetention = .standard) {
        self.link = link
        keys = RedisKeys(prefix: prefix)
        self.retention = retention
    }

    public func append(
        _ messages: [InboxAppend]
    ) async throws(InboxError) -> [Result<InboxPlace, InboxError>] {
        var places: [Result<InboxPlace, InboxError>] = []
        places.reserveCapacity(messages.count)
        var rest = messages[...]
        while !rest.isEmpty {
            let piece = Self.piece(of: rest)
            rest = rest[piece.endIndex...]
            let replies = try await send { run in piece.map { appending($0, run) } }
            for reply in replies { places.append(place(reply)) }
        }
        return places
    }

    public func read(
        _ owner: InboxOwner,
        after position: InboxPosition?,
        limit: Int
    ) async throws(InboxError) -> InboxPage {
        try await page(owner, after: position, limit: position == nil ? 0 : max(1, limit), alsoBroken: false)
    }

    public func browse(
        _ owner: InboxOwner,
        after position: InboxPosition?,
        limit: Int
    ) async throws(InboxError) -> InboxPage {
        try await page(owner, after: position, limit: max(1, limit), alsoBroken: true)
    }

    public func delete(_ owner: InboxOwner) async throws(InboxError) {
        let reply = try await sendOne { run in
            RedisScript.inboxDelete.call(keys: keys.inbox(owner), [.text(run), age])
        }
        if let failure = reply.failure { throw error(failure) }
    }
}

// MARK: Commands and replies

extension RedisInbox {
    private var age: RedisArgument { .integer(max(1, retention.age.wholeMilliseconds)) }

    private static func piece(of messages: ArraySlice<InboxAppend>) -> ArraySlice<InboxAppend> {
        var bytes = 0
        for (count, message) in messages.enumerated() {
            bytes += 256 + (message.message.payload?.bytes.count ?? 0)
            if bytes > pieceBytesMax, count > 0 { return messages.prefix(count) }
        }
        return messages
    }

    private func appending(_ append: InboxAppend, _ run: String) -> RedisCommand {
        let rules: [RedisArgument] = [
            .text(run), .integer(Int64(max(1, retention.countMax))), age, append.isRepeat ? 1 : 0,
            .text(append.push.description),
        ]
        return RedisScript.inboxAppend.call(
            keys: keys.inbox(append.owner),
            rules + InboxText.fields(append.message)
        )
    }

    private func place(_ reply: RedisValue) -> Result<InboxPlace, InboxError> {
        if let failure = reply.failure { return .failure(error(failure)) }
        guard let words = reply.elements, words.count == 3, let position = InboxText.position(words),
            let isNew = words[2].number
        else { return .failure(.corrupt("a place is none")) }
        return .success(InboxPlace(position: position, isNew: isNew == 1))
    }

    private func page(
        _ owner: InboxOwner,
        after position: InboxPosition?,
        limit: Int,
        alsoBroken: Bool
    ) async throws(InboxError) -> InboxPage {
        let reply = try await sendOne { run in
            RedisScript.inboxRead.call(
                keys: keys.inbox(owner),
                [
                    .text(run), age, .text(position.map { String($0.epoch) } ?? ""),
                    .text(String(position?.offset ?? 0)), .integer(Int64(limit)), alsoBroken ? 1 : 0,
                ]
            )
        }
        if let failure = reply.failure { throw error(failure) }
        guard let words = reply.elements, words.count == 4, let head = InboxText.position(words),
            let entries = words[3].elements
        else { throw .corrupt("a page of the inbox of \(owner) is none") }
        var messages: [InboxMessage] = []
        messages.reserveCapacity(entries.count)
        for entry in entries {
            guard let message = InboxText.message(entry, epoch: head.epoch) else {
                throw .corrupt("the inbox of \(owner) holds what is no message")
            }
            messages.append(message)
        }
        return InboxPage(isContinuous: words[2].number == 1, messages: messages, head: head)
    }

    private func error(_ failure: RedisReplyError) -> InboxError {
        if failure.code == "OOM" { return .full(failure.description) }
        return failure.isPassing ? .unavailable(failure.description) : .corrupt(failure.description)
    }
}

// MARK: Asking Redis

extension RedisInbox {
    private func sendOne(_ command: (_ run: String) -> RedisCommand) async throws(InboxError) -> RedisValue {
        let replies = try await send { run in [command(run)] }
        guard let reply = replies.first else { throw .unavailable("Redis did not answer") }
        return reply
    }

    /// Sends commands that know the run of the Redis that they reach. Made anew when the connection they were made
    /// for ended before they left.
    private func send(_ commands: (_ run: String) -> [RedisCommand]) async throws(InboxError) -> [RedisValue]
    {
        var reason = ""
        for _ in 0..<Self.triesMax {
            let status = try await connected()
            guard let run = status.run else {
                throw .corrupt("Redis does not tell its run: the user needs the command INFO")
            }
            do throws(RedisError) {
                return try await link.send(commands(run), on: status.connections)
            } catch {
                reason = error.description
                guard error.code == .unavailable else { break }
            }
        }
        throw .unavailable(reason)
    }

    /// The link's status once it is ready; waits as long as a command would.
    private func connected() async throws(InboxError) -> RedisLinkStatus {
        let status = link.status
        if status.phase == .ready { return status }
        do throws(RedisError) {
            try await link.send(RedisCommand("PING"))
        } catch {
            throw .unavailable(error.description)
        }
        return link.status
    }
}
