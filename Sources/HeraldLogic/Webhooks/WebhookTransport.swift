import HeraldCore

/// What carries a webhook to its receiver.
protocol WebhookTransport: Sendable {
    /// Makes one request and reads its answer. Cancellation ends it at once, and closes its connection.
    ///
    /// - Parameters:
    ///   - request: what to send.
    ///   - lane: one request of a lane is under way at a time; each lane may keep a connection.
    /// - Returns: what became of it, within no time of its own: the caller cancels what takes too long.
    func post(_ request: WebhookRequest, lane: Int) async -> WebhookOutcome
}

struct WebhookRequest: Sendable, Equatable {
    var body: [UInt8]
    /// Value of `Herald-Signature`.
    var signature: String
    /// Value of `Herald-Delivery`: the id of the first event, for logs. Who drops repeats does it by the ids of the
    /// events: after a takeover a batch may begin with the same event and hold more.
    var delivery: String
}
