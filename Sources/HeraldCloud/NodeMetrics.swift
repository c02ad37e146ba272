import HeraldCore
import HeraldSockets

/// The node's numbers in Prometheus' text format 0.0.4.
struct NodeMetrics {
    var sockets: SocketCounters
    var loops: LoopGauges.Values
    var inbox: BusInbox.Counts
    var replier: Replier.Counts
    var pages: InboxReader.Counts
    var more: [Metric]
    var keeper: RouteKeeper.Snapshot
    var status: NodeStatus.State
    var now: Moment

    var text: String {
        var text = PrometheusText()
        writeSockets(&text)
        writeDeliveries(&text)
        writeRoutes(&text)
        writeInboxes(&text)
        for metric in more {
            switch metric.kind {
            case .gauge: text.gauge(metric.name, metric.help, metric.value)
            case .counter: text.counter(metric.name, metric.help, metric.value)
            }
        }
        return text.text
    }

    private func writeSockets(_ text: inout PrometheusText) {
        text.gauge("herald_sockets_open", "WebSockets open now", sockets.open)
        text.gauge("herald_sockets_queued_bytes", "Bytes that wait to be sent", sockets.queuedBytes)
        text.counter("herald_sockets_accepted_total", "Connections taken from the kernel", sockets.accepted)
        text.counter("herald_sockets_opened_total", "Upgrades to WebSocket", sockets.opened)
        text.counter("herald_sockets_closed_total", "Closed after they were opened", sockets.closed)
        text.counters(
            "herald_sockets_refused_total",
            "Connections and requests refused",
            label: "reason",
            [
                ("full", sockets.refusedFull), ("no_descriptor", sockets.refusedNoDescriptor),
                ("bad_request", sockets.refusedRequest), ("too_large", sockets.refusedTooLarge),
                ("too_slow", sockets.refusedTooSlow), ("origin", loops.refusedOrigins),
                ("query", loops.refusedQueries),
            ]
        )
        text.counters(
            "herald_sockets_cut_total",
            "Sockets closed by the node for what they did or did not do",
            label: "reason",
            [
                ("overflow", sockets.overflows), ("shed", sockets.shed),
                ("protocol", sockets.protocolErrors), ("bad_payload", sockets.badPayloads),
                ("too_big", sockets.messagesTooBig), ("flood", sockets.floods),
                ("ping_timeout", sockets.pingTimeouts),
            ]
        )
        text.counter("herald_sockets_received_bytes_total", "Bytes read", sockets.bytesIn)
        text.counter("herald_sockets_sent_bytes_total", "Bytes the kernel took", sockets.bytesOut)
        text.counter("herald_sockets_writes_total", "System calls that wrote", sockets.writes)
    }

    private func writeDeliveries(_ text: inout PrometheusText) {
        text.gauge("herald_sessions_open", "Sessions in any state", loops.sessions)
        text.gauge("herald_sessions_live", "Sessions whose client is connected", loops.live)
        text.counter("herald_sessions_connected_total", "Sessions that became live", loops.connected)
        text.counter("herald_sessions_frames_in_total", "Frames from clients", loops.framesIn)
        text.counter("herald_sessions_frames_bad_total", "Frames that were refused", loops.framesBad)
        text.counter("herald_inbox_envelopes_total", "Envelopes from the bus", inbox.envelopes)
        text.counter("herald_inbox_bad_envelopes_total", "Envelopes that could not be read", inbox.bad)
        text.counter("herald_inbox_batches_total", "Batches handed to the loops", inbox.batches)
        text.counter("herald_inbox_dropped_batches_total", "Batches a loop refused", inbox.batchesDropped)
        text.counter("herald_hub_deliveries_total", "Deliveries that a loop began", loops.fanOut.deliveries)
        text.counter("herald_hub_frames_total", "Frames handed to sockets", loops.fanOut.frames)
        text.counter("herald_hub_dropped_frames_total", "Frames a full queue refused", loops.fanOut.dropped)
        text.counter(
            "herald_hub_yielded_frames_total",
            "Droppable frames left out for slow sockets",
            loops.fanOut.yielded
        )
        text.counter(
            "herald_hub_collapsed_frames_total",
            "Waiting frames of which a newer one took the place",
            loops.fanOut.collapsed
        )
        text.counter("herald_hub_missed_targets_total", "Targets with nobody here", loops.fanOut.missed)
        text.gauge("herald_hub_waiting_bytes", "Bytes of deliveries not yet begun", loops.waitingBytes)
        text.gauge(
            "herald_bus_subscribed",
            "1 while the node's channel is heard",
            status.isSubscribed ? 1 : 0
        )
        text.gauge("herald_receipts_followed", "Deliveries whose fate a sender awaits", replier.followed)
        text.counter("herald_receipts_told_total", "Receipts published to senders", replier.receipts)
        text.counter("herald_receipts_lost_total", "Receipts that could not be published", replier.lost)
        text.counter(
            "herald_receipts_unfollowed_total",
            "Frames not followed, for there were too many",
            loops.fanOut.unfollowed
        )
        text.counter("herald_bus_gaps_total", "Times messages may have been lost for good", inbox.gaps)
        text.counter("herald_bus_lost_total", "Times the subscription was lost", inbox.lost)
    }

    private func writeInboxes(_ text: inout PrometheusText) {
        text.counter("herald_inbox_pages_total", "Pages of inboxes read", pages.pages)
        text.counter("herald_inbox_failed_pages_total", "Pages that could not be read in time", pages.failed)
        text.counter("herald_inbox_shown_total", "Stored messages shown from a page", loops.fanOut.inboxShown)
        text.counter(
            "herald_inbox_repeats_total",
            "Stored messages not shown again",
            loops.fanOut.inboxSkipped
        )
        text.counter("herald_inbox_resets_total", "Gaps that could not be filled", loops.fanOut.inboxResets)
    }

    private func writeRoutes(_ text: inout PrometheusText) {
        let counts = keeper.counts
        text.gauge("herald_routes_keys", "Keys that this node keeps", keeper.keys)
        text.gauge("herald_routes_users", "Users with a key here", keeper.users)
        text.gauge("herald_routes_rooms", "Rooms with a member here", keeper.rooms)
        text.counter("herald_routes_binds_total", "Keys bound", counts.binds)
        text.counter("herald_routes_refused_binds_total", "Binds refused as older", counts.bindsRefused)
        text.counter("herald_routes_renewals_total", "Mappings renewed", counts.renewals)
        text.counter("herald_routes_refused_renewals_total", "Ghosts found", counts.renewalsRefused)
        text.counter("herald_routes_unbinds_total", "Mappings taken out", counts.unbinds)
        text.counter("herald_routes_shares_total", "Calls that told of rooms", counts.shares)
        text.counter(
            "herald_routes_lists_astray_total",
            "Lists of members that Redis lost",
            counts.listsAstray
        )
        text.counter("herald_routes_failed_calls_total", "Calls without an answer", counts.callsFailed)
        text.counter("herald_routes_expired_claims_total", "Sessions without a route", counts.claimsExpired)
        text.counter("herald_routes_told_total", "Replaced sessions of other nodes", keeper.told)
        text.counter("herald_routes_untold_total", "Those that could not be told", keeper.untold)
        text.gauge("herald_routes_rebuilding", "1 while routes are carried over", keeper.isRebuilding ? 1 : 0)
        let isHeld = status.lease != nil && status.leaseEnds > now
        text.gauge("herald_lease_held", "1 while the node's lease is live", isHeld ? 1 : 0)
        text.gauge("herald_lease_incarnation", "This run's number", status.lease?.incarnation.number ?? 0)
        text.counter("herald_lease_lost_total", "Leases lost", status.leasesLost)
    }
}

/// Lines of Prometheus' text format.
struct PrometheusText {
    private(set) var text = ""

    mutating func gauge(_ name: String, _ help: String, _ value: some BinaryInteger) {
        head(name, help, "gauge")
        text += "\(name) \(value)\n"
    }

    mutating func counter(_ name: String, _ help: String, _ value: UInt64) {
        head(name, help, "counter")
        text += "\(name) \(value)\n"
    }

    mutating func counters(_ name: String, _ help: String, label: String, _ values: [(String, UInt64)]) {
        head(name, help, "counter")
        for (value, count) in values { text += "\(name){\(label)=\"\(value)\"} \(count)\n" }
    }

    private mutating func head(_ name: String, _ help: String, _ type: String) {
        text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n"
    }
}
