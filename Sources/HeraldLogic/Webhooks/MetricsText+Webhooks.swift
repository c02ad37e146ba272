import HeraldCore

extension MetricsText {
    /// `now`: for the lag, against the times of events, which are Redis's.
    mutating func add(_ webhooks: WebhookCounters, at now: RedisTime) {
        counter("webhook_events_total", "Presence events that the receiver took.", webhooks.eventsSent)
        counter("webhook_batches_total", "Requests that the receiver took.", webhooks.batchesSent)
        counter(
            "webhook_batches_retried_total",
            "Requests that failed and are made again.",
            webhooks.batchesRetried
        )
        counter(
            "webhook_events_given_up_total",
            "Presence events that were not taken in time.",
            webhooks.eventsGivenUp
        )
        counter("webhook_batches_given_up_total", "Requests given up.", webhooks.batchesGivenUp)
        let oldest = webhooks.oldest?.milliseconds ?? now.milliseconds
        gauge(
            "webhook_lag_milliseconds",
            "Age of the oldest presence event that was read and is not taken; 0 when there is none.",
            Int(now.milliseconds - min(oldest, now.milliseconds))
        )
        gauge(
            "webhook_holding",
            "1 in the one process that sends, else 0.",
            webhooks.isHolding ? 1 : 0
        )
        gauge(
            "webhook_gone",
            "1 when the receiver said 410: nothing is sent until the process starts anew.",
            webhooks.isGone ? 1 : 0
        )
    }
}
