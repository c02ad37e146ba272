extension MetricsText {
    /// What became of pushes that were out.
    mutating func add(_ follow: FollowCounters) {
        gauge("pushes_held", "Pushes whose callers wait for receipts.", follow.held)
        counter("receipts_total", "Receipts of nodes.", follow.receipts)
        counter("receipts_not_here_total", "Those that say: the target is not here.", follow.receiptsNotHere)
        counter("receipts_late_total", "Those that came after the answer.", follow.receiptsLate)
        counter("receipts_strange_total", "Those of pushes that are not known.", follow.receiptsStrange)
        counter("targets_sent_on_total", "Targets followed to another node.", follow.sentOnward)
        counter("searches_refused_total", "Pushes not looked up again: too many.", follow.searchesRefused)
    }
}
