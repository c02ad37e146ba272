public import HeraldCore

/// What a dispatcher has done, and how it stands. Numbers of things only grow.
public struct WebhookCounters: Equatable, Sendable {
    /// Events that the receiver took.
    public internal(set) var eventsSent = 0
    public internal(set) var batchesSent = 0
    /// Requests that failed and are made again.
    public internal(set) var batchesRetried = 0
    /// Events that the receiver did not take in time, and that it is not given any more.
    public internal(set) var eventsGivenUp = 0
    public internal(set) var batchesGivenUp = 0
    /// Whether this process is the one that sends.
    public internal(set) var isHolding = false
    /// Whether the receiver said that it wants no more.
    public internal(set) var isGone = false
    /// When the oldest event happened that was read and is not acknowledged; nil when there is none.
    public internal(set) var oldest: RedisTime?

    init() {}
}

/// What an operator wants to know, once for each change.
enum WebhookNews: Equatable {
    case holding, lost
    case failing(WebhookOutcome, first: PresenceEventID)
    case recovered
    case gaveUp(events: Int, first: PresenceEventID)
    case gone
    case logFailed(PresenceLogError), logAnswers
}
