/// One request of a command link, as its state machine knows it.
struct RedisRequestEntry<Request: Equatable> {
    let request: Request
    let commands: Int
    let bytes: Int
    let deadline: Moment
    var sentAt: Moment
    /// Replies that have not come yet.
    var missing: Int
    /// Nobody waits for its replies any more; they still come and are thrown away.
    var isAnswered = false
}

/// What waits for a connection, and since when there has been none.
struct RedisWaiting<Request: Equatable> {
    var since: Moment
    var requests = Queue<RedisRequestEntry<Request>>()
}

/// What was written and misses replies, in the order in which they will come.
struct RedisInFlight<Request: Equatable> {
    var inFlight = Queue<RedisRequestEntry<Request>>()
    /// When the connection last brought anything.
    var heardAt: Moment

    var owed: [Request] { inFlight.elements.filter { !$0.isAnswered }.map(\.request) }

    /// Marks as answered what fulfils a condition and was not answered yet.
    mutating func abandon(_ condition: (RedisRequestEntry<Request>) -> Bool) -> [Request] {
        var abandoned: [Request] = []
        inFlight.update { entry in
            guard !entry.isAnswered, condition(entry) else { return }
            entry.isAnswered = true
            abandoned.append(entry.request)
        }
        return abandoned
    }

    /// Gives a reply to the request that is due and takes that out when it was the last.
    ///
    /// - Returns: the request as it stands after the reply; nil when none was due.
    mutating func takeReply() -> RedisRequestEntry<Request>? {
        let entry = inFlight.updateFirst { entry in
            entry.missing -= 1
            return entry
        }
        if entry?.missing == 0 { inFlight.removeFirst() }
        return entry
    }
}
